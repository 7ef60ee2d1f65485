"""A recipe and terms -> an instance, ready to be used."""

from __future__ import annotations

from gym_http import backends, environments, keeping, spaces
from gym_http.backends.surviving import Surviving
from gym_http.blame import environments_own_code
from gym_http.catalogue import Policy
from gym_http.ending import close_quietly
from gym_http.environments import Recipe
from gym_http.errors import GymHTTPError
from gym_http.instance import Instance
from gym_http.progress import progress_of
from gym_http.settings import Settings
from gym_http.snapshots import History
from gym_http.snapshots.form import Parsed
from gym_http.snapshots.store import Snapshot
from gym_http.terms import Terms


def make_instance(
    recipe: Recipe,
    seed: int | None,
    terms: Terms,
    policy: Policy,
    settings: Settings,
    now: float,
    kept: Snapshot | Parsed | None = None,
) -> Instance:
    """Make the environment, and see that its spaces have a form on the wire.

    terms: settled. now: epoch seconds. kept: the state that it begins in. Raises what
    backends.make raises, UnsupportedSpace, Unsupported.
    """
    build: backends.Build = environments.make
    if kept is not None:
        build = keeping.build_of(kept.start if isinstance(kept, Parsed) else keeping.start_of(kept))
    env, facts = backends.make(recipe, policy, terms, settings, build)
    survives = settings.auto_restore > 0 and terms.backend != "local"
    if survives:
        env = Surviving(env, settings.auto_restore)
    instance = Instance(
        requested_id=recipe.env_id,
        env=env,
        facts=facts,
        terms=terms,
        idle_s=settings.idle_timeout_s if terms.lease_s is None else terms.lease_s,
        created=now,
        last_used=now,
        progress=progress_of(facts),
        pending_seed=seed,
        recipe=recipe,
        survives=survives,
    )
    try:
        with environments_own_code(facts.env_id, "its spaces"):
            spaces.describe(env.action_space)
            spaces.describe(env.observation_space)
            instance.history = History(env.action_space)
            if kept is not None:
                keeping.take_up(instance, kept)
            if seed is not None:
                env.action_space.seed(seed)
    except GymHTTPError:
        close_quietly(env)
        raise
    return instance
