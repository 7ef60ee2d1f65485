"""Environments that their users know how to play, and nobody should try out."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from tests.snapshot_envs import Walk

WRONG = 4


class Mined(Walk):
    """One of its actions is one too many. log: a file to which each that is made adds a line."""

    def __init__(self, log: str = "", **kwargs: Any) -> None:
        super().__init__(length=10_000, **kwargs)
        self.action_space = spaces.Discrete(5)
        self.path = log
        if log:
            with open(log, "a") as file:
                file.write(f"{os.getpid()}\n")

    def step(self, action: Any) -> Any:
        if action == WRONG:
            self.go_wrong()
        return super().step(action)

    def go_wrong(self) -> None:
        """As here: not at all."""


class Crashing(Mined):
    def go_wrong(self) -> None:
        os._exit(9)


class Hanging(Mined):
    """Until there is a file beside its log."""

    def go_wrong(self) -> None:
        while not (self.path and Path(self.path + ".free").exists()):
            time.sleep(0.05)


class Greedy(Mined):
    def go_wrong(self) -> None:
        self.much = np.ones(2**27)  # 1 GiB


class Unmade(Mined):
    """Can be made in one process only: the one that made the first."""

    def __init__(self, log: str = "", **kwargs: Any) -> None:
        super().__init__(log, **kwargs)
        first = Path(log).read_text().split()[0]
        if first != str(os.getpid()):
            raise RuntimeError("not here")


class Large(Mined):
    def __init__(self, log: str = "", **kwargs: Any) -> None:
        super().__init__(log, **kwargs)
        np.ones(2**27)  # 1 GiB


class OnRay(Mined):
    """Needs what only an actor has: Ray itself."""

    def __init__(self, crashes: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.crashes = crashes
        if "ray" not in sys.modules:
            raise RuntimeError("not here")

    def go_wrong(self) -> None:
        if self.crashes:
            os._exit(9)


for _kind in (Mined, Crashing, Hanging, Greedy, Unmade, Large, OnRay):
    gymnasium.register(f"trial/{_kind.__name__}-v0", entry_point=_kind)
