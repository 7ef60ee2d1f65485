"""An environment's state in hand, of one of these kinds:

"native"    the emulator's own state and all else, as data (`native`)
"copy"      a pickle that the server made and keeps (`copies`)
"replay"    nothing: it is made again from its history (`replay`)
"foreign"   a native state that a client sent

These are called where the environment lives; what they take and return can be sent.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from gymnasium.vector import AsyncVectorEnv

from gym_http.catalogue import Policy
from gym_http.environments import Made, Recipe, facts_of
from gym_http.errors import GymHTTPError, Unsupported
from gym_http.snapshots import copies, native
from gym_http.snapshots.history import Captured, Log
from gym_http.snapshots.replay import replay

REPLAYS = ("replay", "whole replay")  # of an episode, of all since it was made
KINDS = ("native", "copy", *REPLAYS)  # in the order in which they are tried


def check(env: Any, kind: str) -> None:
    """That there may be that kind of it, as far as one can see at once. Raises Unsupported."""
    if kind not in REPLAYS and isinstance(env, AsyncVectorEnv):
        raise Unsupported("its environments live in processes of their own")
    if kind == "native" and not native.emulators(env):
        raise Unsupported("it is neither an Atari nor a MuJoCo environment")


def capture(env: Any, kind: str) -> Captured:
    """Its state, of that kind. Raises Unsupported."""
    try:
        check(env, kind)
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
    return replayed(kind)


def replayed(kind: str) -> Captured:
    """What is captured of any environment, where that kind of replay does."""
    return Captured("replay", whole=kind == REPLAYS[1])


def restore(captured: Captured, recipe: Recipe, policy: Policy) -> Made:
    """An environment in the state that was captured, which isn't "replay". Raises Unsupported, and
    what making raises."""
    if captured.kind in ("native", "foreign"):
        return native.restore(captured.data, recipe, policy, ours=captured.kind == "native")
    if captured.kind == "copy":
        env = copies.restore(captured.data)
        return Made(env, facts_of(env, recipe, policy))
    raise Unsupported(f"a snapshot of the kind {captured.kind!r} holds no state")


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


def restored(captured: Captured, log: Log, recipe: Recipe, policy: Policy) -> Made:
    """One in the state that was captured, with the log that leads there. Raises as `restore`."""
    if captured.kind == "replay":
        return replay(log, recipe, policy)
    return restore(captured, recipe, policy)
