"""An id -> an environment: which engine has it, what serves a retired id, how it renders."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import gymnasium

from gym_http import engines, importing, suppliers, vectors
from gym_http.engines import Engine, engine
from gym_http.errors import (
    BadValue,
    DependencyMissing,
    GymHTTPError,
    MakeFailed,
    MalformedEnvId,
    shown,
)

log = logging.getLogger(__name__)

_SUCCESSOR = re.compile(r"Please use `([^`]+)` instead")
_OWN_FIELDS = ("render_mode", "max_episode_steps")
_NOT_KWARGS = (
    "id",
    "disable_env_checker",
    "autoreset",
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


@dataclass(frozen=True)
class Policy:
    """What this server allows: modules that an id may name, whether retired ids are served, and
    how many environments one instance may hold."""

    imports: tuple[str, ...] = ()
    strict_ids: bool = False
    max_num_envs: int = 4096


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Registered:
    """One environment that an engine knows."""

    env_id: str
    engine: str
    max_episode_steps: int | None
    reward_threshold: float | None
    missing: str | None  # what to install first


def make(recipe: Recipe, policy: Policy) -> Made:
    """Build what `recipe` asks for.

    Raises MalformedEnvId, BadValue, MakeFailed, DependencyMissing. Source: gymnasium.make,
    gymnasium.make_vec and gym.make.
    """
    _check_vectorization(recipe, policy)
    source, spec, warning = _find(recipe, policy)
    options: dict[str, Any] = {**_checked_kwargs(recipe.kwargs)}
    if recipe.max_episode_steps is not None:
        options["max_episode_steps"] = recipe.max_episode_steps
    how = None if recipe.num_envs is None else vectors.choice(recipe.vectorization, spec)
    env = _build(source, spec, options, recipe, how)
    limit = recipe.max_episode_steps or spec.max_episode_steps
    facts = Facts(
        env_id=spec.id,
        engine=source.name,
        engine_version=source.version,
        fps=_fps(env.metadata),
        render_mode=getattr(env, "render_mode", None),
        max_episode_steps=limit,
        reward_threshold=spec.reward_threshold,
        nondeterministic=bool(spec.nondeterministic),
        num_envs=recipe.num_envs,
        vectorization=how,
        autoreset=None if how is None else vectors.autoreset_of(env),
        warning=warning,
    )
    return Made(env, facts)


def import_modules(names: Iterable[str]) -> None:
    """Import what registers further environments. Raises whatever that raises."""
    for name in names:
        importing.module(name)


def registered(engine_name: str | None = None) -> list[Registered]:
    """What the engines know, in order of id; without `engine_name`, of every engine installed."""
    suppliers.import_installed()
    sources = _installed_engines() if engine_name is None else [engine(engine_name)]
    found = []
    for source in sources:
        for env_id, spec in sorted(source.registry.items()):
            if _adapter(env_id):
                continue
            found.append(
                Registered(
                    env_id,
                    source.name,
                    spec.max_episode_steps,
                    spec.reward_threshold,
                    engines.missing_need(spec, source.name) or suppliers.incomplete(env_id),
                )
            )
    return found


def reward_threshold_and_trials(env_id: str, engine_name: str) -> tuple[float | None, int]:
    """What Gym's score of this environment takes from its spec; (None, 100) where it is unknown."""
    try:
        spec = engine(engine_name).registry[env_id]
    except (KeyError, GymHTTPError):
        return None, 100
    return spec.reward_threshold, int(getattr(spec, "trials", 100))


def _find(recipe: Recipe, policy: Policy) -> tuple[Engine, Any, str | None]:
    """(engine, spec, warning) for the id that was asked for."""
    asked = recipe.env_id
    env_id = _import_module(asked, policy)
    first = engine(recipe.engine or "gymnasium")
    spec, warning, reason = _look_up(first, env_id, policy)
    if spec is None and suppliers.import_installed():
        spec, warning, reason = _look_up(first, env_id, policy)
    if spec is not None:
        return first, spec, warning
    if recipe.engine is None:
        try:
            second = engine("gym")
        except DependencyMissing:
            pass
        else:
            spec, warning, _ = _look_up(second, env_id, policy)
            if spec is not None:
                return second, spec, warning
    package = suppliers.missing(env_id)
    if package is not None:
        raise DependencyMissing(f"{env_id} is of a package that this server lacks: {package}")
    known = {one.env_id for one in registered() if one.missing is None}
    near = difflib.get_close_matches(env_id, sorted(known), n=3)
    if near:
        reason += f" Near matches: {', '.join(near)}."
    else:
        reason += " Environments of other packages come with --import."
    raise MalformedEnvId(asked, reason)


def _look_up(
    source: Engine, env_id: str, policy: Policy, warning: str | None = None
) -> tuple[Any, str | None, str]:
    """(spec or None, warning, why there is none), following retired ids to their successors."""
    spec = source.registry.get(env_id)
    if spec is not None:
        return spec, warning, ""
    newest = _newest_version(source, env_id)
    if newest is not None:
        return source.registry[newest], f"{env_id} is served by its newest version, {newest}", ""
    error = source.explain(env_id)
    successor = _SUCCESSOR.search(str(error))
    if successor is None:
        return None, None, _sentence(error)
    if policy.strict_ids:
        return None, None, f"{_sentence(error)} This server runs with --strict-ids."
    heir = successor.group(1)
    return _look_up(source, heir, policy, f"{env_id} is retired; {heir} serves it")


def _newest_version(source: Engine, name: str) -> str | None:
    """`CartPole` -> `CartPole-v1`; None where `name` carries a version or nothing has that name."""
    version_of_name = re.compile(re.escape(name) + r"-v\d+")
    versions = [env_id for env_id in source.registry if version_of_name.fullmatch(env_id)]
    return max(versions, key=lambda env_id: int(env_id.rsplit("-v", 1)[1]), default=None)


def _import_module(asked: str, policy: Policy) -> str:
    """The id without its `module:`, which is imported when the server was started to allow it."""
    module, colon, env_id = asked.rpartition(":")
    if colon and module not in policy.imports:
        raise MalformedEnvId(
            asked, f"this server may not import {module!r}; start it with --import {module}"
        )
    if _adapter(env_id):  # it would import any module that its kwargs name
        raise MalformedEnvId(asked, "ask for the environment itself, with engine 'gym'.")
    if colon:
        importing.module(module)
    return env_id


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
        log.info("%s could not be made", spec.id, exc_info=error)
        text = f"{spec.id} could not be made: {_sentence(error)}"
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
            raise BadValue(f"kwargs may not set {name!r}")
    return kwargs


def _installed_engines() -> list[Engine]:
    found = []
    for name in engines.ENGINES:
        try:
            found.append(engine(name))
        except DependencyMissing:
            continue
    return found


def _adapter(env_id: str) -> bool:
    """Gymnasium's entries for wrapping a gym environment, which `engine` does here."""
    return env_id.startswith(("GymV21Environment", "GymV26Environment"))


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())[:500] or type(error).__name__
    return text if text.endswith((".", "!", "?", ")")) else text + "."
