"""The state of an environment, kept to be taken up again."""

from gym_http.snapshots.capture import capture, make_after_crash, make_again, replayable, restore
from gym_http.snapshots.history import Captured, History, Log, Reset

__all__ = [
    "Captured",
    "History",
    "Log",
    "Reset",
    "capture",
    "make_after_crash",
    "make_again",
    "replayable",
    "restore",
]
