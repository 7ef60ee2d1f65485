"""A rollout's steps gathered in columns, which are arrays that are filled row by row.

A vector environment that takes half a microsecond for each of its environments would else be
waiting for its bookkeeping.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gym_http.blame import raise_blamed
from gym_http.outcomes import Rollout
from gym_http.progress import VectorProgress
from gym_http.registry import Instance
from gym_http.spaces import NUMBERS
from gym_http.tape import RESET, Plan, Tape


class ColumnTape(Tape):
    """What the steps of a vector environment have brought that begins its episodes by itself. Its
    progress is counted at the end."""

    @staticmethod
    def fits(instance: Instance, plan: Plan) -> bool:
        """Whether nobody has to look at each step: no recorder, nor the caller for its info, nor
        the rollout for an end."""
        return (
            instance.facts.autoreset == "next_step"
            and instance.recorder is None
            and plan.on_done == RESET
            and plan.wants("observations")
            and not plan.wants("infos")
            and isinstance(instance.env.observation_space, NUMBERS)
        )

    def __init__(self, instance: Instance, plan: Plan, length: int) -> None:
        super().__init__(instance, plan)
        assert isinstance(instance.progress, VectorProgress)
        space, self._progress = instance.env.observation_space, instance.progress
        self._seen = Column(length, lambda value: instance.encode(space, value))
        self._rewards = Column(length, self._progress.rewards)
        self._terminated = Column(length, self._progress.flags)
        self._truncated = Column(length, self._progress.flags)

    def play(self, action: Any) -> bool:
        index = self.steps
        try:
            self.note(action)
            value, reward, terminated, truncated, _ = self.instance.env.step(action)
            self._seen.put(index, value)
            self._rewards.put(index, reward)
            self._terminated.put(index, terminated)
            self._truncated.put(index, truncated)
        except BaseException as error:
            raise_blamed(error, self.instance.env_id, "step", self.instance.progress)
        self.steps = index + 1
        return False  # nobody asks

    def settle(self) -> None:
        if self.steps:
            self._done = self._terminated.rows(self.steps) | self._truncated.rows(self.steps)
            self._progress.advance(self._rewards.rows(self.steps), self._done)

    def result(self) -> Rollout:
        observations = self._seen.rows(self.steps)
        found = {
            "observations": observations,
            "rewards": self._rewards.rows(self.steps),
            "terminated": self._terminated.rows(self.steps),
            "truncated": self._truncated.rows(self.steps),
            "done": self._done,
            "actions": self._actions,
        }
        fields = {field: value for field, value in found.items() if self.wants[field]}
        if self.wants["final_observations"]:
            fields["final_observations"] = observations[self._done]
        if self.wants["actions"]:
            fields["actions"] = np.array(self._actions)
        return Rollout(self.steps, fields, [])


class Column:
    """(length, …) array, made when its first row is seen. A row that is like the one before, as
    nearly every one is, is checked and copied in one go; `convert` sees to all others.

    convert: a value -> an array, each of one shape, or an exception.
    """

    def __init__(self, length: int, convert: Callable[[Any], np.ndarray]) -> None:
        self._length = length
        self._convert = convert
        self._rows = np.empty(0)
        self._shape: tuple[int, ...] | None = None  # of a row
        self._dtype: Any = None

    def put(self, index: int, row: Any) -> None:
        if type(row) is not np.ndarray or row.shape != self._shape or row.dtype != self._dtype:
            row = self._converted(row)
        self._rows[index] = row

    def rows(self, count: int) -> np.ndarray:
        return self._rows[:count]

    def _converted(self, row: Any) -> np.ndarray:
        row = self._convert(row)
        if self._shape is None:
            self._rows = np.empty((self._length, *row.shape), row.dtype)
        elif row.dtype != self._dtype:  # float64 in the midst of float32, say: no digit is lost
            self._rows = self._rows.astype(np.result_type(row.dtype, self._dtype))
        self._shape, self._dtype = row.shape, self._rows.dtype
        return row
