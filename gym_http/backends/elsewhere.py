"""The six members for an environment in another process: what they ask its tenant, and what they
make of the answers. How one asks there is the business of `process` and `ray`."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, NoReturn

from gym_http.backends.contract import There
from gym_http.backends.tenant import Described, Failure, Steps
from gym_http.environments import Facts, Recipe
from gym_http.errors import BackendLost, TimedOut
from gym_http.raised import RaisedElsewhere
from gym_http.spaces import batches
from gym_http.terms import Terms

CLOSE_S = 5.0  # what an environment may take to close, before that is done for it
MOST_AHEAD = 256  # steps in one go
MOST_BYTES_AHEAD = 8 * 1024 * 1024  # of their observations


class Elsewhere(There):
    """A backend whose environment a Tenant holds. Source: Backend, Foreseeing."""

    action_space: Any
    observation_space: Any
    took_s = 0.0

    def __init__(self, recipe: Recipe, terms: Terms) -> None:
        self.env_id = recipe.env_id
        self.lost: BackendLost | TimedOut | None = None  # once there is no tenant any more
        self._limit_s = terms.step_timeout_s or None
        self._make_limit_s = terms.make_timeout_s or None
        self._foreseen: deque[Any] = deque()  # actions
        self._stops = False
        self._ahead: deque[Any] = deque()  # outcomes
        self._failed: Failure | None = None  # after them

    @abstractmethod
    def ask(self, limit_s: float | None, verb: str, *arguments: Any) -> Any:
        """The tenant's answer. limit_s: for all of it, or each of its `steps`. Raises TimedOut,
        BackendLost, after which there is no tenant."""

    def require_tenant(self) -> None:
        """Raises what it was lost by."""
        if self.lost is not None:
            raise copy.copy(self.lost)  # one that is raised gets a traceback, which keeps all this

    def lose(self, error: BackendLost | TimedOut, steps_ahead: int) -> NoReturn:
        """There is no tenant any more. steps_ahead: how many it had made that nobody has got."""
        if steps_ahead:
            error.facts["steps_ahead"] = steps_ahead
        self.end()
        self.lost = copy.copy(error)
        raise error

    def leave(self) -> None:  # most have nothing to wait for
        """Give what held the environment, which is closed, time to go."""

    @abstractmethod
    def end(self) -> None:
        """See to it that nothing is left there."""

    def describe(self, described: Described) -> Facts:
        """Take over what the environment is like."""
        for name, space in described.spaces.items():
            setattr(self, name, copy.deepcopy(space))  # large bounds come as large arrays do
        self.env_id = described.facts.env_id  # which a retired id isn't
        self._most_ahead = min(
            MOST_AHEAD, max(1, MOST_BYTES_AHEAD // max(1, batches.size_of(self.observation_space)))
        )
        return described.facts

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        self._forget_steps()
        return self._asked("reset", seed, options)

    def begin(self, seed: Any, options: dict[str, Any] | None) -> tuple[Any, Any]:
        self._forget_steps()
        return self._asked("begin", seed, options)

    def step(self, action: Any) -> Any:
        if not self._ahead and self._failed is None:
            began = perf_counter()
            if not self._foreseen:
                outcome = self._asked("step", action)
                self.took_s = perf_counter() - began
                return outcome
            self._make_ahead()
            self.took_s = (perf_counter() - began) / max(1, len(self._ahead))
        if self._ahead:
            self._foreseen.popleft()
            return self._ahead.popleft()
        failed, self._failed = self._failed, None
        self._foreseen.clear()
        assert failed is not None
        return raised(failed)

    def render(self) -> Any:
        return self._asked("render")

    def apply(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return raised(self.ask(self._make_limit_s, "apply", function, *arguments))

    def close(self) -> None:
        if self.lost is not None:
            return
        try:
            raised(self.ask(min(CLOSE_S, self._limit_s or CLOSE_S), "close"))
            self.leave()
        finally:
            self.end()

    def foresee(self, actions: Sequence[Any], stops: bool) -> None:
        self._forget_steps()
        self._foreseen = deque(actions)  # in place of what a rollout that ended early has left
        self._stops = stops

    def _make_ahead(self) -> None:
        count = min(len(self._foreseen), self._most_ahead)
        some = [self._foreseen[index] for index in range(count)]
        made: Steps = raised(self.ask(self._limit_s, "steps", some, self._stops))
        self._ahead.extend(made.outcomes)
        self._failed = made.failure

    def _forget_steps(self) -> None:
        self._ahead.clear()
        self._failed = None

    def _asked(self, verb: str, *arguments: Any) -> Any:
        return raised(self.ask(self._limit_s, verb, *arguments))


def said(verb: str) -> str:
    """As users know what a tenant is asked for."""
    return {"steps": "step", "begin": "reset", "apply": "snapshot"}.get(verb, verb)


def raised(answer: Any) -> Any:
    """The answer; or raise what it tells."""
    if not isinstance(answer, Failure):
        return answer
    there = RaisedElsewhere(answer.brief, answer.refusal, answer.trace)
    if answer.ours is not None:
        raise answer.ours from there
    raise there
