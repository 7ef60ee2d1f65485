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
    """What step answers: a float and booleans, or of a vector environment arrays of num_envs.

    Source: gymnasium.Env.step; done is terminated or truncated.
    """

    observation: Any
    reward: Any
    done: Any
    terminated: Any
    truncated: Any
    info: dict[str, Any]
    info_dropped: list[str]


@dataclass(frozen=True)
class SpaceDescription:
    """single: of one environment of a vector environment's; None where it is a single one."""

    info: dict[str, Any]
    single: dict[str, Any] | None
