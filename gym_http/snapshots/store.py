"""The snapshots that a server keeps, so many at most; the oldest goes first."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from typing import Any

from gym_http.environments import Facts, Recipe
from gym_http.errors import UnknownSnapshot, shown
from gym_http.snapshots.history import Captured, History
from gym_http.terms import Terms


@dataclass(frozen=True)
class Snapshot:
    """An instance's state. facts, progress: its own, of which the latter is nobody else's; terms:
    on which it lived. sampling: the random state of its action space."""

    recipe: Recipe
    captured: Captured
    history: History
    progress: Any
    sampling: list[Any]
    facts: Facts
    terms: Terms
    instance_id: str
    pending_seed: int | None = None  # for the next reset that has none


class Snapshots:
    """snapshot_id -> Snapshot. Each method may be called from any thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[str, Snapshot] = {}
        self._lock = threading.Lock()

    def add(self, snapshot: Snapshot) -> str:
        """Returns its id, sixteen hexadecimal digits."""
        with self._lock:
            snapshot_id = uuid.uuid4().hex[:16]
            self._kept[snapshot_id] = snapshot
            while len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]
        return snapshot_id

    def get(self, snapshot_id: str, instance_id: str | None = None) -> Snapshot:
        """instance_id: of which it has to be. Raises UnknownSnapshot."""
        with self._lock:
            found = self._kept.get(snapshot_id)
        if found is None or instance_id not in (None, found.instance_id):
            of = "" if instance_id is None else f" of {shown(instance_id)}"
            raise UnknownSnapshot(
                f"Snapshot_id {shown(snapshot_id)}{of} unknown",
                detail=f"the last {self._most} are kept (--max-snapshots)",
            )
        return found
