"""The environment in this very process: no call costs more than the environment's own."""

from __future__ import annotations

from gym_http import environments
from gym_http.backends.contract import Backend, Opened
from gym_http.backends.one_thread import OneThread, draws_with_opengl
from gym_http.catalogue import Policy
from gym_http.settings import Settings
from gym_http.terms import Terms


def open_local(
    recipe: environments.Recipe, policy: Policy, terms: Terms, settings: Settings
) -> Opened:
    """Make the environment here. Raises what environments.make raises."""
    env, facts = environments.make(recipe, policy)
    backend: Backend = OneThread(env) if draws_with_opengl(env) else env
    return Opened(backend, facts)
