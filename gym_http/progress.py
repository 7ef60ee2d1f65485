"""Where an instance stands: whether it may be stepped, and what it has come through.

`Progress` is of one environment, `VectorProgress` of num_envs side by side. Both are told of every
reset and step, and answer with what began and ended by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gym_http.environments import Facts
from gym_http.errors import BadValue, shown

NEVER_RESET = "has not been reset yet"
ENDED = "has ended its episode"
FAILED = "has failed in its last call"
MONITOR = "has a monitor since the middle of its episode"


@dataclass(frozen=True)
class Stepped:
    """What a step did. stepped: (which environment, reward, done); begun: whose next episode has
    begun by itself, before its step (`first`) or after it."""

    stepped: Sequence[tuple[int, float, bool]]
    begun: Sequence[int] = ()


class Progress:
    """Of one environment."""

    def __init__(self) -> None:
        self.was_reset = False
        self._stopped: str | None = NEVER_RESET
        self.steps = 0
        self.episodes = 0  # finished
        self.last_return: float | None = None
        self.last_length: int | None = None
        self._length = 0
        self._reward = 0.0

    @property
    def obstacle(self) -> str | None:
        """Why no step can be made."""
        return self._stopped

    def stop(self, why: str) -> None:
        """No step until the next reset."""
        self._stopped = why

    def reset_arguments(
        self, seed: Any, options: dict[str, Any] | None
    ) -> tuple[Any, dict[str, Any] | None]:
        """What the environment's reset takes. Raises BadValue."""
        if isinstance(seed, list):
            raise BadValue("seed: a list is for a vector environment; this is a single one")
        return seed, options

    def begin(self, options: dict[str, Any] | None) -> Sequence[int]:
        """A reset has been made. Which episodes began?"""
        self.was_reset, self._stopped = True, None
        self._length, self._reward = 0, 0.0
        return (0,)

    def outcome(self, reward: Any, terminated: Any, truncated: Any) -> tuple[Any, Any, Any]:
        """What a step returned, as it shall be. Raises TypeError, ValueError."""
        return float(reward), bool(terminated), bool(truncated)

    def step(self, reward: Any, done: Any) -> Stepped:
        """A step has been made, of that outcome."""
        self.steps += 1
        self._length += 1
        self._reward += reward
        if done:
            self.stop(ENDED)
            self._finish(self._length, self._reward)
        return Stepped(((0, reward, done),))

    def _finish(self, length: int, reward: float) -> None:
        self.episodes += 1
        self.last_length, self.last_return = length, reward


class VectorProgress(Progress):
    """Of a vector environment. Steps count those of each environment; where one only resets
    itself, which is how "next_step" begins an episode, that is no step."""

    def __init__(self, num_envs: int, autoreset: str, native: bool) -> None:
        """native: the environment's own vector form, which knows no seeds for each, and a
        reset_mask only where it is "disabled"."""
        super().__init__()
        self.num_envs = num_envs
        self._autoreset = autoreset
        self._native = native
        self._lengths = np.zeros(num_envs, np.int64)
        self._rewards = np.zeros(num_envs)
        self._ended = np.zeros(num_envs, np.bool_)

    @property
    def obstacle(self) -> str | None:
        if self._stopped is None and self._autoreset == "disabled" and self._ended.any():
            ended = shown(np.flatnonzero(self._ended).tolist())
            return f"has environments that ended their episodes, {ended} (options.reset_mask)"
        return self._stopped

    def reset_arguments(
        self, seed: Any, options: dict[str, Any] | None
    ) -> tuple[Any, dict[str, Any] | None]:
        """seed: one for all (the i-th environment gets seed + i), or a list of num_envs, null for
        none. options.reset_mask: which ones are reset."""
        if isinstance(seed, list) and self._native:
            raise BadValue("seed: this environment seeds all of its own by one")
        if isinstance(seed, list) and len(seed) != self.num_envs:
            raise BadValue(f"seed: expected {self.num_envs} seeds, got {len(seed)}")
        if options and "reset_mask" in options:
            options = {**options, "reset_mask": self._mask(options["reset_mask"])}
        return seed, options

    def _mask(self, wire: Any) -> np.ndarray:
        if self._native and self._autoreset != "disabled":
            raise BadValue("options.reset_mask: this environment resets all of its own")
        mask = np.asarray(wire) if isinstance(wire, (list, np.ndarray)) else np.asarray(None)
        if mask.dtype != np.bool_ or mask.shape != (self.num_envs,) or not mask.any():
            raise BadValue(
                f"options.reset_mask: expected {self.num_envs} booleans, one of them true, "
                f"got {shown(wire)}"
            )
        if self._stopped is not None:
            raise BadValue("options.reset_mask: all have to be reset first")
        return mask

    def begin(self, options: dict[str, Any] | None) -> Sequence[int]:
        which = np.ones(self.num_envs, np.bool_)
        if options and "reset_mask" in options:
            which = options["reset_mask"]
        self.was_reset, self._stopped = True, None
        return self._start(which)

    def outcome(self, reward: Any, terminated: Any, truncated: Any) -> tuple[Any, Any, Any]:
        rewards = np.array(reward)  # a copy, as of all that is answered
        if rewards.dtype.kind not in "biuf" or rewards.shape != (self.num_envs,):
            raise ValueError(f"expected {self.num_envs} rewards, got {shown(reward)}")
        if rewards.dtype.kind != "f":
            rewards = rewards.astype(np.float64)
        flags = []
        for given in (terminated, truncated):
            flag = np.asarray(given).astype(np.bool_, casting="safe")
            if flag.shape != (self.num_envs,):
                raise ValueError(f"expected {self.num_envs} booleans, got {shown(given)}")
            flags.append(flag)
        return rewards, flags[0], flags[1]

    def step(self, reward: np.ndarray, done: np.ndarray) -> Stepped:
        began: Sequence[int] = ()
        stepped = np.ones(self.num_envs, np.bool_)
        if self._autoreset == "next_step":
            stepped = ~self._ended
            began = self._start(self._ended)
        self._lengths[stepped] += 1
        self._rewards[stepped] += reward[stepped]
        self.steps += int(stepped.sum())
        self._ended = done & stepped
        for which in np.flatnonzero(self._ended):
            self._finish(int(self._lengths[which]), float(self._rewards[which]))
        made = [(int(i), float(reward[i]), bool(done[i])) for i in np.flatnonzero(stepped)]
        if self._autoreset == "same_step":
            began = self._start(self._ended)
        return Stepped(made, began)

    def _start(self, which: np.ndarray) -> Sequence[int]:
        indices = np.flatnonzero(which).tolist()
        self._lengths[which] = 0
        self._rewards[which] = 0.0
        self._ended = self._ended & ~which
        return indices


def progress_of(facts: Facts) -> Progress:
    """The one that an environment of these facts begins with."""
    if facts.num_envs is None or facts.autoreset is None:
        return Progress()
    return VectorProgress(facts.num_envs, facts.autoreset, facts.vectorization == "native")
