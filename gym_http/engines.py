"""The two engines behind one interface: Gymnasium, and the `gym` package through Shimmy."""

from __future__ import annotations

import ctypes.util
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces

from gym_http import importing
from gym_http.errors import BadValue, DependencyMissing, shown

# What an environment needs beside its engine, by where its code lives.
_NEEDS = {
    "gymnasium.envs.mujoco": ("mujoco", "gymnasium[mujoco]"),
    "gymnasium.envs.box2d": ("Box2D", "gymnasium[box2d]"),
    "gymnasium.envs.phys2d": ("jax", "gymnasium[jax]"),
    "gymnasium.envs.tabular": ("jax", "gymnasium[jax]"),
    "gym.envs.mujoco": ("mujoco", "gym[mujoco]"),
    "gym.envs.box2d": ("Box2D", "gym[box2d]"),
}

# What outlived the libraries that it was written for: (engine, id) -> the library, the first major
# version that is too new, and what to do.
_OLD_MUJOCO = ("mujoco", 3, "pip install 'mujoco<2.3.4'")
_NUMPY_1 = ("numpy", 2, "NumPy 1, which this server doesn't run with")
_OUTLIVED = {
    ("gymnasium", "Pusher-v4"): ("mujoco", 3, "pip install 'mujoco<3'"),
    ("gym", "Hopper-v4"): _OLD_MUJOCO,
    ("gym", "Swimmer-v4"): _OLD_MUJOCO,
    ("gym", "Walker2d-v4"): _OLD_MUJOCO,
    ("gym", "LunarLanderContinuous-v2"): _NUMPY_1,
    ("gym", "CarRacing-v2"): _NUMPY_1,
}


class Engine(Protocol):
    """Where environments come from."""

    name: str
    version: str

    @property
    def registry(self) -> Mapping[str, Any]:
        """env_id -> EnvSpec."""
        ...

    def explain(self, env_id: str) -> Exception:
        """Why `env_id` isn't in the registry, in the engine's own words."""
        ...

    def build(self, spec: Any, /, **options: Any) -> gymnasium.Env[Any, Any]:
        """An environment by its spec, with the time limit and the order checks of its engine."""
        ...


class GymnasiumEngine:
    name = "gymnasium"
    version = gymnasium.__version__

    @property
    def registry(self) -> Mapping[str, Any]:
        return gymnasium.registry

    def explain(self, env_id: str) -> Exception:
        return _raised_by(gymnasium.spec, env_id)

    def build(self, spec: Any, /, **options: Any) -> gymnasium.Env[Any, Any]:
        return gymnasium.make(spec, disable_env_checker=True, **options)


class GymEngine:
    """The archived package. Importing it prints a banner, so it's done when first asked for."""

    name = "gym"

    def __init__(self) -> None:
        for old, new in (("bool8", np.bool_), ("float_", np.float64)):
            if not hasattr(np, old):  # gym's Acrobot and others still ask NumPy 2 for them
                setattr(np, old, new)
        self._gym = importing.module("gym")
        self._adapter = importing.module("shimmy.openai_gym_compatibility").GymV26CompatibilityV0
        self.version: str = self._gym.__version__

    @property
    def registry(self) -> Mapping[str, Any]:
        return self._gym.envs.registry

    def explain(self, env_id: str) -> Exception:
        return _raised_by(self._gym.spec, env_id)

    def build(self, spec: Any, /, **options: Any) -> gymnasium.Env[Any, Any]:
        # gym's own checker uses np.bool8, which NumPy 2 no longer has.
        old = self._gym.make(spec, disable_env_checker=True, **options)
        env = self._adapter(env=old)
        env.action_space = _with_starts(env.action_space, old.action_space)
        env.observation_space = _with_starts(env.observation_space, old.observation_space)
        return env


ENGINES = ("gymnasium", "gym")


def engine(name: str) -> Engine:
    """The engine of that name. Raises BadValue, or DependencyMissing where it isn't installed."""
    found = _engines.get(name)
    if found is not None:
        return found
    if name not in ENGINES:
        raise BadValue(f"engine must be one of {', '.join(ENGINES)}, got {shown(name)}")
    with importing.lock_of(name):
        if name not in _engines:
            _engines[name] = _make_engine(name)
        return _engines[name]


_engines: dict[str, Engine] = {}


def _make_engine(name: str) -> Engine:
    _headless()
    if name == "gym":
        try:
            return GymEngine()
        except ImportError as error:
            raise DependencyMissing(
                f"the engine 'gym' is not installed ({error}): pip install gym shimmy"
            ) from error
    return GymnasiumEngine()


def gym_is_installed() -> bool:
    """Whether the second engine is there; doesn't import it."""
    return _found("gym") and _found("shimmy")


def missing_need(spec: Any, engine_name: str) -> str | None:
    """What has to be installed before `spec` can be built; None when nothing is."""
    outlived = _OUTLIVED.get((engine_name, spec.id))
    if outlived is not None and _major(outlived[0]) >= outlived[1]:
        return outlived[2]
    entry = spec.entry_point
    if callable(entry):  # Gymnasium's placeholders for what moved to another package
        moved = getattr(entry, "__name__", "").startswith("_raise")
        return "gymnasium-robotics, where it has moved" if moved else None
    home = str(entry).partition(":")[0] + "."
    for prefix, (module, install) in _NEEDS.items():
        if home.startswith(prefix + "."):
            if prefix == "gym.envs.mujoco" and spec.version < 4:
                module, install = "mujoco_py", "gym[mujoco_py]"
            return None if _found(module) else f"pip install '{install}'"
    return None


@lru_cache(maxsize=None)
def _found(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@lru_cache(maxsize=None)
def _major(package: str) -> int:
    """The first number of its version; 0 where it isn't installed."""
    try:
        return int(importlib.metadata.version(package).partition(".")[0])
    except importlib.metadata.PackageNotFoundError:
        return 0


def _raised_by(look_up: Any, env_id: str) -> Exception:
    try:
        look_up(env_id)
    except Exception as error:
        return error
    return LookupError(f"{env_id} is not registered")


def _with_starts(new: Any, old: Any) -> Any:
    """`new`, with the `start` of each Discrete, which Shimmy's conversion leaves out."""
    if isinstance(new, spaces.Discrete) and old.start:
        return spaces.Discrete(int(new.n), start=int(old.start))
    if isinstance(new, spaces.Tuple):
        parts = zip(new.spaces, old.spaces, strict=True)
        return spaces.Tuple(tuple(_with_starts(part, its_old) for part, its_old in parts))
    if isinstance(new, spaces.Dict):
        return spaces.Dict(
            {key: _with_starts(part, old.spaces[key]) for key, part in new.spaces.items()}
        )
    return new


def _headless() -> None:
    """A server draws into memory. SDL would look for a screen and a sound card, MuJoCo for an X
    display, and environments import pygame piece by piece while they draw."""
    for library, renderer in (("EGL", "egl"), ("OSMesa", "osmesa")):
        if sys.platform == "linux" and ctypes.util.find_library(library):
            os.environ.setdefault("MUJOCO_GL", renderer)
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if _found("pygame"):
        for name in ("pygame", "pygame.surfarray", "pygame.gfxdraw"):
            importing.module(name)
