"""How an instance came to where it stands: kept beside it by the server, to make it again.

    history.reset(seed, options, random)    after each reset
    history.note(action)                    after each step, the native action
    history.last = observation, reward, terminated, truncated
                                            before the history is looked at: of the last call,
                                            wire values; after a reset, only (observation,)

`random` is what `randomness.random_state` read right before the reset, needed where
`History.needs_random_state(options)`: a seed may not reach all generators.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gym_http import randomness
from gym_http.errors import Unsupported
from gym_http.spaces import batches
from gym_http.wire import to_msgpack

MOST_STEPS = 100_000  # of an episode that is kept
MOST_BYTES = 16 * 1024 * 1024  # of its actions
LIFE_BYTES = 1024 * 1024  # of the actions of the episodes before it
_OVERHEAD = 128  # bytes that an array has beside its own
_LARGEST_OPTIONS = 65536  # bytes
_TOO_LARGE = "\0too large"  # in place of options


@dataclass(slots=True)
class Reset:
    """One that was made.

    random: the environment's random state before it; None where nothing begins, or it isn't known.
    begins: whether what follows can be had from here, without what was before. portable: whether
    a client may have given it.
    """

    seed: Any = None
    options: dict[str, Any] | None = None
    random: dict[str, Any] | None = None
    begins: bool = False
    portable: bool = True


@dataclass(frozen=True)
class Captured:
    """The state of an environment, by one of three kinds (`snapshots.capture`).

    data: of that kind; empty for "replay". portable: whether a client may have it, and send it
    back. whole: whether that takes all steps since the
    environment was made, rather than its episode's. why_not: kind -> why it wasn't taken.
    """

    kind: str
    data: bytes = b""
    portable: bool = False
    whole: bool = False
    why_not: dict[str, str] = field(default_factory=dict)


class Digest(str):
    """In place of what it is of, where that isn't known."""


@dataclass(frozen=True)
class Log:
    """What brings an environment to where another one was.

    start: what it begins with; None: made anew. events: native actions, and Resets. digest: of
    what the last event brought.
    """

    start: Captured | None
    events: list[Any]
    digest: str
    most_s: float = math.inf  # that making the events again may take


class History:
    """Of one instance. Not locked: the instance is."""

    __slots__ = (
        "_captured",
        "_each",
        "_events",
        "_is_sized",
        "_is_whole",
        "_latest",
        "_life",
        "_since",
        "_size",
        "_start",
        "last",
        "note",
    )

    def __init__(self, action_space: Any = None) -> None:
        each = _OVERHEAD + (0 if action_space is None else batches.size_of(action_space))
        self._each = each  # bytes of an action
        most = max(1, min(MOST_STEPS, MOST_BYTES // each))
        # One more than is kept says that there were too many.
        self._events: deque[Any] = deque(maxlen=most + 1)
        self._is_sized = action_space is None or batches.is_sized(action_space)
        self.note: Callable[[Any], None] = self._noting()
        self._life = LIFE_BYTES // each
        self._size = 0  # bytes of options, and of actions whose space doesn't tell theirs
        self._is_whole = True  # whether the events begin where `_start` does
        self._start: Captured | None = None
        self._captured: Captured | None = None  # the latest, and how many events came before it
        self._since = 0
        self._latest: dict[bool, Reset] = {}  # that begins; portable or not -> which
        self.last: tuple[Any, ...] = ()  # or only the digest of it

    @staticmethod
    def needs_random_state(options: dict[str, Any] | None = None) -> bool:
        """Whether a reset with these begins an episode, of all environments."""
        return not (options and "reset_mask" in options)

    def reset(self, seed: Any, options: dict[str, Any] | None, random: Any = None) -> None:
        """A reset has been made."""
        begins = self.needs_random_state(options)
        if (
            random is not None
            and seed is not None
            and not (isinstance(seed, list) and None in seed)
        ):
            random = randomness.but_emulators(random)
        portable = random is None or random["portable"]
        if begins:
            self._captured = None
            most = self._life if portable else MOST_STEPS // 2
            is_long = len(self._events) > min(most, (self._events.maxlen or 0) // 2)
            if is_long or self._size > LIFE_BYTES:
                self._begin(None, [], False)
        if options:
            size = len(to_msgpack(options))
            self._size += size
            if size > _LARGEST_OPTIONS or self._size > MOST_BYTES:
                options = {_TOO_LARGE: True}
        made = Reset(seed, options, random, begins, portable)
        if begins:
            self._supersede(made)
        self._events.append(made)

    def _noting(self) -> Callable[[Any], None]:
        return self._events.append if self._is_sized else self._note_large

    def _note_large(self, action: Any) -> None:
        """Note one that may have any size; let go of all where they are too large together."""
        self._events.append(action)
        self._size += _OVERHEAD + _bytes_in(action)
        if self._size > MOST_BYTES:
            self._begin(None, [], False)

    def fail(self) -> None:
        """A call has failed, in the middle of whatever it changed: nothing that was before brings
        an environment to where this one is."""
        self._begin(None, [], False)

    def captured(self, captured: Captured) -> None:
        """The environment's state is in other hands as well: `latest` may begin there."""
        if captured.kind == "replay":
            return
        if self._overflown:
            self._begin(captured, [], True)
        self._captured, self._since = captured, len(self._events)

    def passed_on(self) -> History:
        """For another instance, whose environment stands where this one's does."""
        other = History()
        other._events = deque(maxlen=self._events.maxlen)
        other._is_sized = self._is_sized
        other.note = other._events.append
        for event in _own(self._events):
            other.note(event)
            if isinstance(event, Reset) and event.begins:
                other._latest[event.portable] = event
        other.note = other._noting()
        other._life, other._is_whole, other._start = self._life, self._is_whole, self._start
        other._size, other._each, other.last = self._size, self._each, self.last
        return other

    @property
    def nbytes(self) -> int:
        """About the bytes that it takes, of what it began with as well."""
        resets = [event for event in self._latest.values() if event.random is not None]
        began = 0 if self._start is None else len(self._start.data)
        return (
            began
            + len(self._events) * self._each
            + self._size
            + sum(_bytes_in(event.random) for event in resets)
            + _bytes_in(self.last)
        )

    def take(self, log: Log) -> None:
        """Begin where the log ends. That it is of all since the environment was made is so here: it
        was made by it."""
        self._begin(log.start, log.events, True)
        self.last = (Digest(log.digest),)

    def log(self, whole: bool = False, portable: bool = False) -> Log:
        """From the beginning of the episode, or the `whole`. portable: all in it is data that a
        client may have given. Raises Unsupported."""
        if self._overflown:
            most = (self._events.maxlen or 1) - 1
            raise Unsupported(f"there are more than {most} steps to be made again")
        events = list(self._events)
        start = self._start
        if not whole:
            begun = [place for place, event in enumerate(events) if _begins(event, portable)]
            if begun:
                return self._log(None, events[begun[-1] :])
        if not self._is_whole:
            raise Unsupported(
                "there are too many steps since it was made, or too large ones, or one failed"
            )
        if portable and start is not None:
            raise Unsupported("it began with a snapshot, in a state that isn't portable")
        return self._log(start, events)

    def latest(self) -> list[Log]:
        """From the latest snapshot; or else all since it was made, for what an environment does
        may depend on that, and then the episode alone. Raises Unsupported."""
        if self._captured is not None and not self._overflown:
            return [self._log(self._captured, list(self._events)[self._since :])]
        episode = self.log()
        try:
            whole = self.log(whole=True)
        except Unsupported:
            return [episode]
        return [whole, episode] if len(whole.events) > len(episode.events) else [episode]

    def _log(self, start: Captured | None, events: list[Any]) -> Log:
        for event in events:
            if isinstance(event, Reset) and event.options and _TOO_LARGE in event.options:
                raise Unsupported(
                    f"options of more than {_LARGEST_OPTIONS} bytes aren't kept, nor of more than "
                    f"{MOST_BYTES} in all"
                )
        is_digest = len(self.last) == 1 and isinstance(self.last[0], Digest)
        events = list(_own(events))
        return Log(start, events, self.last[0] if is_digest else digest_of(*self.last))

    @property
    def _overflown(self) -> bool:
        return len(self._events) == self._events.maxlen

    def _supersede(self, made: Reset) -> None:
        """Let go of random states, which may be large, that no log begins with any more."""
        for portable in (False, True) if made.portable else (False,):
            old = self._latest.pop(portable, None)
            if old is not None and old is not self._events[0]:
                old.random, old.begins = None, False
        self._latest[made.portable] = made

    def _begin(self, start: Captured | None, events: list[Any], is_whole: bool) -> None:
        self._events.clear()
        self._events.extend(events)
        self._start, self._is_whole = start, is_whole
        self._captured, self._since = None, 0
        self._size = 0
        self._latest.clear()


def _own(events: Iterable[Any]) -> Iterator[Any]:
    """The events, with Resets that no later one changes."""
    return (replace(event) if isinstance(event, Reset) else event for event in events)


def _begins(event: Any, portable: bool) -> bool:
    return isinstance(event, Reset) and event.begins and (event.portable or not portable)


def _bytes_in(action: Any) -> int:
    if isinstance(action, np.ndarray):
        return action.nbytes
    if isinstance(action, bytes):
        return len(action)
    if isinstance(action, dict):
        return sum(map(_bytes_in, action.values()))
    if isinstance(action, (tuple, list)):
        return _OVERHEAD * len(action) + sum(map(_bytes_in, action))
    return 4 * len(action) if isinstance(action, str) else 0


def digest_of(
    observation: Any, reward: Any = None, terminated: Any = False, truncated: Any = False
) -> str:
    """A hash of what a call brought; observation as wire values. Equal for equal numbers, whether
    they came one by one or in an array."""
    ends = np.asarray(terminated, np.bool_), np.asarray(truncated, np.bool_)
    rewards = None if reward is None else np.asarray(reward, np.float64)
    told = to_msgpack([observation, rewards, *ends])
    return hashlib.sha256(told).hexdigest()
