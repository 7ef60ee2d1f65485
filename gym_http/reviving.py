"""How an instance comes back whose process, or node, has crashed (`--auto-restore`)."""

from __future__ import annotations

import copy
import logging
from functools import partial

from gym_http import backends, environments, snapshots
from gym_http.backends import Backend
from gym_http.backends.surviving import Surviving
from gym_http.catalogue import Policy
from gym_http.errors import BackendLost, TimedOut
from gym_http.instance import Instance
from gym_http.registry import Registry
from gym_http.settings import Settings

log = logging.getLogger(__name__)


def prepare(instance: Instance, policy: Policy, settings: Settings, registry: Registry) -> None:
    """Let an instance that survives know how."""
    if isinstance(instance.env, Surviving):
        instance.env.again = partial(_again, instance, policy, settings, registry)


def _again(
    instance: Instance, policy: Policy, settings: Settings, registry: Registry, lost: BackendLost
) -> Backend:
    """An environment brought to where that of a leased instance was: from its last snapshot, or
    from its beginning. Raises Unsupported, and what backends.make raises."""
    instance.last_error = copy.copy(lost), registry.clock()
    log.warning("restoring", extra={**instance.names(), "error": str(lost)})
    build: backends.Build = environments.make
    if instance.history.last:  # else it has not been called yet
        build = partial(snapshots.make_after_crash, instance.history.latest())
    try:
        made = backends.make(instance.recipe, policy, instance.terms, settings, build)
    except (BackendLost, TimedOut):  # that one as well; the first is counted with the end
        registry.worker_died(instance.backend)
        raise
    registry.worker_died(instance.backend)
    return made.backend
