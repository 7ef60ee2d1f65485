"""What a backend is: the six members of gymnasium.Env, of which no more is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class Backend(Protocol):
    """One environment, wherever it lives. Source: gymnasium.Env, which is one."""

    action_space: Any
    observation_space: Any

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any: ...

    def step(self, action: Any) -> Any: ...

    def render(self) -> Any: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Opened:
    """A backend with its environment made, and the facts about it."""

    backend: Backend
    env_id: str  # the one that serves
    engine: str
    engine_version: str
    fps: float  # of its pictures
    warning: str | None
