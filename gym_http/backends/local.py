"""The environment in this very process: no call costs more than the environment's own."""

from __future__ import annotations

from gym_http.backends.contract import Build, Opened
from gym_http.backends.one_thread import OneThread, draws_with_opengl
from gym_http.catalogue import Policy
from gym_http.environments import Recipe
from gym_http.settings import Settings
from gym_http.terms import Terms


def open_local(
    recipe: Recipe,
    policy: Policy,
    terms: Terms,
    settings: Settings,
    build: Build,
) -> Opened:
    """Make the environment here. Raises what `build` raises, and TimedOut.

    It is made on a thread that stays its own where it draws with OpenGL, or where somebody may
    stop waiting for it; any other is called on the caller's.
    """
    thread = OneThread(recipe.env_id)
    try:
        facts = thread.make(lambda: build(recipe, policy), terms.make_timeout_s or None)
    except BaseException:
        thread.abandon()
        raise
    if terms.step_timeout_s or draws_with_opengl(thread.env):
        return Opened(thread.hold(terms.step_timeout_s or None), facts)
    return Opened(thread.let_go(), facts)
