"""Environments whose state is odd, each in one way."""

from __future__ import annotations

import os
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import EzPickle


class Walk(gymnasium.Env):
    """A random walk; subclasses change one thing."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode: str | None = None, length: int = 40) -> None:
        self.render_mode = render_mode
        self.length = length
        self.action_space = spaces.Discrete(3)
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.time = 0
        self.place = 0.0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        super().reset(seed=seed)
        self.time, self.place = 0, float((options or {}).get("place", self.np_random.normal()))
        return self.seen(), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        self.place += self.noise() + float(action)
        return self.seen(), self.place, self.time >= self.length, False, {"time": self.time}

    def seen(self) -> np.ndarray:
        return np.array([self.time, self.place])

    def noise(self) -> float:
        return self.np_random.normal()

    def render(self) -> np.ndarray:
        return np.full((2, 2, 3), self.time % 256, np.uint8)


class Entropy(Walk):
    """Its dice are the system's."""

    def noise(self) -> float:
        return float(os.urandom(1)[0])


class Unpickled(Walk):
    """Has what pickle doesn't take."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.double = lambda value: 2 * value

    def noise(self) -> float:
        return self.double(super().noise())


class Lying(Walk, EzPickle):
    """Its pickle is only how it was made."""

    def __init__(self, **kwargs: Any) -> None:
        EzPickle.__init__(self, **kwargs)
        Walk.__init__(self, **kwargs)


class Ageing(Unpickled):
    """What it does depends on all steps since it was made."""

    age = 0

    def step(self, action: Any) -> Any:
        self.age += 1
        return super().step(action)

    def noise(self) -> float:
        return super().noise() + self.age


class LateEntropy(Unpickled):
    """Seems to be determined, for longer than anybody tries it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(length=1000, **kwargs)

    def noise(self) -> float:
        return super().noise() + (os.urandom(1)[0] + 1.0 if self.time > 100 else 0.0)


class OwnDice(Unpickled):
    """A generator of its own, of an old kind, that no seed reaches."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dice = np.random.RandomState()

    def noise(self) -> float:
        return self.dice.normal()


class Failing(Walk):
    """Can be made once in a process."""

    made = 0

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if Failing.made:
            raise RuntimeError("there is one already")
        Failing.made += 1


for _kind in (Walk, Entropy, Unpickled, Lying, Ageing, LateEntropy, OwnDice, Failing):
    gymnasium.register(f"test/{_kind.__name__}-v0", entry_point=_kind, max_episode_steps=500)
