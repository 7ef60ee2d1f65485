"""A rollout's steps gathered in columns, which are arrays that are filled row by row.

A vector environment that takes half a microsecond for each of its environments would else be
waiting for its bookkeeping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from time import perf_counter
from typing import Any

import numpy as np

from gym_http.blame import raise_blamed
from gym_http.instance import Instance
from gym_http.outcomes import Rollout
from gym_http.progress import VectorProgress
from gym_http.spaces import NUMBERS, batches
from gym_http.tape import RESET, Actions, Plan, Tape


class ColumnTape(Tape):
    """What the steps of a vector environment have brought that begins its episodes by itself. Its
    progress is counted at the end."""

    @staticmethod
    def fits(instance: Instance, plan: Plan) -> bool:
        """Whether nobody has to look at each step: no recorder, nor the caller for its info, nor
        the rollout for an end."""
        autoreset = instance.facts.autoreset
        return (
            autoreset == "next_step"
            or (autoreset == "same_step" and not plan.wants("final_observations"))
        ) and (
            instance.recorder is None
            and plan.on_done == RESET
            and plan.wants("observations")
            and not plan.wants("infos")
            and isinstance(instance.env.observation_space, NUMBERS)
            and not instance.survives  # which looks at the last one, to make it again
        )

    def play(self, count: int, actions: Actions, ending: Event) -> None:
        instance, progress = self.instance, self.instance.progress
        env: Any = instance.env
        tally, steps, episodes = instance.tally, progress.steps, progress.episodes
        foresees = instance.foresees
        assert isinstance(progress, VectorProgress)
        columns = self._columns = Columns(
            count,
            instance.encode,
            progress.rewards,
            progress.flags,
            progress.flags,
        )
        made, step, put, is_ending = 0, env.step, columns.put, ending.is_set
        notes = self.note if self.wanted["actions"] else None
        observation: Any = None
        remember = instance.history.note
        clock, timings = perf_counter, list[float]()
        took = timings.append
        try:
            with self.foreseen(count, actions):
                for action in self._drawn(count) if actions is None else actions:
                    if notes:
                        notes(action)
                    begun = clock()
                    observation, reward, terminated, truncated, _ = step(action)
                    took(env.took_s if foresees else clock() - begun)
                    put(made, observation, reward, terminated, truncated)
                    remember(action)
                    made += 1
                    if is_ending():
                        break
        except BaseException as error:
            raise_blamed(error, instance.env_id, "step", progress)
        finally:
            tally.took_each(timings)
            self.steps = made
            if made:
                _, rewards, terminated, truncated = columns.rows(made)
                self._done = terminated | truncated
                last = rewards[-1], terminated[-1], truncated[-1]
                instance.history.last = instance.encode(observation), *(one.copy() for one in last)
                progress.advance(rewards, self._done)
                tally.made(progress.steps - steps, progress.episodes - episodes)

    def _drawn(self, count: int) -> Iterator[Any]:
        for _ in range(count):
            yield self.draw()

    def result(self) -> Rollout:
        observations, rewards, terminated, truncated = self._columns.rows(self.steps)
        done = self._done
        found = {
            "observations": observations,
            "rewards": rewards,
            "terminated": terminated,
            "truncated": truncated,
            "done": done,
        }
        fields: dict[str, Any] = {key: value for key, value in found.items() if self.wanted[key]}
        if self.wanted["final_observations"]:
            fields["final_observations"] = observations[done]
        if self.wanted["actions"]:
            fields["actions"] = batches.listed(self.instance.env.action_space, self._actions)
        return Rollout(self.steps, fields, [])


class Columns:
    """Arrays of (length, …), made when their first rows are seen. Rows like the ones before, as
    nearly all are, are checked and copied in one go; the converters see to all others.

    converters: of each column, a value -> an array, always of one shape; or they raise.
    """

    def __init__(self, length: int, *converters: Callable[[Any], np.ndarray]) -> None:
        self._length = length
        self._converters = converters
        self._arrays: list[np.ndarray] = []
        self._shapes: tuple[Any, ...] = ()  # of rows that are like the ones before
        self._dtypes: tuple[Any, ...] = ()

    def put(self, index: int, first: Any, second: Any, third: Any, fourth: Any) -> None:
        """The rows of that index, one for each column."""
        if type(first) is type(second) is type(third) is type(fourth) is np.ndarray and (
            (first.shape, second.shape, third.shape, fourth.shape) == self._shapes
            and (first.dtype, second.dtype, third.dtype, fourth.dtype) == self._dtypes
        ):
            one, two, three, four = self._arrays
            one[index], two[index], three[index], four[index] = first, second, third, fourth
        else:
            self._convert(index, first, second, third, fourth)

    def rows(self, count: int) -> list[np.ndarray]:
        """The first so many, of each column."""
        return [array[:count] for array in self._arrays]

    def _convert(self, index: int, *values: Any) -> None:
        rows = [turn(value) for turn, value in zip(self._converters, values, strict=True)]
        if not self._arrays:
            self._arrays = [np.empty((self._length, *row.shape), row.dtype) for row in rows]
        for which, row in enumerate(rows):
            array = self._arrays[which]
            wider = np.result_type(row.dtype, array.dtype)
            if wider != array.dtype:  # float64 in the midst of float32, say: the wider one serves
                array = self._arrays[which] = array.astype(wider)
            array[index] = row
        self._shapes = tuple(array.shape[1:] for array in self._arrays)
        self._dtypes = tuple(array.dtype for array in self._arrays)
