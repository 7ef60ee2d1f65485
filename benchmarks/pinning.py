"""On which processor cores this process runs, and those that it starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

CAN_PIN = hasattr(os, "sched_setaffinity")


def allowed_cores() -> list[int]:
    """The cores that this process may use; empty where the system doesn't tell."""
    return sorted(os.sched_getaffinity(0)) if CAN_PIN else []


@contextmanager
def on_cores(cores: list[int]) -> Iterator[None]:
    """Run on these cores only. Processes and threads that are started in here inherit that.
    Does nothing for no cores."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
