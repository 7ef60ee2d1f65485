"""Where an environment lives. Nothing above knows which backend it talks to.

Another backend is a file here, with one function like `open_local`, and a row in BACKENDS.
"""

from __future__ import annotations

from collections.abc import Callable

from gym_http.backends.contract import Backend, Opened
from gym_http.backends.local import open_local
from gym_http.catalogue import Policy
from gym_http.environments import Recipe
from gym_http.errors import DependencyMissing
from gym_http.settings import Settings
from gym_http.terms import Terms

BACKENDS: dict[str, Callable[[Recipe, Policy, Terms, Settings], Opened]] = {"local": open_local}


def make(recipe: Recipe, policy: Policy, terms: Terms, settings: Settings) -> Opened:
    """Make what `recipe` asks for, where the terms, which are settled, say.

    Raises what environments.make raises, TimedOut and BackendLost.
    """
    open_there = BACKENDS.get(terms.backend or "")
    if open_there is None:
        raise DependencyMissing(f"the backend {terms.backend!r} isn't there")
    return open_there(recipe, policy, terms, settings)


__all__ = ["BACKENDS", "Backend", "Opened", "make"]
