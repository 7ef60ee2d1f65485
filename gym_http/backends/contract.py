"""What a backend is: the six members of gymnasium.Env, of which no more is used."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from gym_http.environments import Facts


class Backend(Protocol):
    """One environment, wherever it lives. Source: gymnasium.Env, which is one.

    A vector environment is one as well (source: gymnasium.vector.VectorEnv): its spaces are those
    of all its environments together, and it has `single_action_space` and
    `single_observation_space` beside.
    """

    action_space: Any
    observation_space: Any

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any: ...

    def step(self, action: Any) -> Any: ...

    def render(self) -> Any: ...

    def close(self) -> None: ...


class Opened(NamedTuple):
    """A backend with its environment made, and the facts about it."""

    backend: Backend
    facts: Facts
