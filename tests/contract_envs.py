"""Environments for the contract of backends, whose arrays are of every size and lie."""

import gymnasium
import numpy as np
from gymnasium import spaces

from tests.custom_envs import Odd


class Arrays(Odd):
    """Arrays of every size and lie, in observations and infos."""

    observation_space = spaces.Dict(
        {
            "large": spaces.Box(-np.inf, np.inf, (512, 600)),
            "whole": spaces.Box(0, 255, (300, 200, 3), np.uint8),
            "turned": spaces.Box(-np.inf, np.inf, (60, 70), np.float64),
            "sparse": spaces.Box(-np.inf, np.inf, (50, 60), np.float64),
            "backward": spaces.Box(-100, 100, (9000,), np.int16),
            "scalar": spaces.Box(-np.inf, np.inf, (), np.float64),
            "empty": spaces.Box(0, 1, (0, 3)),
            "edge": spaces.Tuple([spaces.Box(0, 255, (n,), np.uint8) for n in (16383, 16384)]),
        }
    )

    def observe(self):
        rng = np.random.default_rng(self.time)
        return {
            "large": rng.standard_normal((512, 600), np.float32),
            "whole": rng.integers(0, 256, (300, 200, 3), np.uint8),
            "turned": np.asfortranarray(rng.standard_normal((60, 70))),
            "sparse": rng.standard_normal((100, 180))[::2, ::3],
            "backward": rng.integers(-100, 100, 9000, np.int16)[::-1],
            "scalar": np.array(rng.standard_normal()),
            "empty": np.zeros((0, 3), np.float32),
            "edge": tuple(rng.integers(0, 256, n, np.uint8) for n in (16383, 16384)),
        }

    def tell(self):
        rng = np.random.default_rng(1)
        return {
            "large": rng.standard_normal((300, 300)) + self.time,
            "turned": np.asfortranarray(np.arange(6000.0).reshape(60, 100)),
            "swapped": np.arange(5000).astype(">i4"),
            "objects": np.array([1, "two", None], object),
            "scalar": np.float32(0.1),
            "empty": np.zeros(0),
            "deep": {"list": [np.arange(3), (1, 2)], "function": len},
        }


class Turns(Odd):
    """Observations are views of one array that each step turns."""

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 7}
    observation_space = spaces.Box(0, 10**6, (4000,), np.int64)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.all = np.arange(8000)

    def observe(self):
        self.all[:] = np.roll(self.all, 1)
        return self.all[::2]

    def tell(self):
        return {"same": self.all}

    def render(self):
        if self.render_mode == "ansi":
            return f"{self.time} ☃"
        return np.full((200, 300, 3), self.time, np.uint8)


gymnasium.register("CustomArrays-v0", entry_point=Arrays)
gymnasium.register("CustomTurns-v0", entry_point=Turns)
gymnasium.register("CustomMissing-v0", entry_point="a_package_that_is_not_there:Env")
