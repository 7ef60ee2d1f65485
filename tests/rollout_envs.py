"""Environments for the tests of rollouts, which have to come out equal twice."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from gym_http.spaces import encode, space_from_description
from gym_http.wire import to_json
from tests.custom_envs import Odd

GRID = {"name": "Box", "shape": [2], "low": [0, 0], "high": [9, 9], "dtype": "float64"}
COIN = {"name": "Discrete", "n": 2, "start": 0, "dtype": "int64"}


class Drawn(Odd):
    """Observations, ends and infos are drawn, as the seeds of its resets determine; a reward tells
    which action was taken, and an info of what kind it was."""

    def __init__(self, observation: Any = GRID, action: Any = COIN, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.observation_space = space_from_description(observation)
        self.action_space = space_from_description(action)
        self.taken: Any = None

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        if seed is not None:
            self.observation_space.seed(seed)
        self.taken = None
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self.taken = action
        observation, reward, _, _, info = super().step(action)
        terminated, truncated = self.np_random.random(2) < 0.1
        return observation, reward, bool(terminated), bool(truncated), info

    def observe(self) -> Any:
        return self.observation_space.sample()

    def reward(self) -> Any:
        told = crc32(to_json(encode(self.action_space, self.taken)))
        return told / 7 + self.np_random.random()

    def tell(self) -> Any:
        return {"chance": self.np_random.random(), "kind": kind(self.taken)}


class FailingReset(Odd):
    """The resets of this number and of those that follow fail, counted from 0."""

    def __init__(self, number: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.number = number
        self.resets = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        self.resets += 1
        if self.resets > self.number and seed is None:  # a seed heals it
            raise RuntimeError("no more of this")
        return super().reset(seed=seed)


class Changing(Odd):
    """What a step returns is of another type than what the one before did."""

    observation_space = spaces.Box(-10, 10, (2,), np.float64)

    def observe(self) -> Any:
        values = (0.1, 0.2) if self.time % 3 == 2 else (self.time % 10, 1)
        return np.array(values, (np.float32, np.int8, np.float64)[self.time % 3])

    def reward(self) -> Any:
        return (1, np.float32(0.1), True)[self.time % 3]


class Large(Odd):
    """An observation is a quarter of what one reply may hold."""

    observation_space = spaces.Box(0, 255, (4096, 4096), np.uint8)

    def observe(self) -> Any:
        return np.full((4096, 4096), self.time, np.uint8)


class Native(VectorEnv):
    """A vector form of an environment's own, which returns the same arrays each time, overwritten.
    Its episodes take 2, 3, … steps, and their last step brings a float64 reward."""

    def __init__(
        self,
        num_envs: int = 1,
        autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
        last_ones: bool = True,
    ) -> None:
        """last_ones: whether an info has the last observations, where the same step resets."""
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": autoreset_mode}
        self.mode, self.last_ones = autoreset_mode, last_ones
        self.single_observation_space = spaces.Box(0, 99, (2,), np.float32)
        self.single_action_space = spaces.Discrete(3)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.seen = np.zeros((num_envs, 2), np.float32)
        self.time, self.done = np.zeros(num_envs, int), np.zeros(num_envs, bool)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        which = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        self.time[which], self.seen[which], self.done[which] = 0, 0, False
        return self.seen, {}

    def step(self, actions: Any) -> Any:
        resetting = self.done & (self.mode is AutoresetMode.NEXT_STEP)
        assert self.mode is AutoresetMode.NEXT_STEP or not self.done.any()
        self.time += 1
        self.seen[:, 0], self.seen[:, 1] = actions, self.time
        rewards = np.where(resetting, 0, actions / 3)
        self.time[resetting], self.seen[resetting] = 0, 0
        self.done[:] = self.time >= 2 + np.arange(self.num_envs)
        infos: dict[str, Any] = {}
        if self.mode is AutoresetMode.SAME_STEP and self.done.any():
            if self.last_ones:
                infos["final_obs"] = self.seen.copy()
            self.time[self.done], self.seen[self.done] = 0, 0
        ends, self.done = self.done, self.done & (self.mode is not AutoresetMode.SAME_STEP)
        if not ends.any():
            rewards = rewards.astype(np.float32)
        return self.seen, rewards, ends, np.zeros(self.num_envs, bool), infos


def kind(value: Any) -> str:
    """The types and dtypes of an element."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}"
    if isinstance(value, dict):
        return str({key: kind(item) for key, item in value.items()})
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__}({', '.join(map(kind, value))})"
    return type(value).__name__


for one in (Drawn, FailingReset, Changing, Large):
    gymnasium.register(f"Custom{one.__name__}-v0", entry_point=one)
gymnasium.register("CustomNative-v0", entry_point=Odd, vector_entry_point=Native)
