"""An environment made again and brought, step by step, to where another one was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from gym_http import randomness, spaces
from gym_http.catalogue import Policy
from gym_http.environments import Made, Recipe, make
from gym_http.errors import GymHTTPError, Unsupported
from gym_http.snapshots.history import Captured, Log, Reset, digest_of
from gym_http.spaces import batches


class Actions:
    """Some that a client sent, to be decoded once there is a space to decode them by."""

    def __init__(self, where: str, wire: Any) -> None:
        """where: what a refusal calls them."""
        self._where = where
        self._wire = wire

    def decoded(self, space: Any) -> Sequence[Any] | np.ndarray:
        """Raises BadValue."""
        return batches.decode_each(self._where, space, self._wire)


def decoded(events: list[Any], space: Any) -> Iterator[Any]:
    """Native actions, and Resets. Raises BadValue."""
    for event in events:
        if isinstance(event, Actions):
            yield from event.decoded(space)
        else:
            yield event


Restore = Callable[[Captured, Recipe, Policy], Made]


def replay(log: Log, recipe: Recipe, policy: Policy, restore: Restore | None = None) -> Made:
    """restore: of a log that starts with what was captured.

    Raises Unsupported where the steps end elsewhere, or the environment raises; and what making
    raises.
    """
    if log.start is None:
        made = make(recipe, policy)
    else:
        assert restore is not None
        made = restore(log.start, recipe, policy)
    try:
        deadline = time.monotonic() + log.most_s
        outcome = _play(made.env, decoded(log.events, made.env.action_space), deadline)
        if outcome is not None and _digest(made.env, *outcome) != log.digest:
            raise Unsupported(
                "made again, its episode's steps led elsewhere, as with randomness of its own, a "
                "clock, or another version of its package"
            )
    except BaseException as error:
        made.env.close()
        if isinstance(error, GymHTTPError) or not isinstance(error, (Exception, SystemExit)):
            raise
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise Unsupported(f"made again, its episode's steps failed: {text}") from error
    return made


def begin(env: Any, reset: Reset) -> Any:
    """A reset as it was made. Returns what it gives."""
    if reset.random is not None:
        randomness.set_random_state(env, reset.random, ours=not reset.portable)
    return env.reset(seed=reset.seed, options=reset.options and {**reset.options})


def _play(env: Any, events: Iterator[Any], deadline: float) -> Any:
    """What the last event brought: observation, and of a step, reward and ends. deadline: as
    time.monotonic tells it. Raises Unsupported when it is over."""
    outcome: Any = None
    for event in events:
        if time.monotonic() > deadline:
            raise Unsupported("its episode's steps take too long to be made again")
        outcome = begin(env, event)[:1] if isinstance(event, Reset) else env.step(event)[:4]
    return outcome


def _digest(env: Any, observation: Any, *rest: Any) -> str:
    return digest_of(spaces.encode(env.observation_space, observation), *rest)
