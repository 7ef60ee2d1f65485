"""Where an instance stands: whether it may be stepped, and what it has come through.

`Progress` is of one environment, `VectorProgress` of num_envs side by side. Both are told of every
reset and step, and answer with what began and ended by it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from msgspec import Struct

from gym_http.environments import Facts
from gym_http.errors import BadValue, shown
from gym_http.taken import column, count, flag, number

NEVER_RESET = "has not been reset yet"
ENDED = "has ended its episode"
FAILED = "has failed in its last call"
MONITOR = "has a monitor since the middle of its episode"


class Stepped(Struct, frozen=True):
    """What a step did.

    reward, done: a float and a bool, or arrays of num_envs. resetting: which ones have only reset
    themselves; starting: whose next episode has begun by itself. Both are arrays of num_envs
    booleans, or None for none.
    """

    reward: Any
    done: Any
    resetting: np.ndarray | None = None
    starting: np.ndarray | None = None

    def begun(self) -> list[int]:
        """Whose next episode has begun by itself."""
        return [] if self.starting is None else _numbers(self.starting)

    def each(self) -> Iterator[tuple[int, float, bool]]:
        """(which environment, its reward, whether its episode ended), of those that stepped."""
        if isinstance(self.done, bool):
            yield 0, self.reward, self.done
            return
        for which, (reward, done) in enumerate(
            zip(self.reward.tolist(), self.done.tolist(), strict=True)
        ):
            if self.resetting is None or not self.resetting[which]:
                yield which, reward, done


class Progress:
    """Of one environment."""

    __slots__ = (
        "_length",
        "_reward",
        "_stopped",
        "episodes",
        "last_length",
        "last_return",
        "steps",
        "was_reset",
    )

    def __init__(self) -> None:
        self.was_reset = False
        self._stopped: str | None = NEVER_RESET
        self.steps = 0
        self.episodes = 0  # finished
        self.last_return: float | None = None
        self.last_length: int | None = None
        self._length = 0
        self._reward = 0.0

    def totals(self) -> Progress:
        """The counts alone, to be kept when the environment isn't."""
        kept = Progress()
        kept.steps, kept.episodes = self.steps, self.episodes
        kept.last_return, kept.last_length = self.last_return, self.last_length
        return kept

    def passed_on(self) -> Progress:
        """For another instance, whose environment stands where this one's does. It has no monitor
        that would have come in the middle of an episode."""
        other = copy.deepcopy(self)
        if other._stopped == MONITOR:
            other._stopped = None
        return other

    def told(self) -> dict[str, Any]:
        """As plain values, arrays at the leaves."""
        return {
            "ended": self._stopped == ENDED,
            "steps": self.steps,
            "episodes": self.episodes,
            "last_return": self.last_return,
            "last_length": self.last_length,
            "length": self._length,
            "return": self._reward,
        }

    def take(self, told: Any) -> None:
        """Take over what `told` tells. Raises BadValue."""
        counted, numbered = partial(count, "progress", told), partial(number, "progress", told)
        self.was_reset, self._stopped = True, ENDED if flag("progress", told, "ended") else None
        self.steps, self.episodes = counted("steps"), counted("episodes")
        self.last_length = None if told.get("last_length") is None else counted("last_length")
        last_return = numbered("last_return")
        self.last_return = None if self.last_length is None else last_return
        self._length, self._reward = counted("length"), numbered("return")

    @property
    def is_known(self) -> bool:
        """Whether the environment is in a state that is worth keeping: it has been reset, and its
        last call didn't fail."""
        return self._stopped not in (NEVER_RESET, FAILED)

    @property
    def has_failed(self) -> bool:
        """Whether the last call did, and nobody knows what it changed."""
        return self._stopped == FAILED

    @property
    def obstacle(self) -> str | None:
        """Why no step can be made."""
        return self._stopped

    def stop(self, why: str) -> None:
        """No step until the next reset. A monitor's beginning doesn't hide an end or a failure."""
        if why != MONITOR or self._stopped is None:
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
        return Stepped(reward, done)

    def _finish(self, length: int, reward: float, episodes: int = 1) -> None:
        """So many have ended, the last of them with these."""
        self.episodes += episodes
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
        self._returns = np.zeros(num_envs)
        self._ended = np.zeros(num_envs, np.bool_)  # in the last step
        self._some_ended = False

    def told(self) -> dict[str, Any]:
        mine = {"lengths": self._lengths, "returns": self._returns, "has_ended": self._ended}
        return {**super().told(), **{key: value.copy() for key, value in mine.items()}}

    def take(self, told: Any) -> None:
        super().take(told)
        self._lengths = column("progress", told, "lengths", self.num_envs, "iu").astype(np.int64)
        self._returns = column("progress", told, "returns", self.num_envs, "iuf").astype(np.float64)
        self._ended = column("progress", told, "has_ended", self.num_envs, "b")
        self._some_ended = bool(self._ended.any())

    @property
    def obstacle(self) -> str | None:
        if self._stopped is None and self._autoreset == "disabled" and self._some_ended:
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
        self._clear(which)
        self._ended = self._ended & ~which
        self._some_ended = bool(self._ended.any())
        return _numbers(which)

    def outcome(self, reward: Any, terminated: Any, truncated: Any) -> tuple[Any, Any, Any]:
        return self.rewards(reward), self.flags(terminated), self.flags(truncated)

    def rewards(self, reward: Any) -> np.ndarray:
        """(num_envs,) floats. Raises ValueError."""
        rewards = np.array(reward)  # a copy, as of all that is answered
        if rewards.dtype.kind not in "biuf" or rewards.shape != (self.num_envs,):
            raise ValueError(f"expected {self.num_envs} rewards, got {shown(reward)}")
        if rewards.dtype.kind != "f":
            rewards = rewards.astype(np.float64)
        return rewards

    def flags(self, given: Any) -> np.ndarray:
        """(num_envs,) booleans. Raises TypeError, ValueError."""
        flags = np.array(given)
        if flags.dtype != np.bool_:
            flags = flags.astype(np.bool_, casting="safe")
        if flags.shape != (self.num_envs,):
            raise ValueError(f"expected {self.num_envs} booleans, got {shown(given)}")
        return flags

    def step(self, reward: np.ndarray, done: np.ndarray) -> Stepped:
        resetting = self._ended if self._some_ended and self._autoreset == "next_step" else None
        made = self.num_envs
        self._lengths += 1
        self._returns += reward
        if resetting is not None:
            made -= int(np.count_nonzero(resetting))
            self._clear(resetting)
            done = done & ~resetting
        self.steps += made
        count = int(np.count_nonzero(done))
        self._ended, self._some_ended = done, count > 0
        if count == 0:
            return Stepped(reward, done, resetting, resetting)
        last = _numbers(done)[-1]
        self._finish(int(self._lengths[last]), float(self._returns[last]), count)
        if self._autoreset != "same_step":
            return Stepped(reward, done, resetting, resetting)
        self._clear(done)
        return Stepped(reward, done, None, done)

    def advance(self, rewards: np.ndarray, done: np.ndarray) -> None:
        """As many calls of `step`: (steps, num_envs) each. Not where autoreset is "disabled"."""
        count = len(done)
        waits = self._autoreset == "next_step"  # an end's next row only resets
        ended, resetting = done, np.zeros_like(done)
        if waits:
            ended = done & ~np.concatenate((self._ended[None], done[:-1]))
            if np.count_nonzero(ended) < np.count_nonzero(done):  # not by their environments' rules
                ended = done.copy()
                ended[0] &= ~self._ended
                for index in range(1, count):
                    ended[index] &= ~ended[index - 1]
            resetting = np.concatenate((self._ended[None], ended[:-1]))
        self.steps += done.size - int(np.count_nonzero(resetting))
        endings = np.flatnonzero(ended)
        if endings.size:
            row, which = divmod(int(endings[-1]), self.num_envs)
            length, total = self._until(row, which, rewards, ended, resetting)
            self._finish(length, total, endings.size)
        # Each one's last row before its running episode: of an end, or of its reset; -1 for none.
        breaks = ended | resetting if waits else ended
        last = np.where(breaks.any(axis=0), count - 1 - breaks[::-1].argmax(axis=0), -1)
        kept = last < 0
        counted = np.arange(count)[:, None] > last
        self._lengths = np.where(kept, self._lengths, 0) + counted.sum(axis=0)
        begun = np.where(kept, self._returns, 0.0)[None]
        # Row by row, as the steps would have been added: sums come out equal to the last bit.
        self._returns = np.cumsum(np.concatenate((begun, np.where(counted, rewards, 0.0))), axis=0)[
            -1
        ]
        self._ended = ended[-1] if waits else np.zeros_like(self._ended)
        self._some_ended = bool(self._ended.any())

    def _until(
        self, row: int, which: int, rewards: np.ndarray, ended: np.ndarray, resetting: np.ndarray
    ) -> tuple[int, float]:
        """(length, return) of the episode of one environment that ended in that row."""
        breaks = np.flatnonzero(ended[:row, which] | resetting[:row, which])
        first = int(breaks[-1]) + 1 if breaks.size else 0
        length = 0 if breaks.size else int(self._lengths[which])
        total = 0.0 if breaks.size else float(self._returns[which])
        for reward in rewards[first : row + 1, which].tolist():
            total += reward
        return length + row + 1 - first, total

    def _clear(self, which: np.ndarray) -> None:
        np.putmask(self._lengths, which, 0)
        np.putmask(self._returns, which, 0.0)


def _numbers(mask: np.ndarray) -> list[int]:
    return list(mask.nonzero()[0].tolist())


def progress_of(facts: Facts) -> Progress:
    """The one that an environment of these facts begins with."""
    if facts.num_envs is None or facts.autoreset is None:
        return Progress()
    return VectorProgress(facts.num_envs, facts.autoreset, facts.vectorization == "native")
