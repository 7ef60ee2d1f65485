"""Environments whose own work is known: none, or a wait. Registered when this is imported."""

from __future__ import annotations

import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

FRAMES = "BenchmarkFrames-v0"
SLEEPING = "BenchmarkSleeping-v0"
FRAME_SHAPE = (210, 160, 3)  # an Atari screen's
SLEEP_S = 0.001


class Frames(gymnasium.Env):
    """Observations that cost nothing to make: pictures of noise, one after the other."""

    metadata: dict[str, Any] = {"render_modes": []}
    action_space = spaces.Discrete(18)
    observation_space = spaces.Box(0, 255, FRAME_SHAPE, np.uint8)

    def __init__(self) -> None:
        drawn = np.random.default_rng(0).integers(256, size=(8, *FRAME_SHAPE), dtype=np.uint8)
        self._frames = list(drawn)
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._steps = 0
        return self._frames[0], {}

    def step(self, action: Any) -> Any:
        self._steps += 1
        return self._frames[self._steps % len(self._frames)], 0.0, False, False, {}


class Sleeping(gymnasium.Env):
    """Waits in each step, as one that renders or simulates elsewhere does."""

    metadata: dict[str, Any] = {"render_modes": []}
    action_space = spaces.Discrete(2)
    observation_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: Any) -> Any:
        time.sleep(SLEEP_S)
        return 1, 0.0, False, False, {}


gymnasium.register(FRAMES, f"{__name__}:Frames")
gymnasium.register(SLEEPING, f"{__name__}:Sleeping")
