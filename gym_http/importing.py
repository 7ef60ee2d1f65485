"""Importing modules that are first needed in the middle of a request.

Python's own import lock lets two threads through when modules import each other, and one of them
then sees a module half made. Agents that start together on a fresh server did. So a package is
imported by one thread at a time; other packages don't wait for it.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections import defaultdict
from typing import Any

_locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)


def module(name: str) -> Any:
    """The module of that name."""
    found = sys.modules.get(name)
    if found is not None and not getattr(found.__spec__, "_initializing", False):
        return found
    with lock_of(name):
        return importlib.import_module(name)


def lock_of(name: str) -> threading.RLock:
    """The lock of the package that `name` is in."""
    return _locks[name.partition(".")[0]]
