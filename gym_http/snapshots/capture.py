"""An environment's state in hand, of the first kind that does:

"native"    the emulator's own state and all else, as data (`native`)
"copy"      a pickle that the server made and keeps (`copies`)
"replay"    nothing: it is made again from its history (`replay`)
"foreign"   a native state that a client sent

These are called where the environment lives; what they take and return can be sent.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from gymnasium.vector import AsyncVectorEnv

from gym_http.catalogue import Policy
from gym_http.environments import Made, Recipe, facts_of
from gym_http.errors import GymHTTPError, Unsupported
from gym_http.snapshots import copies, native, probe
from gym_http.snapshots.history import Captured, Log
from gym_http.snapshots.replay import replay

KINDS = ("native", "copy", *probe.REPLAYS)


def capture(env: Any, recipe: Recipe, policy: Policy) -> Captured:
    """The state of `env`, which was made of `recipe`. Raises Unsupported, with why no kind does.

    The first time for a recipe in this process, a twin of it is made and played for a moment.
    """
    why_not: dict[str, str] = {}
    for kind in KINDS:
        try:
            captured = _capture(kind, env)
            doubt = probe.doubt(kind, recipe, policy, _capture, _restored)
        except Unsupported as error:
            doubt = error.message
        if not doubt:
            return replace(captured, why_not=why_not)
        why_not[kind] = doubt
    told = "; ".join(f"{kind}: {reason}" for kind, reason in why_not.items())
    raise Unsupported(f"{recipe.env_id} can't be taken a snapshot of. {told}")


def restore(captured: Captured, recipe: Recipe, policy: Policy) -> Made:
    """An environment in the state that was captured, which isn't "replay". Raises Unsupported, and
    what making raises."""
    if captured.kind in ("native", "foreign"):
        return native.restore(captured.data, recipe, policy, ours=captured.kind == "native")
    if captured.kind == "copy":
        env = copies.restore(captured.data)
        return Made(env, facts_of(env, recipe, policy))
    raise Unsupported(f"a snapshot of the kind {captured.kind!r} holds no state")


def replayable(env: Any, recipe: Recipe, policy: Policy) -> Captured:
    """Of the kind "replay", whatever others there are. Raises Unsupported."""
    for kind in probe.REPLAYS:
        doubt = probe.doubt(kind, recipe, policy, _capture, _restored)
        if not doubt:
            return _capture(kind, env)
    raise Unsupported(doubt)


def make_again(log: Log, recipe: Recipe, policy: Policy) -> Made:
    """An environment brought to the end of the log, from a snapshot or from the beginning.
    Raises Unsupported, and what making raises."""
    return replay(log, recipe, policy, restore)


def make_after_crash(logs: list[Log], recipe: Recipe, policy: Policy) -> Made:
    """The same by the first of them that leads there: the surest is the first. Raises what
    `make_again` does."""
    for surer in logs[:-1]:
        with suppress(Unsupported):
            return make_again(surer, recipe, policy)
    return make_again(logs[-1], recipe, policy)


def _capture(kind: str, env: Any) -> Captured:
    """Of that kind. Raises Unsupported."""
    if kind not in probe.REPLAYS and isinstance(env, AsyncVectorEnv):
        raise Unsupported("its environments live in processes of their own")
    try:
        if kind == "native":
            portable = set(native.emulators(env)) == {"mujoco"}  # only numbers, each looked at
            return Captured(kind, native.capture(env), portable)
        if kind == "copy":
            return Captured(kind, copies.capture(env))
    except GymHTTPError:
        raise
    except Exception as error:  # of the environment's own attributes
        raise Unsupported(
            f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        ) from error
    return Captured("replay", whole=kind == probe.REPLAYS[1])


def _restored(captured: Captured, log: Log, recipe: Recipe, policy: Policy) -> Made:
    if captured.kind == "replay":
        return replay(log, recipe, policy)
    return restore(captured, recipe, policy)
