"""The state of an instance kept, and an instance made of what is kept."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from gym_http import backends, playing, randomness, snapshots
from gym_http.backends import Build
from gym_http.blame import environments_own_code
from gym_http.catalogue import Policy
from gym_http.ending import close_quietly
from gym_http.environments import Recipe
from gym_http.instance import Instance
from gym_http.settings import Settings
from gym_http.snapshots import Captured, Log, form
from gym_http.snapshots.form import Parsed
from gym_http.snapshots.replay import decoded
from gym_http.snapshots.store import Snapshot
from gym_http.trials import Trials


def take(instance: Instance, trials: Trials) -> Snapshot:
    """Of a leased instance. Raises ResetNeeded, Unsupported, EnvFailed, TimedOut, BackendLost."""
    if not instance.progress.is_known:
        playing.require_running(instance)
    with environments_own_code(instance.env_id, "snapshot"):
        capture = partial(backends.apply, instance.env, snapshots.capture)
        captured = trials.captured(capture, instance.recipe, instance.terms)
        sampling = randomness.space_state(instance.env.action_space)
    if captured.kind == "replay":
        instance.history.log(captured.whole)  # or there is nothing to replay
    instance.history.captured(captured)
    return Snapshot(
        recipe=instance.recipe,
        captured=captured,
        history=instance.history.passed_on(),
        progress=instance.progress.passed_on(),
        sampling=sampling,
        facts=instance.facts,
        terms=instance.terms,
        instance_id=instance.instance_id,
        pending_seed=instance.pending_seed,
    )


def build_of(start: Captured | Log) -> Build:
    """What makes an environment in that state."""
    if isinstance(start, Log):
        return partial(snapshots.make_again, start)
    return partial(snapshots.restore, start)


def start_of(snapshot: Snapshot) -> Captured | Log:
    """Raises Unsupported."""
    if snapshot.captured.kind == "replay":
        return snapshot.history.log(snapshot.captured.whole)
    return snapshot.captured


def take_up(instance: Instance, kept: Snapshot | Parsed) -> None:
    """Let an instance whose environment was made of that go on as the one that it was taken of.
    Raises BadValue."""
    space = instance.env.action_space
    if isinstance(kept, Snapshot):
        instance.history = kept.history.passed_on()
        instance.progress = kept.progress.passed_on()
        if instance.pending_seed is None:
            instance.pending_seed = kept.pending_seed
    else:
        instance.progress.take(kept.progress)
        log = kept.start
        if isinstance(log, Captured):
            log = Log(log, [], "")
        instance.history.take(replace(log, events=list(decoded(log.events, space))))
    if kept.sampling is not None:
        randomness.set_space_state(space, kept.sampling)


def portable(
    snapshot: Snapshot, trials: Trials, policy: Policy, settings: Settings
) -> dict[str, Any]:
    """As a client may keep it, and send it back. Steps are made again to see that they lead here.
    Raises Unsupported, and what making raises."""
    start: Captured | Log = snapshot.captured
    if not snapshot.captured.portable:
        start = _portable_log(snapshot, trials)
    opened = backends.make(
        snapshot.recipe, policy, snapshot.terms, settings, build_of(start)
    ).backend
    try:
        facts = snapshot.facts
        return form.write(
            _served(snapshot.recipe, facts.env_id, facts.engine),
            facts.engine_version,
            start,
            opened.action_space,
            snapshot.progress.told(),
            snapshot.sampling,
        )
    finally:
        close_quietly(opened)


def _portable_log(snapshot: Snapshot, trials: Trials) -> Log:
    way = snapshot.captured
    if way.kind != "replay":  # nobody has asked yet
        way = trials.replay(snapshot.recipe, snapshot.terms)
    return snapshot.history.log(way.whole, portable=True)


def _served(recipe: Recipe, env_id: str, engine: str) -> Recipe:
    """By the id that serves, for servers whose newest version is another."""
    module, colon, _ = recipe.env_id.rpartition(":")
    return replace(recipe, env_id=f"{module}{colon}{env_id}", engine=engine)
