"""What the service's verbs answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Created:
    instance_id: str
    env_id: str  # the one that serves
    warning: str | None


@dataclass(frozen=True)
class Observed:
    """What reset answers. info_dropped: paths in info that could not be carried."""

    observation: Any
    info: dict[str, Any]
    info_dropped: list[str]


@dataclass(frozen=True)
class Transition:
    """What step answers. Source: gymnasium.Env.step."""

    observation: Any
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]
    info_dropped: list[str]
