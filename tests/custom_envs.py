"""Environments of one's own, as a user would bring them with `--import`, each odd in one way."""

from __future__ import annotations

import os
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from gym_http.spaces import space_from_description


class Odd(gymnasium.Env):
    """Ends after `length` steps; subclasses change one thing."""

    metadata: dict[str, Any] = {"render_modes": []}
    action_space: spaces.Space = spaces.Discrete(2)
    observation_space: spaces.Space = spaces.Discrete(1000)

    def __init__(self, render_mode: str | None = None, length: int = 3) -> None:
        self.render_mode = render_mode
        self.length = length
        self.time = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return self.observe(), self.tell()

    def step(self, action: Any) -> Any:
        self.time += 1
        return self.observe(), self.reward(), self.time >= self.length, False, self.tell()

    def observe(self) -> Any:
        return self.time

    def reward(self) -> Any:
        return 1  # an int, as FrozenLake's

    def tell(self) -> Any:
        return {}


class Nested(Odd):
    """Every space of the table, nested; the observation is the last action, echoed."""

    parts = {
        "pick": spaces.Discrete(3, start=-1),
        "grid": spaces.Box(-1.0, 1.0, (2, 2), np.float32),
        "bytes": spaces.Box(0, 255, (2,), np.uint8),
        "many": spaces.MultiDiscrete([2, 3]),
        "bits": spaces.MultiBinary(3),
        "pair": spaces.Tuple((spaces.Discrete(2), spaces.Dict({"x": spaces.Box(0, 9, (), int)}))),
    }
    action_space = spaces.Dict(parts)
    observation_space = spaces.Dict(parts)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.last = {
            "pick": 0,
            "grid": np.zeros((2, 2), np.float32),
            "bytes": np.zeros(2, np.uint8),
            "many": np.zeros(2, np.int64),
            "bits": np.zeros(3, np.int8),
            "pair": (0, {"x": np.array(0)}),
        }

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self.last = action
        return super().step(action)

    def observe(self) -> Any:
        return self.last


class Raises(Odd):
    """Action 1 raises; so does a reset when told to."""

    def step(self, action: Any) -> Any:
        if action == 1:
            raise ZeroDivisionError("a secret of the server: /etc/passwd line")
        return super().step(action)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        if options:
            raise ValueError("no options here")
        return super().reset(seed=seed)


class Unruly(Odd):
    """Infinities and NaN wherever a number can be."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)

    def observe(self) -> Any:
        return np.array([np.nan, np.inf, -np.inf])

    def reward(self) -> Any:
        return np.float32("inf")

    def tell(self) -> Any:
        return {
            "array": np.array([1.5, np.nan]),
            "scalar": np.float32(0.5),
            "flag": np.bool_(True),
            "nested": {"tuple": (1, 2), "set": {3}, 4: "int key"},
            "inf": float("inf"),
            "handle": object(),
        }


class Unheard(Odd):
    """A space of one's own that has no row."""

    class Shape(spaces.Space):
        pass

    observation_space = Shape()


class Mirror(Odd):
    """The space that its creator describes; the observation is the last action, as it came."""

    def __init__(self, space: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.length = 10**9
        self.action_space = self.observation_space = space_from_description(space)
        self.last: Any = None

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        self.observation_space.seed(seed)
        self.last = self.observation_space.sample()
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self.last = action
        return super().step(action)

    def observe(self) -> Any:
        return self.last


class Telling(Odd):
    """Infos whose kind depends on the seed, and one that no process can send."""

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        self.seed = seed or 0
        return super().reset(seed=seed)

    def tell(self) -> Any:
        mixed = [3, None, "word"][self.seed % 3]
        number = [1, 0.5, 1][self.seed % 3]
        return {"mixed": mixed, "number": number, "handle": lambda: None}


class Reuses(Odd):
    """The same arrays each time, overwritten."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    observation_space = spaces.Box(0, 9, (2,), np.float64)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.buffer, self.frame = np.zeros(2), np.zeros((8, 8, 3), np.uint8)

    def observe(self) -> Any:
        self.buffer[:] = self.time
        return self.buffer

    def tell(self) -> Any:
        return {"array": self.buffer}

    def render(self) -> Any:
        return self.frame

    def step(self, action: Any) -> Any:
        self.frame += 1
        return super().step(action)


class Unsendable(Odd):
    """Raises what no process can send."""

    def step(self, action: Any) -> Any:
        error = ValueError("with a function in it")
        error.function = lambda: None  # type: ignore[attr-defined]
        raise error


class Slow(Odd):
    """A step takes `pause_s`."""

    def __init__(self, pause_s: float = 0.2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pause_s = pause_s

    def step(self, action: Any) -> Any:
        time.sleep(self.pause_s)
        return super().step(action)


class Exits(Odd):
    """A step takes the whole process with it."""

    def step(self, action: Any) -> Any:
        os._exit(3)


class Recurses(Odd):
    """A step goes down without end."""

    def step(self, action: Any) -> Any:
        return self.step([action])


class Faulty(Odd):
    """`how` says what goes wrong."""

    observation_space = spaces.Box(0, 1, (2,))

    class Sampler(spaces.Discrete):
        def sample(self, *arguments: Any, **more: Any) -> Any:
            raise RuntimeError("no dice")

    def __init__(self, how: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.how = how
        self.maybe("make")
        if how == "sample":
            self.action_space = self.Sampler(2)

    def step(self, action: Any) -> Any:
        if self.how == "step":
            return 1, 2, 3
        self.maybe("")
        if self.how == "text":
            raise ValueError("half a letter: \ud800")
        return super().step(action)

    def maybe(self, where: str) -> None:
        """Raise what is no Exception, or take long, in that place."""
        if self.how == f"{where} exit".strip():
            raise SystemExit(1)
        if self.how == f"{where} interrupt".strip():
            raise KeyboardInterrupt
        if self.how == f"{where} error":
            raise RuntimeError("no end")
        if self.how == f"{where} slow":
            time.sleep(60)

    def close(self) -> None:
        self.maybe("close")

    def observe(self) -> Any:
        return np.zeros(5 if self.how == "shape" and self.time else 2)

    def tell(self) -> Any:
        class Unspeakable:
            def __str__(self) -> str:
                raise RuntimeError("no name")

        return {Unspeakable(): 1} if self.how == "info" and self.time else {}


class Tells(Odd):
    """Writes a line into a file when it is closed."""

    def __init__(self, path: str = "", spaceless: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = path
        if spaceless:
            self.action_space = None

    def close(self) -> None:
        with open(self.path, "a") as file:
            file.write("closed\n")


class Third(Tells):
    """The third one in a process can't be made."""

    made = 0

    def __init__(self, **kwargs: Any) -> None:
        Third.made += 1
        if Third.made == 3:
            raise RuntimeError("the third is one too many")
        super().__init__(**kwargs)


class OddFrames(Odd):
    """Pictures with odd sides, as ALE's are not but many a grid world's are."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def render(self) -> Any:
        frame = np.zeros((35, 51, 3), np.uint8)
        frame[:, : 10 + self.time] = 200
        return frame


class Forks(Odd):
    """A step leaves a child behind that outlives the worker, with all that it has open."""

    def step(self, action: Any) -> Any:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        return super().step(action)


class Frames(Odd):
    """Pictures as large as Atari's, of which no two rows or columns are the same."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}
    observation_space = spaces.Box(0, 255, (210, 160, 3), np.uint8)

    def observe(self) -> Any:
        pixels = np.arange(210 * 160 * 3) + 85 * self.time  # a step changes each of them
        return (pixels % 251).astype(np.uint8).reshape(210, 160, 3)

    def render(self) -> Any:
        return self.observe()


for kind in (
    Nested, Raises, Unruly, Unheard, Mirror, Telling, Reuses, Unsendable, Slow, Exits, Recurses,
    Faulty, Tells, Third, OddFrames, Forks, Odd, Frames,
):  # fmt: skip
    gymnasium.register(f"Custom{kind.__name__}-v0", entry_point=kind)
gymnasium.register(
    "CustomFactory-v0", entry_point=lambda length=3: Odd(length=length), max_episode_steps=2
)
