"""The state of an environment, kept to be taken up again."""

from gym_http.snapshots.capture import (
    KINDS,
    REPLAYS,
    capture,
    make_after_crash,
    make_again,
    replayed,
    restore,
)
from gym_http.snapshots.history import Captured, History, Log, Reset

__all__ = [
    "KINDS",
    "REPLAYS",
    "Captured",
    "History",
    "Log",
    "Reset",
    "capture",
    "make_after_crash",
    "make_again",
    "replayed",
    "restore",
]
