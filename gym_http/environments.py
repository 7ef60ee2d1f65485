"""An id -> an environment: which engine has it, what serves a retired id, how it renders."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import gymnasium

from gym_http import importing, vectors
from gym_http.catalogue import Policy, find, sentence
from gym_http.engines import Engine, engine
from gym_http.errors import (
    BadValue,
    DependencyMissing,
    GymHTTPError,
    MakeFailed,
    shown,
)

log = logging.getLogger(__name__)

_OWN_FIELDS = ("render_mode", "max_episode_steps")
_NOT_KWARGS = (
    "id",
    "disable_env_checker",
    "autoreset",
    "autoreset_mode",
    "apply_api_compatibility",
    "num_envs",
    "vectorization_mode",
    "vector_kwargs",
    "wrappers",
)


@dataclass(frozen=True)
class Recipe:
    """What a caller asked for. `engine` None means: whichever knows the id; `num_envs` None: a
    single environment; `vectorization` and `autoreset` None: "auto", and "next_step" or what the
    environment's own vector form does."""

    env_id: str
    engine: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    render_mode: str | None = None
    max_episode_steps: int | None = None
    num_envs: int | None = None
    vectorization: str | None = None
    autoreset: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to know of an environment that was made."""

    env_id: str  # the one that serves, which a retired id is not
    engine: str
    engine_version: str
    fps: float = 30.0  # of its pictures
    render_mode: str | None = None
    max_episode_steps: int | None = None
    reward_threshold: float | None = None
    nondeterministic: bool = False
    num_envs: int | None = None  # None: a single one
    vectorization: str | None = None
    autoreset: str | None = None
    warning: str | None = None


class Made(NamedTuple):
    """A gymnasium.Env, or VectorEnv, and the facts about it."""

    env: Any
    facts: Facts


def make(recipe: Recipe, policy: Policy) -> Made:
    """Build what `recipe` asks for.

    Raises MalformedEnvId, BadValue, MakeFailed, DependencyMissing. Source: gymnasium.make,
    gymnasium.make_vec and gym.make.
    """
    _check_vectorization(recipe, policy)
    source, spec, warning = find(recipe.env_id, recipe.engine, policy)
    options: dict[str, Any] = {**_checked_kwargs(recipe.kwargs)}
    if recipe.max_episode_steps is not None:
        options["max_episode_steps"] = recipe.max_episode_steps
    how = None if recipe.num_envs is None else vectors.choice(recipe.vectorization, spec)
    env = _build(source, spec, options, recipe, how)
    return Made(env, _facts(env, source, spec, warning, recipe, how))


def facts_of(env: Any, recipe: Recipe, policy: Policy) -> Facts:
    """About an environment that `recipe` was made of earlier. Raises as `make` does."""
    source, spec, warning = find(recipe.env_id, recipe.engine, policy)
    how = None if recipe.num_envs is None else vectors.choice(recipe.vectorization, spec)
    return _facts(env, source, spec, warning, recipe, how)


def _facts(
    env: Any, source: Engine, spec: Any, warning: str | None, recipe: Recipe, how: str | None
) -> Facts:
    return Facts(
        env_id=spec.id,
        engine=source.name,
        engine_version=source.version,
        fps=_fps(env.metadata),
        render_mode=getattr(env, "render_mode", None),
        max_episode_steps=recipe.max_episode_steps or spec.max_episode_steps,
        reward_threshold=spec.reward_threshold,
        nondeterministic=bool(spec.nondeterministic),
        num_envs=recipe.num_envs,
        vectorization=how,
        autoreset=None if how is None else vectors.autoreset_of(env),
        warning=warning,
    )


def _check_vectorization(recipe: Recipe, policy: Policy) -> None:
    if recipe.num_envs is None:
        for name in ("vectorization", "autoreset"):
            if getattr(recipe, name) is not None:
                raise BadValue(f"{name} goes with num_envs, which was not provided")
    elif not 1 <= recipe.num_envs <= policy.max_num_envs:
        raise BadValue(
            f"num_envs: expected an integer from 1 to {policy.max_num_envs} (--max-num-envs), "
            f"got {recipe.num_envs}"
        )
    vectors.autoreset_mode(recipe.autoreset)


def _build(
    source: Engine, spec: Any, options: dict[str, Any], recipe: Recipe, how: str | None
) -> Any:
    """The environment, by the engine's make, whatever that raises told as ours."""
    count, autoreset = recipe.num_envs or 1, recipe.autoreset
    try:
        if how == "native":
            make_native = partial(vectors.native, spec, count, autoreset)
            return _with_mode(make_native, spec.vector_entry_point, options, recipe.render_mode)
        if how is None:
            return _build_one(source.name, spec, options, recipe.render_mode)
        build_one = partial(_build_one, source.name, spec, options, recipe.render_mode)
        build_many = vectors.sync if how == "sync" else vectors.asynchronous
        return build_many(build_one, count, autoreset)
    except GymHTTPError:
        raise
    except (Exception, SystemExit) as error:
        text = f"{spec.id} could not be made: {sentence(error)}"
        if isinstance(error, ImportError) or type(error).__name__ == "DependencyNotInstalled":
            raise DependencyMissing(text) from error
        raise MakeFailed(text, detail=type(error).__name__) from error


def _build_one(
    engine_name: str, spec: Any, options: dict[str, Any], asked_mode: str | None
) -> gymnasium.Env[Any, Any]:
    """A single environment, in whichever process this is called."""
    build = partial(engine(engine_name).build, spec)
    return _with_mode(build, spec.entry_point, options, asked_mode)


def _with_mode(
    build: Callable[..., Any], entry_point: Any, options: dict[str, Any], asked_mode: str | None
) -> Any:
    """`build` with the render mode that was asked for, or the best there is."""
    modes = _render_modes(entry_point)
    mode = _choose_mode(asked_mode, modes)
    if mode is None:
        return build(**options)
    try:
        return build(**options, render_mode=mode)
    except TypeError as error:
        if modes is not None or asked_mode is not None or "render_mode" not in str(error):
            raise
        return build(**options)  # a factory function that doesn't know the argument


def _render_modes(entry_point: Any) -> list[str] | None:
    """The modes that the environment's class declares; None where only building it would tell."""
    if isinstance(entry_point, str):
        importing.module(entry_point.partition(":")[0])
    metadata = getattr(vectors.creator_of(entry_point), "metadata", None)
    if not isinstance(metadata, dict):
        return None
    return list(metadata.get("render_modes") or ())


def _fps(metadata: dict[str, object]) -> float:
    """Frames a second of the environment's pictures; Gym's 30 where it names none."""
    fps = metadata.get("render_fps") or metadata.get("video.frames_per_second")
    return float(fps) if isinstance(fps, (int, float)) and fps > 0 else 30.0


def _choose_mode(asked: str | None, modes: list[str] | None) -> str | None:
    if asked == "human":
        raise BadValue(
            "render_mode 'human' opens a window, which a server doesn't; take 'rgb_array' and "
            "GET …/render/ for frames"
        )
    if asked is not None:
        if modes is not None and asked not in modes:
            offered = ", ".join(mode for mode in modes if mode != "human") or "none"
            raise BadValue(f"render_mode {shown(asked)} is not offered; there is: {offered}")
        return asked
    if modes is None:
        return "rgb_array"
    return next((mode for mode in ("rgb_array", "ansi") if mode in modes), None)


def _checked_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    for name in kwargs:
        if name in _OWN_FIELDS:
            raise BadValue(f"give {name} beside kwargs, not in them")
        if name in _NOT_KWARGS:
            raise BadValue(f"kwargs may not set {shown(name)}")
    return kwargs
