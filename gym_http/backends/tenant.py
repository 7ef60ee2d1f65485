"""The environment in a process of its own, as that process sees it: asked for verbs, it answers
with what can travel. What it raises is answered, too."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gym_http import catalogue, randomness
from gym_http.backends.contract import Build
from gym_http.catalogue import Policy
from gym_http.environments import Facts, Recipe
from gym_http.errors import GymHTTPError, MakeFailed
from gym_http.info import Told, wire_info
from gym_http.raised import brief, is_refusal
from gym_http.vectors import with_last_encoded

SPACES = ("action_space", "observation_space", "single_action_space", "single_observation_space")


class Described(NamedTuple):
    """What the server has to know of an environment that it doesn't hold. spaces: by SPACES."""

    spaces: dict[str, Any]
    facts: Facts


class Failure(NamedTuple):
    """What a verb raised. ours: where it was one of ours; trace: the text of the traceback."""

    brief: str
    refusal: bool
    trace: str
    ours: GymHTTPError | None = None


class Steps(NamedTuple):
    """The outcomes of several steps, and what the last one raised instead of one."""

    outcomes: list[Any]
    failure: Failure | None


class Tenant:
    """Its methods are called one at a time, always by the same thread."""

    def __init__(self) -> None:
        self._env: Any = None

    def answer(self, verb: str, *arguments: Any) -> Any:
        """What the verb returns, or a Failure. Never raises but MemoryError."""
        try:
            return getattr(self, verb)(*arguments)
        except MemoryError:
            raise
        except BaseException as error:
            return failure_of(error)

    def make(self, recipe: Recipe, policy: Policy, build: Build) -> Described:
        catalogue.import_modules(policy.imports)
        try:
            self._env, facts = build(recipe, policy)
        except (GymHTTPError, MemoryError):
            raise
        except BaseException as error:  # nobody presses Ctrl-C here
            raise MakeFailed(f"{recipe.env_id} could not be made: {brief(error)}") from error
        spaces = {name: getattr(self._env, name) for name in SPACES if hasattr(self._env, name)}
        return Described(spaces, facts)

    def reset(self, seed: Any, options: dict[str, Any] | None) -> Any:
        observation, info = self._env.reset(seed=seed, options=options)
        return observation, self._told(info)

    def begin(self, seed: Any, options: dict[str, Any] | None) -> Any:
        return randomness.before_reset(self._env), self.reset(seed, options)

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self._env.step(action)
        return observation, reward, terminated, truncated, self._told(info)

    def steps(
        self, actions: Sequence[Any], stops: bool, begins: Callable[[int], None] = lambda _: None
    ) -> Steps:
        """begins: is told the index of each step before it is made."""
        outcomes: list[Any] = []
        for index, action in enumerate(actions):
            begins(index)
            outcome = self.answer("step", action)
            if isinstance(outcome, Failure):
                return Steps(outcomes, outcome)
            outcomes.append(tuple(map(_own, outcome)) if len(actions) > 1 else outcome)
            if stops and _ends(outcome):
                break
        return Steps(outcomes, None)

    def render(self) -> Any:
        try:
            return self._env.render()
        except NotImplementedError:
            return None

    def apply(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(self._env, *arguments)

    def close(self) -> None:
        if self._env is not None:
            self._env.close()

    def _told(self, info: Any) -> Any:
        if type(info) is dict and not info:
            return info
        return Told(*wire_info(with_last_encoded(self._env, info)))


def _own(value: Any) -> Any:
    """A copy of what the next step may write into."""
    if type(value) in (float, bool, int, str):
        return value
    return value.copy() if type(value) is np.ndarray else copy.deepcopy(value)


def _ends(outcome: Any) -> bool:
    """Whether an episode ended. What is no outcome ends it as well: the server will refuse it."""
    try:
        _, _, terminated, truncated, _ = outcome
        if type(terminated) is bool and type(truncated) is bool:
            return terminated or truncated
        return bool(np.any(terminated)) or bool(np.any(truncated))
    except Exception:
        return True


def failure_of(error: BaseException) -> Failure:
    ours = error if isinstance(error, GymHTTPError) else None
    trace = "".join(traceback.format_exception(error))
    return Failure(brief(error), is_refusal(error), trace, ours)
