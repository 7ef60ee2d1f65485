"""What is done to a leased instance by a reset and by a step.

Here wire values become native ones and native ones wire values, the environment's own code is
called, and its instance's progress and recorder are told.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

from gym_http import backends
from gym_http.blame import environments_own_code, raise_blamed, refusal_of
from gym_http.errors import ResetNeeded
from gym_http.info import Told, owned, wire_info
from gym_http.instance import Instance
from gym_http.outcomes import Observed, Transition
from gym_http.vectors import with_last_encoded


def reset(instance: Instance, seed: Any, options: dict[str, Any] | None) -> Observed:
    """Begin an episode. Raises BadValue, EnvFailed."""
    progress, env = instance.progress, instance.env
    if progress.has_failed:
        instance.history.fail()
    seed = instance.pending_seed if seed is None else seed
    seed, options = progress.reset_arguments(seed, options)
    with environments_own_code(instance.env_id, "reset", progress):
        with refusal_of(options, progress):
            # A copy: some take what they know out of it.
            mine, random = options and {**options}, None
            if instance.history.needs_random_state(options):
                random, (value, info) = backends.begin(env, seed, mine)
            else:
                value, info = env.reset(seed=seed, options=mine)
        observation = instance.encode(value)
        carried = _told(instance, info)
    instance.pending_seed = None
    instance.history.reset(seed, options, random)
    instance.history.last = (observation,)
    begun = progress.begin(options)
    if instance.recorder is not None:
        instance.recorder.reset(begun)
    return Observed(observation, *carried, instance.survives and instance.told_restored())


def step(instance: Instance, action: Any) -> Transition:
    """Advance by one step. Raises ResetNeeded, BadValue, EnvFailed."""
    require_running(instance)
    return advance(instance, instance.decode(action))


def advance(instance: Instance, native: Any) -> Transition:
    """Make a step, which may be made, of a native action. Raises EnvFailed."""
    progress = instance.progress
    env: Any = instance.env
    steps, episodes = progress.steps, progress.episodes
    try:
        begun = perf_counter()
        value, reward, terminated, truncated, info = env.step(native)
        instance.tally.took(env.took_s if instance.foresees else perf_counter() - begun)
        reward, terminated, truncated = progress.outcome(reward, terminated, truncated)
        observation = instance.encode(value)
        told, dropped = _told(instance, info)
    except BaseException as error:
        raise_blamed(error, instance.env_id, "step", progress)
    instance.history.note(native)
    instance.history.last = observation, reward, terminated, truncated
    done = terminated | truncated
    stepped = progress.step(reward, done)
    instance.tally.made(progress.steps - steps, progress.episodes - episodes)
    if instance.recorder is not None:
        instance.recorder.step(stepped)
    restored = instance.survives and instance.told_restored()
    return Transition(observation, reward, done, terminated, truncated, told, dropped, restored)


def _told(instance: Instance, info: Any) -> tuple[dict[str, Any], list[str]]:
    """(info as wire values, what had to be left out)."""
    if type(info) is dict and not info:
        return {}, []
    if isinstance(info, Told):  # where the environment lives
        return owned(info), info.dropped
    return wire_info(with_last_encoded(instance.env, info))


def require_running(instance: Instance) -> None:
    """Raises ResetNeeded where no step can be made."""
    obstacle = instance.progress.obstacle
    if obstacle is not None:
        raise ResetNeeded(f"Instance_id {instance.instance_id} {obstacle}: reset it first")
