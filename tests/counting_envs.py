"""Environments that show how often they were called."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from tests.custom_envs import Odd

MANY = gymnasium.spaces.Box(0, 2**53, (3,), np.int64)


class Counting(Odd):
    """Observes (steps since it was made, resets since then, the last action)."""

    observation_space = MANY
    action_space = gymnasium.spaces.Discrete(1000)

    def __init__(self, length: int = 50, **kwargs: Any) -> None:
        super().__init__(length=length, **kwargs)
        self.steps = self.resets = self.last = 0

    def reset(self, **options: Any) -> Any:
        self.resets += 1
        return super().reset(**options)

    def step(self, action: Any) -> Any:
        self.steps += 1
        self.last = int(action)
        if action == 999:
            raise RuntimeError(f"step {self.steps} is one too many")
        return super().step(action)

    def observe(self) -> Any:
        return np.array([self.steps, self.resets, self.last])


class Waiting(Counting):
    """A step goes on until there is a file `go` in its directory; `begun` says that it is on."""

    def __init__(self, directory: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.directory = Path(directory)

    def step(self, action: Any) -> Any:
        (self.directory / "begun").touch()
        deadline = time.monotonic() + 20
        while not (self.directory / "go").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        return super().step(action)


for _kind in (Counting, Waiting):
    if f"{_kind.__name__}-v0" not in gymnasium.registry:
        gymnasium.register(f"{_kind.__name__}-v0", entry_point=_kind)
