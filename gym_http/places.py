"""How many instances there may be. One that is being made has a place already: of many that are
asked for at once, no more are begun than there is room for, and none gets in after the server has
begun to end all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from types import TracebackType

from gym_http.errors import ServerStopping, TooManyInstances


class Place:
    """Room for one instance. `with` it, there is room, until it is taken or left."""

    __slots__ = ("_places", "_stops", "_taken")

    def __init__(self, places: Places) -> None:
        self._places = places
        self._taken = False

    def __enter__(self) -> Place:
        self._stops = self._places.keep()
        return self

    def take(self) -> None:
        """An instance comes in. The registry is locked. Raises ServerStopping where all have been
        ended since this place was kept."""
        self._places.take(self._stops)
        self._taken = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._taken:
            self._places.give_back()


class Places:
    """Those of one registry, which gives its lock and its instances."""

    def __init__(self, lock: threading.Lock, instances: Sized, most: float) -> None:
        self._instances = instances
        self._most = most
        self._kept = 0
        self._left = threading.Condition(lock)
        self._stops = 0  # counts beginnings and ends of `stopping`: odd in between

    def one(self) -> Place:
        """A context. Entering it raises TooManyInstances, ServerStopping."""
        return Place(self)

    def keep(self) -> int:
        """For Place; so are the next two."""
        with self._left:
            if self._stops % 2:
                raise ServerStopping
            count = len(self._instances) + self._kept
            if count >= self._most:
                raise TooManyInstances(count)
            self._kept += 1
            return self._stops

    def take(self, stops: int) -> None:
        if stops != self._stops:
            raise ServerStopping
        self._kept -= 1
        self._left.notify_all()

    def give_back(self) -> None:
        with self._left:
            self._kept -= 1
            self._left.notify_all()

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """No instance comes in, and afterwards none whose making had begun before. One caller at
        a time."""
        with self._left:
            self._stops += 1
        try:
            yield
        finally:
            with self._left:
                self._stops += 1

    def wait_until_none(self, deadline: float) -> bool:
        """Wait for what is being made, until `deadline` (of time.monotonic). Returns whether
        nothing is."""
        with self._left:
            wait_s = max(0.0, deadline - time.monotonic())
            return self._left.wait_for(lambda: not self._kept, wait_s)
