"""The same environment, seed and actions give the same trajectory to the last bit, in process, over
JSON, over MessagePack, and through RemoteEnv."""

import importlib.util
import itertools
import unittest
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

import gymnasium
import numpy as np
from nose2.tools import params

from gym_http import spaces
from gym_http.engines import engine
from gym_http.remote import RemoteEnv
from gym_http.remote.connection import MessagePackClient
from gym_http_client import Client
from tests.support import shared_server

STEPS = 200
SEED = 20


@dataclass(frozen=True, repr=False)
class Known:
    """An environment that is compared. package: what it needs, as it is imported."""

    env_id: str
    package: str = "gymnasium"
    engine: str = "gymnasium"

    def __str__(self) -> str:
        return f"{self.engine}'s {self.env_id}"

    __repr__ = __str__  # in the tests' names

    def needed(self, case: unittest.TestCase) -> "Known":
        """Itself, where it can be made here; a skipped test where it can't."""
        for package in (self.package, "shimmy") if self.engine == "gym" else (self.package,):
            if importlib.util.find_spec(package) is None:
                case.skipTest(f"{self} needs {package}, which is not installed")
        if self.package in ("ale_py", "minigrid"):
            __import__(self.package)  # registers its environments
        return self

    def in_process(self, **more: Any) -> gymnasium.Env:
        """gymnasium.make's, or gym's own behind the adapter."""
        source = engine(self.engine)  # from then on, whatever draws doesn't look for a screen
        if self.engine == "gymnasium":
            return gymnasium.make(self.env_id, disable_env_checker=True, **more)
        return source.build(source.registry[self.env_id], **more)


ENVIRONMENTS = (
    Known("CartPole-v1"),
    Known("Pendulum-v1"),
    Known("FrozenLake-v1"),
    Known("Taxi-v4"),
    Known("Blackjack-v1"),
    Known("LunarLander-v3", "Box2D"),
    Known("HalfCheetah-v5", "mujoco"),
    Known("ALE/Pong-v5", "ale_py"),
    Known("MiniGrid-Empty-Random-6x6-v0", "minigrid"),
    Known("CartPole-v1", "gym", "gym"),
)


# ---- the interfaces: an environment through each has reset, step and close, as a gymnasium.Env


class OverJSON:
    """The plain client. Observations go through the space, as JSON has no dtypes."""

    connect = Client

    def __init__(self, known: Known, space: gymnasium.Space) -> None:
        self.client = self.connect(shared_server().url)
        self.space = space
        self.instance_id = self.client.env_create(known.env_id, engine=known.engine)

    def reset(self, seed: int | None = None) -> Any:
        observation, info = self.client.env_reset(self.instance_id, seed=seed, with_info=True)
        return self.read(observation), info

    def step(self, action: Any) -> Any:
        observation, *outcome = self.client.env_step(self.instance_id, action, with_truncated=True)
        return self.read(observation), *outcome

    def read(self, wire: Any) -> Any:
        if isinstance(self.space, gymnasium.spaces.Box):  # decode takes its time for a screen
            return np.array(wire, self.space.dtype)
        return spaces.decode(self.space, wire, strict=False)

    def close(self) -> None:
        self.client.env_close(self.instance_id)
        self.client.close()


class OverMessagePack(OverJSON):
    """Its arrays have their dtypes, so that observations are compared as they arrive."""

    connect = MessagePackClient

    def read(self, wire: Any) -> Any:
        return wire


def through_remote_env(known: Known, space: gymnasium.Space) -> gymnasium.Env:
    return RemoteEnv(shared_server().url, known.env_id, engine=known.engine)


INTERFACES = {"json": OverJSON, "msgpack": OverMessagePack, "remote": through_remote_env}


# ---- playing, and comparing


def play(env: Any, actions: list[Any], lists: bool = False, seed: int = SEED) -> list[Any]:
    """What each call returned: a seeded reset, the steps with a reset wherever an episode ends, and
    a last reset. Of these only the first has a seed, so that the random state shows in the rest."""
    seen = [plain(env.reset(seed=seed), lists)]
    for action in actions:
        seen.append(plain(env.step(action), lists))
        if "True" in seen[-1][2:4]:
            seen.append(plain(env.reset(), lists))
    seen.append(plain(env.reset(), lists))
    return seen


def plain(returned: Any, lists: bool) -> Any:
    """(observation, …, info) as what two that are equal to the last bit have in common.

    lists: write the arrays of `info` as lists, which is how JSON carries them.
    """
    observation, *outcome, info = returned
    if outcome:
        outcome[0] = float(outcome[0])  # some give an integer; a reply's reward is a float
    return [bits(observation), *map(bits, outcome), bits(info, lists)]


def bits(value: Any, lists: bool = False) -> Any:
    """An array as dtype, shape and bytes (of many: their hash), one of objects as what it holds; a
    number, of NumPy or not, as its shortest repr; tuples as lists."""
    if isinstance(value, dict):
        return {key: bits(item, lists) for key, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return "O", bits(value.tolist())
        if not lists:
            data = value.tobytes()
            return value.dtype.str, value.shape, data if len(data) < 1000 else sha256(data).digest()
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [bits(item, lists) for item in value]
    return repr(value)


@lru_cache(maxsize=None)
def expected(known: Known, lists: bool) -> tuple[list[Any], list[Any], Any]:
    """(the trajectory in process, its actions, the observation space)."""
    env = known.in_process()
    env.action_space.seed(SEED)
    actions = [env.action_space.sample() for _ in range(STEPS)]
    trajectory = play(env, actions, lists)
    env.close()
    return trajectory, actions, env.observation_space


class SameTrajectory(unittest.TestCase):
    @params(*itertools.product(ENVIRONMENTS, INTERFACES))
    def test_to_the_last_bit(self, known, interface):
        lists = interface == "json"
        wanted, actions, space = expected(known.needed(self), lists)
        env = INTERFACES[interface](known, space)
        self.addCleanup(env.close)
        got = play(env, actions, lists)
        for call, (one, other) in enumerate(zip(wanted, got, strict=True)):
            self.assertEqual(other, one, f"call {call} of {len(wanted)}")

    @params(*ENVIRONMENTS)
    def test_another_seed_gives_another(self, known):
        """So that the trajectories above say something of the random state."""
        wanted, actions, _ = expected(known.needed(self), lists=False)
        env = known.in_process()
        self.addCleanup(env.close)
        got = play(env, actions, seed=SEED + 1)
        self.assertFalse(got == wanted)

    @params(*ENVIRONMENTS)
    def test_remote_observations_are_elements(self, known):
        """A Tuple's are tuples, a Discrete's NumPy's, which the comparison above doesn't tell."""
        env = through_remote_env(known.needed(self), None)
        self.addCleanup(env.close)
        kind = type(env.observation_space.sample())
        for observation in (env.reset(seed=SEED)[0], env.step(env.action_space.sample())[0]):
            self.assertIn(observation, env.observation_space)
            self.assertIs(type(observation), kind)
