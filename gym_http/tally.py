"""What is counted while it happens: plain numbers, of which `metrics` makes what Prometheus reads.

Each instance has a Tally, touched under its lease. When it ends, its numbers are added to those of
the server's Totals, so that no sum ever falls.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from copy import deepcopy
from operator import add

import numpy as np

# Seconds: from what a toy takes to what nobody waits for.
BOUNDS_S = (
    *(1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4),
    *(1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)


class Tally:
    """Of one instance, or of many together.

    timings: how many calls of the environment's `step` took at most BOUNDS_S[i], and more than the
    bound before it; the last is of those that took longer than any. seconds: all of them together.
    A vector environment makes many steps in one call.
    """

    __slots__ = ("episodes", "seconds", "steps", "timings")

    def __init__(self) -> None:
        self.timings = [0] * (len(BOUNDS_S) + 1)
        self.seconds = 0.0
        self.steps = 0
        self.episodes = 0

    def took(self, seconds: float) -> None:
        """A call of the environment's `step` did."""
        self.timings[bisect_left(BOUNDS_S, seconds)] += 1
        self.seconds += seconds

    def took_each(self, seconds: list[float]) -> None:
        """So many calls did. By arrays, for those that are short."""
        which = np.searchsorted(BOUNDS_S, seconds)
        some = np.bincount(which, minlength=len(self.timings)).tolist()
        self.timings = list(map(add, self.timings, some))
        self.seconds += sum(seconds)

    def made(self, steps: int, episodes: int) -> None:
        """So many steps were made, and so many episodes ended by them."""
        self.steps += steps
        self.episodes += episodes

    def add(self, other: Tally) -> None:
        self.timings = list(map(add, self.timings, other.timings))
        self.seconds += other.seconds
        self.steps += other.steps
        self.episodes += other.episodes


class Totals:
    """Of a server, since it began. Not locked: the registry is."""

    def __init__(self) -> None:
        self.created: Counter[str] = Counter()  # by backend
        self.closed: Counter[tuple[str, str]] = Counter()  # by backend and reason
        self.deaths: Counter[str] = Counter()  # of workers, by backend
        self.errors: Counter[str] = Counter()  # answered, by code
        self.ended: defaultdict[str, Tally] = defaultdict(Tally)  # of what has ended, by backend

    def copy(self) -> Totals:
        return deepcopy(self)
