"""What Gym's two files hold. Reading one checks it against this."""

from __future__ import annotations

from typing import Any

import msgspec


class Stats(msgspec.Struct):
    """The stats file. The four lists have an item for each finished episode; of types there may
    be one more."""

    initial_reset_timestamp: float | None = None  # epoch seconds
    timestamps: list[float] = []
    episode_lengths: list[int] = []
    episode_rewards: list[float] = []
    episode_types: list[str] = []


class Manifest(msgspec.Struct):
    """The manifest. Names are those of files beside it."""

    stats: str
    videos: list[tuple[str, str]] = []
    env_info: dict[str, Any] = {}
