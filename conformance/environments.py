"""The environments that some golden exchanges are with:

python gym_http_server.py --import conformance.environments
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from gym_http.spaces import space_from_description


class Mirror(gymnasium.Env):
    """Both spaces are the one that its creator describes; what it shows is the last action."""

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, space: dict[str, Any], render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.action_space = self.observation_space = space_from_description(space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return action, 0.5, False, False, {}


class Unruly(gymnasium.Env):
    """Numbers that JSON lacks, and an info that can't be carried whole. Action 1 raises."""

    metadata: dict[str, Any] = {"render_modes": []}
    action_space = gymnasium.spaces.Discrete(2)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float64)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return np.array([np.nan, np.inf, -np.inf, 0.5]), {}

    def step(self, action: Any) -> Any:
        if action == 1:
            raise ZeroDivisionError("division by zero")
        info = {
            "array": np.array([1.5, np.nan]),
            "flag": np.bool_(True),
            "tuple": (1, 2),
            4: "a key that is no text",
            "handle": object(),
        }
        return np.zeros(4), float("inf"), False, False, info


class Shapeless(gymnasium.Env):
    """A space of one's own, which nobody has taught the server."""

    class Shape(gymnasium.Space[Any]):
        pass

    metadata: dict[str, Any] = {"render_modes": []}
    action_space = gymnasium.spaces.Discrete(2)
    observation_space = Shape()

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode


for env in ("Mirror", "Unruly", "Shapeless"):
    gymnasium.register(f"Conformance{env}-v0", entry_point=f"{__name__}:{env}")
