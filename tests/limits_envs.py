"""Environments that take their time to begin or to end, for `tests.test_limits`."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import gymnasium

from tests.custom_envs import Odd


def say(path: str, word: str) -> None:
    """One line, whole, also where others write as well."""
    with open(path, "a") as file:
        file.write(f"{word}\n")


class SlowMake(Odd):
    """Says that its making has begun, and waits for a file; says when it is closed."""

    def __init__(self, told: str = "", gate: str = "", broken: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.told = told
        say(told, "making")
        patience = time.monotonic() + 30  # a test that fails ends
        while gate and not os.path.exists(gate) and time.monotonic() < patience:
            time.sleep(0.005)
        if broken:
            raise ValueError("it can't be made")

    def close(self) -> None:
        say(self.told, "closed")


class CloseRaises(Odd):
    """When it is closed, and not even an Exception."""

    def close(self) -> None:
        raise SystemExit("not today")


class CloseHangs(Odd):
    """When it is closed, until it is let go."""

    let_go = threading.Event()

    def close(self) -> None:
        CloseHangs.let_go.wait()


class OneAtATime(Odd):
    """Says where two calls on it overlap."""

    def __init__(self, told: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.told = told
        self.calls = 0
        self.length = 10**9

    def step(self, action: Any) -> Any:
        self.calls += 1
        if self.calls > 1:
            say(self.told, "overlap")
        time.sleep(0.005)
        self.calls -= 1
        return super().step(action)


for kind in (SlowMake, CloseRaises, CloseHangs, OneAtATime):
    gymnasium.register(f"Limits{kind.__name__}-v0", entry_point=kind)


def told(path: Path) -> list[str]:
    """What an environment has said by now."""
    return path.read_text().split() if path.exists() else []
