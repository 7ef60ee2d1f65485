"""What a backend is: the six members of gymnasium.Env, of which no more is used, and one beside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from gym_http.catalogue import Policy
from gym_http.environments import Facts, Made, Recipe

Build = Callable[[Recipe, Policy], Made]  # environments.make, or what restores a snapshot


class Backend(Protocol):
    """One environment, wherever it lives. Source: gymnasium.Env, which is one.

    A vector environment is one as well (source: gymnasium.vector.VectorEnv): its spaces are those
    of all its environments together, and it has `single_action_space` and
    `single_observation_space` beside.

    Arrays that it returns may be overwritten by its next call. Where the environment is gone with
    what it lived in, a call raises BackendLost; where it is late, TimedOut. Both are for good.
    """

    action_space: Any
    observation_space: Any

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any: ...

    def step(self, action: Any) -> Any: ...

    def render(self) -> Any: ...

    def close(self) -> None: ...


class There(ABC):
    """A backend whose environment is called elsewhere than the backend: in another process, or on
    a thread of its own."""

    @abstractmethod
    def begin(self, seed: Any, options: dict[str, Any] | None) -> tuple[Any, Any]:
        """A reset, and what `randomness.before_reset` reads before it: (that, what it returns)."""

    @abstractmethod
    def apply(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """`function(env, *arguments)`, called where the environment lives. The function is one of
        a module of ours; what it takes, returns or raises can be sent. It may take as long as
        making the environment."""


@runtime_checkable
class Foreseeing(Protocol):
    """A backend that is slow to reach, and glad to know what comes.

    took_s: what its last step took; of those that were made in one go, each an equal part.
    """

    took_s: float

    def foresee(self, actions: Sequence[Any], stops: bool) -> None:
        """Say which actions the next steps will have, as far as no reset comes between. The
        backend may make them ahead, but none after one that ended an episode where it `stops`.
        An empty list takes the rest back."""
        ...


class Opened(NamedTuple):
    """A backend with its environment made, and the facts about it."""

    backend: Backend
    facts: Facts
