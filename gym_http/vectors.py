"""Many environments stepped as one: the environment's own vector form, or Gymnasium's two.

What is asked for                 what is made
"native"                          the form that the environment brings
"sync"                            gymnasium.vector.SyncVectorEnv: one after the other, here
"async"                           gymnasium.vector.AsyncVectorEnv: each in a process of its own
"auto", which is the default      "sync", and "native" where there is nothing else

"auto" isn't "native" wherever there is one, because a native form draws its random numbers for all
environments together and may compute, or even observe, otherwise than the single one: the same
seeds would no longer give the same trajectories.
"""

from __future__ import annotations

import inspect
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from gym_http import spaces
from gym_http.errors import BadValue, shown
from gym_http.side_by_side import Async, Build, Sync

VECTORIZATIONS = ("auto", "native", "sync", "async")
AUTORESETS = {
    "next_step": AutoresetMode.NEXT_STEP,
    "same_step": AutoresetMode.SAME_STEP,
    "disabled": AutoresetMode.DISABLED,
}
MOST_PROCESSES = 128  # of one "async" environment


def choice(vectorization: str | None, spec: Any) -> str:
    """Which of "native", "sync", "async" serves. Raises BadValue."""
    asked = vectorization or "auto"
    if asked not in VECTORIZATIONS:
        raise BadValue(
            f"vectorization must be one of {', '.join(VECTORIZATIONS)}, got {shown(asked)}"
        )
    has_native = getattr(spec, "vector_entry_point", None) is not None
    if asked == "native" and not has_native:
        raise BadValue(f"{spec.id} has no vector form of its own; take 'sync' or 'async'")
    if asked == "auto":
        return "native" if has_native and spec.entry_point is None else "sync"
    return asked


def autoreset_mode(asked: str | None) -> AutoresetMode:
    """Raises BadValue."""
    if asked is not None and asked not in AUTORESETS:
        raise BadValue(f"autoreset must be one of {', '.join(AUTORESETS)}, got {shown(asked)}")
    return AUTORESETS[asked or "next_step"]


def autoreset_of(env: VectorEnv[Any, Any, Any]) -> str:
    """How the environment begins its next episodes; Gymnasium takes "next_step" for granted."""
    told = env.metadata.get("autoreset_mode")
    return next((name for name, mode in AUTORESETS.items() if mode is told), "next_step")


def native(
    spec: Any, num_envs: int, asked: str | None, /, **options: Any
) -> VectorEnv[Any, Any, Any]:
    """The environment's own vector form. Raises BadValue where it begins episodes otherwise than
    was asked for, and can't be told."""
    creator = creator_of(spec.vector_entry_point)
    if asked is not None and "autoreset_mode" in inspect.signature(creator).parameters:
        options["autoreset_mode"] = autoreset_mode(asked)
    env = gymnasium.make_vec(
        spec, num_envs=num_envs, vectorization_mode="vector_entry_point", **options
    )
    if asked is not None and autoreset_of(env) != asked:
        env.close()
        raise BadValue(
            f"the vector form of {spec.id} has autoreset {autoreset_of(env)!r}; for {asked!r} "
            "take 'sync' or 'async'"
        )
    return env


def sync(build: Build, num_envs: int, autoreset: str | None) -> VectorEnv[Any, Any, Any]:
    return Sync(build, num_envs, autoreset_mode(autoreset))


def asynchronous(build: Build, num_envs: int, autoreset: str | None) -> VectorEnv[Any, Any, Any]:
    """Raises BadValue for more processes than anybody wants, and for what Gymnasium gets wrong."""
    if num_envs > MOST_PROCESSES:
        raise BadValue(f"'async' takes a process each: at most {MOST_PROCESSES}, got {num_envs}")
    mode = autoreset_mode(autoreset)
    probe = build()
    try:
        shared = _fits_shared_memory(probe.observation_space)
    finally:
        probe.close()
    if not shared and mode is AutoresetMode.NEXT_STEP:
        # Gymnasium's worker would forget a reset that follows an end, and reset once more.
        raise BadValue(
            "'async', with observations that aren't arrays throughout, has no 'next_step'; take "
            "'same_step' or 'disabled', or 'sync'"
        )
    return Async(build, num_envs, mode, shared)


def _fits_shared_memory(space: Any) -> bool:
    """Whether its elements are arrays throughout. Gymnasium reads a Text there only once."""
    if isinstance(space, (gymnasium.spaces.Tuple, gymnasium.spaces.Dict)):
        parts = space.spaces
        return all(map(_fits_shared_memory, parts.values() if isinstance(parts, dict) else parts))
    return isinstance(space, spaces.NUMBERS)


def with_last_encoded(env: Any, info: Any) -> Any:
    """`info` with its "final_obs" as wire values: the last observations of environments that have
    reset themselves in the same step are elements of a space, as no other info is."""
    last = info.get("final_obs") if isinstance(info, dict) else None
    space = getattr(env, "single_observation_space", None)
    if space is None or not isinstance(last, np.ndarray) or last.dtype.kind != "O":
        return info
    encoded = [None if one is None else spaces.encode(space, one) for one in last]
    return {**info, "final_obs": encoded}


def creator_of(entry_point: Any) -> Any:
    if isinstance(entry_point, str):
        return gymnasium.envs.registration.load_env_creator(entry_point)
    return entry_point
