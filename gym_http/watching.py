"""Whether this thread answers a caller who may only watch: who does keeps no instance alive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_current: ContextVar[bool] = ContextVar("watching", default=False)

is_watching = _current.get


@contextmanager
def watching() -> Iterator[None]:
    """What is done in here is done for such a caller."""
    before = _current.set(True)
    try:
        yield
    finally:
        _current.reset(before)
