"""The environment in this very process: no call costs more than the environment's own."""

from __future__ import annotations

from gym_http import environments
from gym_http.backends.contract import Opened


def open_local(recipe: environments.Recipe, policy: environments.Policy) -> Opened:
    """Make the environment here. Raises what environments.make raises."""
    return Opened(*environments.make(recipe, policy))
