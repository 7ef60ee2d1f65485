"""Importing modules that are first needed in the middle of a request.

Python's own import lock lets two threads through when modules import each other, and one of them
then sees a module half made. Agents that start together on a fresh server did.
"""

from __future__ import annotations

import importlib
import threading
from typing import Any

LOCK = threading.RLock()


def module(name: str) -> Any:
    """The module of that name, imported by one thread at a time."""
    with LOCK:
        return importlib.import_module(name)
