"""Where an environment lives. Nothing above knows which backend it talks to.

Another backend is a file here, with one function like `open_local`, and a row in BACKENDS.
"""

from __future__ import annotations

from collections.abc import Callable

from gym_http.backends.contract import Backend, Opened
from gym_http.backends.local import open_local
from gym_http.catalogue import Policy
from gym_http.environments import Recipe

BACKENDS: dict[str, Callable[[Recipe, Policy], Opened]] = {"local": open_local}

__all__ = ["BACKENDS", "Backend", "Opened"]
