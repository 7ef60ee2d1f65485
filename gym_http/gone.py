"""Instances that ended otherwise than by `close`: remembered for an hour, so that whoever comes
back to one is told what became of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from gym_http.errors import GymHTTPError

REMEMBERED_S = 3600.0
MOST = 10_000


class Gone:
    """instance_id -> what was known of it, and what is answered. Not locked: the registry is."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: seconds, of which only differences matter."""
        self._clock = clock
        self._ended: dict[str, tuple[float, Any, GymHTTPError]] = {}  # oldest first

    def add(self, instance_id: str, instance: Any, error: GymHTTPError) -> None:
        self._ended.pop(instance_id, None)
        self._ended[instance_id] = self._clock(), instance, error
        while len(self._ended) > MOST:
            del self._ended[next(iter(self._ended))]

    def instance(self, instance_id: str) -> Any:
        """What was known of it, or None."""
        self._forget_old()
        found = self._ended.get(instance_id)
        return None if found is None else found[1]

    def error(self, instance_id: str) -> GymHTTPError | None:
        """What a call on it is answered with."""
        self._forget_old()
        found = self._ended.get(instance_id)
        return None if found is None else copy.copy(found[2])  # one that is raised gets a traceback

    def remove(self, instance_id: str) -> bool:
        """Forget it. Returns whether it was there."""
        self._forget_old()
        return self._ended.pop(instance_id, None) is not None

    def _forget_old(self) -> None:
        oldest = self._clock() - REMEMBERED_S
        while self._ended:
            first = next(iter(self._ended))
            if self._ended[first][0] > oldest:
                return
            del self._ended[first]
