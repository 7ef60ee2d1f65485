"""A walk as its seed has it, which twins can be compared by, and in which something may happen."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

LOST, LATE, FAILED, FINE = "backend_lost", "timeout", "env_failed", ""
FAULTS: dict[str, Callable[[Walk], Any]] = {}
CODES: dict[str, str] = {}  # fault -> what the call in which it happens is answered on "process"


class Walk(gymnasium.Env):
    """A step's observation and reward are drawn. With step number `at` since it was made, `how`
    happens; what that returns, unless it is None, is returned in place of an outcome.

    where: another verb in which it happens, each time. told: a file that gets a line when it is
    closed. size: numbers in an observation. pause_s: what a step takes.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}
    action_space = spaces.Discrete(2)

    def __init__(
        self,
        how: str = "",
        at: int = 3,
        where: str = "step",
        size: int = 3,
        length: int = 10**9,
        pause_s: float = 0.0,
        told: str = "",
        render_mode: str | None = None,
    ) -> None:
        self.how, self.at, self.where, self.told = how, at, where, told
        self.length, self.pause_s = length, pause_s
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float64)
        self.steps = self.time = 0
        self._maybe("make")

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        self._maybe("reset")
        return self._drawn(), {"pid": os.getpid()}

    def step(self, action: Any) -> Any:
        self.time += 1
        self.steps += 1
        time.sleep(self.pause_s)
        observation, reward = self._drawn(), float(self.np_random.random() + action)
        if self.steps == self.at and (instead := self._maybe("step")) is not None:
            return instead
        return observation, reward, self.time >= self.length, False, {}

    def render(self) -> Any:
        self._maybe("render")
        return np.full((4, 4, 3), self.time % 256, np.uint8)

    def close(self) -> None:
        if self.told:
            with open(self.told, "a") as file:
                file.write("closed\n")
        self._maybe("close")

    def _drawn(self) -> np.ndarray:
        return self.np_random.standard_normal(self.observation_space.shape)

    def _maybe(self, where: str) -> Any:
        return FAULTS[self.how](self) if self.how and self.where == where else None


def fault(code: str) -> Callable[[Callable[[Walk], Any]], Callable[[Walk], Any]]:
    def kept(function: Callable[[Walk], Any]) -> Callable[[Walk], Any]:
        FAULTS[function.__name__] = function
        CODES[function.__name__] = code
        return function

    return kept
