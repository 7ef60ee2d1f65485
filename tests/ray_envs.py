"""Environments that tell of the place where they live, or bring it down."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from tests.custom_envs import Odd


class Trouble(Odd):
    """Each action but 0 is the end of something."""

    action_space = spaces.Discrete(6)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(length=10**9, **kwargs)

    def step(self, action: Any) -> Any:
        if action == 1:
            os._exit(3)
        if action == 2:
            ctypes.string_at(0)  # a segfault
        if action == 3:
            time.sleep(1000)
        while action == 4:
            pass
        if action == 5:
            ctypes.PyDLL(None).sleep(1000)  # with the interpreter's lock
        return super().step(action)


class Frames(Odd):
    """Frames that are too large for Ray to send beside a reply; the same array again and again."""

    observation_space = spaces.Box(0, 255, (210, 160, 3), np.uint8)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(length=40, **kwargs)
        self.frame = np.zeros((210, 160, 3), np.uint8)

    def observe(self) -> Any:
        self.frame[:] = self.np_random.integers(0, 256, self.frame.shape, np.uint8)
        return self.frame


class Greedy(Odd):
    """Writes into its action, and gives it back."""

    action_space = observation_space = spaces.Box(-9, 9, (3,), np.float32)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(length=100, **kwargs)
        self.last = np.zeros(3, np.float32)

    def step(self, action: Any) -> Any:
        action += 1
        self.last = action
        return super().step(action)

    def observe(self) -> Any:
        return self.last


class Placed(Odd):
    """Tells by what it is called; leaves a mark when it is closed."""

    metadata = {"render_modes": ["ansi"]}

    def __init__(self, mark: str = "", **kwargs: Any) -> None:
        super().__init__(length=10**9, **kwargs)
        self.mark = mark
        self.home = threading.get_ident()

    def tell(self) -> Any:
        return {"pid": os.getpid(), "at_home": threading.get_ident() == self.home}

    def render(self) -> Any:
        return f"at home: {threading.get_ident() == self.home}"

    def close(self) -> None:
        if self.mark:
            Path(self.mark).write_text(f"at home: {threading.get_ident() == self.home}")


for kind in (Trouble, Frames, Greedy, Placed):
    gymnasium.register(f"Ray{kind.__name__}-v0", entry_point=kind)
