"""The snapshots that a server keeps, so many and so large at most; the oldest goes first."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from typing import Any

from gym_http.environments import Facts, Recipe
from gym_http.errors import UnknownSnapshot, Unsupported, shown
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

    @property
    def nbytes(self) -> int:
        """The bytes that it takes, those counted of which there may be many."""
        return _USUAL_BYTES + len(self.captured.data) + self.history.nbytes


_USUAL_BYTES = 16 * 1024  # of a recipe, and of random states, which NumPy's generators have


class Snapshots:
    """snapshot_id -> Snapshot. Each method may be called from any thread."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: dict[str, tuple[Snapshot, int]] = {}  # and how many bytes
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, snapshot: Snapshot) -> str:
        """Returns its id, sixteen hexadecimal digits. Raises Unsupported where it is too large to
        be kept, and then lets go of no other."""
        size = snapshot.nbytes
        if size > self._most_bytes:
            raise Unsupported(
                f"this snapshot has {size} bytes, and all together may have {self._most_bytes} "
                "(--max-snapshot-memory)"
            )
        with self._lock:
            snapshot_id = uuid.uuid4().hex[:16]
            self._kept[snapshot_id] = snapshot, size
            self._bytes += size
            while len(self._kept) > self._most or self._bytes > self._most_bytes:
                self._bytes -= self._kept.pop(next(iter(self._kept)))[1]
        return snapshot_id

    def get(self, snapshot_id: str, instance_id: str | None = None) -> Snapshot:
        """instance_id: of which it has to be. Raises UnknownSnapshot."""
        with self._lock:
            found, _ = self._kept.get(snapshot_id, (None, 0))
        if found is None or instance_id not in (None, found.instance_id):
            of = "" if instance_id is None else f" of {shown(instance_id)}"
            raise UnknownSnapshot(
                f"Snapshot_id {shown(snapshot_id)}{of} unknown",
                detail=f"the last {self._most} are kept (--max-snapshots), as long as they take "
                f"at most {self._most_bytes} bytes together (--max-snapshot-memory)",
            )
        return found
