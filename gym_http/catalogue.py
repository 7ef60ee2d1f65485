"""Which environments there are: an id -> its engine and spec, also where the id is retired, has no
version, names a module, or is of a package that nobody has imported yet."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gym_http import engines, importing, suppliers
from gym_http.engines import Engine, engine
from gym_http.errors import DependencyMissing, GymHTTPError, MalformedEnvId

LONGEST_ID = 255  # characters; as long as a scoreboard's
_SUCCESSOR = re.compile(r"Please use `([^`]+)` instead")


@dataclass(frozen=True)
class Policy:
    """What this server allows: modules that an id may name, whether retired ids are served, and
    how many environments one instance may hold."""

    imports: tuple[str, ...] = ()
    strict_ids: bool = False
    max_num_envs: int = 4096


@dataclass(frozen=True)
class Registered:
    """One environment that an engine knows."""

    env_id: str
    engine: str
    max_episode_steps: int | None
    reward_threshold: float | None
    missing: str | None  # what to install first


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
            if _adapter(env_id) or env_id.startswith("http/"):
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


def find(env_id: str, engine_name: str | None, policy: Policy) -> tuple[Engine, Any, str | None]:
    """(engine, spec, warning) for the id that was asked for; without an engine's name, of the one
    that has it. Raises MalformedEnvId, BadValue, DependencyMissing."""
    asked = env_id
    if len(asked) > LONGEST_ID:
        raise MalformedEnvId(asked, f"it is longer than {LONGEST_ID} characters")
    env_id = _import_module(asked, policy)
    first = engine(engine_name or "gymnasium")
    spec, warning, reason = _look_up(first, env_id, policy)
    if spec is None and suppliers.import_installed():
        spec, warning, reason = _look_up(first, env_id, policy)
    if spec is not None:
        return first, spec, warning
    if engine_name is None:
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
        return None, None, sentence(error)
    if policy.strict_ids:
        return None, None, f"{sentence(error)} This server runs with --strict-ids."
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
    if env_id.startswith("http/"):  # it would fetch whatever URL its kwargs name
        raise MalformedEnvId(asked, "ask the server where that environment is.")
    if colon:
        importing.module(module)
    return env_id


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


def sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())[:500] or type(error).__name__
    return text if text.endswith((".", "!", "?", ")")) else text + "."
