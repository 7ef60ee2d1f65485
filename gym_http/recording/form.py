"""What Gym's two files hold. Reading one checks it against this."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

Length = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]  # of an episode, in steps


class Stats(msgspec.Struct):
    """The stats file. The four lists have an item for each finished episode; of types there may
    be one more."""

    initial_reset_timestamp: float | None = None  # epoch seconds
    timestamps: list[float] = []
    episode_lengths: list[Length] = []
    episode_rewards: list[float] = []
    episode_types: list[str] = []


class Manifest(msgspec.Struct):
    """The manifest. Names are those of files beside it."""

    stats: str
    videos: list[tuple[str, str]] = []
    env_info: dict[str, Any] = {}
