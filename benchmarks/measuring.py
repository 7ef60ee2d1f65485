"""Two ways of doing the same work, measured side by side.

An absolute time on a shared machine means nothing, so that what counts are ratios: of a round of
one and a round of the other, right after it; and of those ratios the median.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

WARM_UP = 10  # calls at the start of a round that don't count: caches have the other side's data

Round = Callable[[float], float]  # about how many seconds to measure -> a figure, in some unit


class Unavailable(Exception):
    """A row can't be measured here; says why."""


class Work(Protocol):
    """What is done over and over."""

    def call(self) -> None:
        """Once. This is timed."""

    def settle(self) -> None:
        """What has to be done before the next call, such as a reset. This isn't."""


@dataclass(frozen=True)
class Goal:
    """For a ratio. `reach` is a further one that it should come near to."""

    ratio: float
    at_most: bool
    reach: float | None = None

    def met_by(self, ratio: float) -> bool:
        return ratio <= self.ratio if self.at_most else ratio >= self.ratio

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.ratio:g}×"


def at_most(ratio: float, reach: float | None = None) -> Goal:
    return Goal(ratio, at_most=True, reach=reach)


def at_least(ratio: float, reach: float | None = None) -> Goal:
    return Goal(ratio, at_most=False, reach=reach)


@dataclass(frozen=True)
class Comparison:
    """One line of the table: `work` done by gym-http, against (`baseline`) the same otherwise.

    goal: None where a line is only told, beside the one that counts.
    most_rounds: where a round is expensive, and hardly differs from the next.
    """

    work: str
    baseline: str
    unit: str
    ours: Round
    theirs: Round
    goal: Goal | None = None
    most_rounds: int | None = None


@dataclass(frozen=True)
class Row:
    """A row of the table. `comparisons` is a context in which its lines can be measured: it starts
    servers, and ends them. It raises Unavailable.

    pinned: whether all that takes part runs on one core.
    """

    number: int
    name: str
    comparisons: Callable[[], AbstractContextManager[list[Comparison]]]
    pinned: bool = True


@dataclass(frozen=True)
class Measured:
    """What came out: a figure for each round and side, in the comparison's unit."""

    comparison: Comparison
    ours: list[float]
    theirs: list[float]

    @property
    def ratios(self) -> list[float]:
        """Ours by theirs, of each round."""
        return [mine / other for mine, other in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool | None:
        goal = self.comparison.goal
        return None if goal is None else goal.met_by(self.ratio)


def measure(row: Row, launches: int, rounds: int, seconds: float) -> list[Measured]:
    """Ours, theirs, theirs, ours, ours …: `rounds` of each, of about so many seconds, and all that
    with so many `launches` of the servers. Where a process's code and data happen to lie makes a
    tenth of difference, for as long as it lives.
    """
    found: list[Measured] = []
    for _ in range(launches):
        with row.comparisons() as comparisons:
            if not found:
                found = [Measured(comparison, [], []) for comparison in comparisons]
            for measured, comparison in zip(found, comparisons, strict=True):
                add_rounds(measured, comparison, rounds, seconds)
    return found


def add_rounds(measured: Measured, comparison: Comparison, rounds: int, seconds: float) -> None:
    """Of a comparison like that of `measured`, whose servers may be others."""
    sides = [(measured.ours, comparison.ours), (measured.theirs, comparison.theirs)]
    for _ in range(min(rounds, comparison.most_rounds or rounds)):
        for figures, measure_round in sides:
            figures.append(measure_round(seconds))
        sides.reverse()


def p50_us(work: Work) -> Round:
    """The median of a call, in microseconds."""
    return lambda seconds: statistics.median(_calls(work, seconds)) * 1e6


def per_second(work: Work, each: int = 1) -> Round:
    """How many steps a second, where a call makes `each`; the time of `settle` doesn't count."""
    return lambda seconds: each / statistics.fmean(_calls(work, seconds))


def per_second_settled(work: Work) -> Round:
    """How many calls a second, where the time of `settle` counts."""

    def measure_round(seconds: float) -> float:
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            work.call()
            work.settle()
            count += 1
        return count / (time.perf_counter() - began)

    return measure_round


def _calls(work: Work, seconds: float) -> list[float]:
    """How long each call took, in seconds: as many as are made in about that time, at least one."""
    for _ in range(WARM_UP):
        work.call()
        work.settle()
    return list(_timed(work, seconds))


def _timed(work: Work, seconds: float) -> Iterator[float]:
    clock = time.perf_counter
    deadline = clock() + seconds
    while True:
        began = clock()
        work.call()
        ended = clock()
        work.settle()
        yield ended - began
        if ended >= deadline:
            return
