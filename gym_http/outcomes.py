"""What the service's verbs answer. Structs are made ten times as fast as dataclasses."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Created(Struct, frozen=True):
    instance_id: str
    env_id: str  # the one that serves
    warning: str | None


class Taken(Struct, frozen=True):
    """A snapshot. kind: "native", "copy" or "replay" (docs/snapshots.md)."""

    snapshot_id: str
    kind: str


class Observed(Struct, frozen=True):
    """What reset answers. info_dropped: paths in info that could not be carried."""

    observation: Any
    info: dict[str, Any]
    info_dropped: list[str]
    restored: bool = False  # whether it has come back from a crash for it


class Transition(Struct, frozen=True):
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
    restored: bool = False


class Rollout(Struct, frozen=True):
    """What rollout answers. steps: how many were made; fields: those that were asked for, by name
    (`gym_http.tape.FIELDS`)."""

    steps: int
    fields: dict[str, Any]
    info_dropped: list[str]
    restored: bool = False


class SpaceDescription(Struct, frozen=True):
    """single: of one environment of a vector environment's; None where it is a single one."""

    info: dict[str, Any]
    single: dict[str, Any] | None
