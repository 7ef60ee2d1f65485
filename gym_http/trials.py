"""Which kinds of snapshot do for a recipe: each is tried (`snapshots.probe`), in a process of its
own, which may crash or hang while the user's environment goes on.

What can't be made in another process of this machine is tried on its own backend: on a Ray actor
that needs what is there, or in this very process where a program has registered it here only.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace

from gym_http import backends
from gym_http.catalogue import Policy
from gym_http.ending import close_quietly
from gym_http.environments import Recipe
from gym_http.errors import BackendLost, GymHTTPError, TimedOut, Unsupported
from gym_http.raised import brief
from gym_http.settings import Settings
from gym_http.snapshots import KINDS, REPLAYS, Captured, probe, replayed
from gym_http.terms import Terms
from gym_http.wire import to_msgpack

log = logging.getLogger(__name__)

USUAL_LIMIT_S = 300.0  # of one kind's, where making an environment has no limit
MOST_KNOWN = 1000  # recipes


@dataclass
class _Verdict:
    """doubt: "" is none. late_s: the limit that it was too long for, which another may exceed.
    lasts: it is no error of the moment, such as no room for a process."""

    doubt: str
    late_s: float | None = None
    lasts: bool = True


@dataclass
class _Tried:
    """Of one recipe. verdicts: by backend and kind."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    verdicts: dict[tuple[str, str], _Verdict] = field(default_factory=dict)


class _NotMade(Exception):
    """No twin could be made in that place."""


class Trials:
    """Those of a server, and what came of them. Its methods may be called from any thread; there
    is one trial at a time of a recipe."""

    def __init__(self, policy: Policy, settings: Settings) -> None:
        self._policy = policy
        self._settings = settings
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, _Tried] = OrderedDict()

    def captured(
        self, capture: Callable[[str], Captured], recipe: Recipe, terms: Terms
    ) -> Captured:
        """What `capture` gives of the first kind that does for the recipe. terms: settled, of the
        instance. Raises Unsupported, with why no kind does, and what `capture` raises."""
        why_not: dict[str, str] = {}
        for kind, doubt in self._doubts(KINDS, recipe, terms):
            if not doubt:
                try:
                    return replace(capture(kind), why_not=why_not)
                except Unsupported as error:
                    doubt = error.message
            why_not[kind] = doubt
        told = "; ".join(f"{kind}: {reason}" for kind, reason in why_not.items())
        raise Unsupported(f"{recipe.env_id} can't be taken a snapshot of. {told}")

    def replay(self, recipe: Recipe, terms: Terms) -> Captured:
        """Of the kind "replay", whatever others there are. Raises Unsupported."""
        doubt = ""
        for kind, doubt in self._doubts(REPLAYS, recipe, terms):
            if not doubt:
                return replayed(kind)
        raise Unsupported(doubt)

    def _doubts(
        self, kinds: Iterable[str], recipe: Recipe, terms: Terms
    ) -> Iterator[tuple[str, str]]:
        """Each kind, and why it doesn't do, or ""."""
        tried = self._of(recipe)
        for kind in kinds:
            with tried.lock:
                doubt = self._doubt(tried, kind, recipe, terms)
            yield kind, doubt

    def _of(self, recipe: Recipe) -> _Tried:
        key = _key(recipe)
        if key is None:
            return _Tried()
        with self._lock:
            tried = self._known.setdefault(key, _Tried())
            self._known.move_to_end(key)
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return tried

    def _doubt(self, tried: _Tried, kind: str, recipe: Recipe, terms: Terms) -> str:
        limit_s = terms.make_timeout_s or USUAL_LIMIT_S
        own = terms.backend or "local"
        places = ["process"] if own == "process" else ["process", own]
        for place in places:
            verdict = tried.verdicts.get((place, kind))
            if verdict is not None and (verdict.late_s is None or limit_s <= verdict.late_s):
                return verdict.doubt
        doubt = ""
        for place in places:
            there = replace(
                terms,
                backend=place,
                resources=terms.resources if place == "ray" else {},
                make_timeout_s=limit_s,
                step_timeout_s=limit_s,  # on "local", it gets a thread of its own by that
            )
            began = time.monotonic()
            try:
                verdict = self._try(kind, recipe, there, limit_s)
            except _NotMade as error:
                doubt = f"no twin could be made: {error}"
                continue
            if verdict.lasts:
                tried.verdicts[place, kind] = verdict
            told, took_s = verdict.doubt or "does", time.monotonic() - began
            log.info("%s by %s: %s (%.1f s)", recipe.env_id, kind, told, took_s)
            return verdict.doubt
        return doubt

    def _try(self, kind: str, recipe: Recipe, there: Terms, limit_s: float) -> _Verdict:
        """In a new process, or actor. Raises _NotMade."""
        opened = None
        try:
            opened = backends.make(recipe, self._policy, there, self._settings, probe.nobody)
            found = backends.apply(opened.backend, probe.doubt, kind, recipe, self._policy)
            return _Verdict(found.why, lasts=found.lasts)
        except TimedOut:
            late = f"the trial took longer than {limit_s:g} s"
            return _Verdict(late, limit_s, lasts=opened is not None)
        except BackendLost as error:
            return _Verdict(f"the trial crashed: {error}", lasts=opened is not None)
        except GymHTTPError as error:
            raise _NotMade(error.message) from error
        except Exception as error:  # such as kwargs that can't be sent
            raise _NotMade(brief(error)) from error
        finally:
            if opened is not None:
                close_quietly(opened.backend)


def _key(recipe: Recipe) -> bytes | None:
    """Equal for what makes equal environments alone; None where nobody can say. MessagePack has
    arrays whole, and repr tells types apart that are one there."""
    with suppress(Exception):  # a program's own values may raise anything
        return hashlib.sha256(to_msgpack([asdict(recipe), repr(recipe)])).digest()
    return None
