"""Where an environment lives. Nothing above knows which backend it talks to.

Another backend is a file here, with one function like `open_local`, and a row in BACKENDS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gym_http import environments, randomness
from gym_http.backends.contract import Backend, Build, Opened, There
from gym_http.backends.local import open_local
from gym_http.catalogue import Policy
from gym_http.environments import Recipe
from gym_http.errors import DependencyMissing
from gym_http.settings import Settings
from gym_http.terms import Terms

Open = Callable[[Recipe, Policy, Terms, Settings, Build], Opened]


def _process() -> Open:
    from gym_http.backends.process import open_process

    return open_process


def _ray() -> Open:
    from gym_http.backends.on_ray import open_ray

    return open_ray


# Each imported where it is first asked for.
BACKENDS: dict[str, Callable[[], Open]] = {
    "local": lambda: open_local,
    "process": _process,
    "ray": _ray,
}


def make(
    recipe: Recipe,
    policy: Policy,
    terms: Terms,
    settings: Settings,
    build: Build = environments.make,
) -> Opened:
    """Make what `recipe` asks for, where the terms, which are settled, say.

    build: is called there, and can be sent. Raises what it raises, TimedOut and BackendLost.
    """
    which = terms.backend or "local"
    if which not in BACKENDS:
        raise DependencyMissing(f"the backend {which!r} isn't there")
    return BACKENDS[which]()(recipe, policy, terms, settings, build)


def begin(backend: Backend, seed: Any, options: dict[str, Any] | None) -> tuple[Any, Any]:
    """(the random state before a reset, what that returns)."""
    if isinstance(backend, There):
        return backend.begin(seed, options)
    return randomness.before_reset(backend), backend.reset(seed=seed, options=options)


def apply(backend: Backend, function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(env, *arguments)`, where the environment lives (`There.apply`)."""
    if isinstance(backend, There):
        return backend.apply(function, *arguments)
    return function(backend, *arguments)


__all__ = ["BACKENDS", "Backend", "Build", "Opened", "apply", "begin", "make"]
