"""Which instances live, kept in a file, so that a worker which follows a crashed one can say of
an old id that it was lost rather than that it never was.

The file belongs to one run of the server: its main process makes it, each worker appends to it.
A line is `+ID` or `-ID`.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


class Ledger:
    """path None: nothing is kept, for a server whose instances share its process."""

    def __init__(self, path: Path | None) -> None:
        self._lost: set[str] = set()
        self._fd: int | None = None
        if path is None:
            return
        try:
            if path.exists():
                self._lost = _alive(path.read_text(encoding="ascii"))
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except (OSError, ValueError) as error:
            log.warning("after a crash, old ids will be unknown instead of lost: %s", error)

    def lost(self, instance_id: str) -> bool:
        """Whether an earlier worker died with this instance."""
        return instance_id in self._lost

    def opened(self, instance_id: str) -> None:
        self._append(f"+{instance_id}\n")

    def closed(self, instance_id: str) -> None:
        self._append(f"-{instance_id}\n")

    def _append(self, line: str) -> None:
        """A convenience that fails is not worth an instance: it is logged, once."""
        if self._fd is None:
            return
        try:
            os.write(self._fd, line.encode("ascii"))
        except OSError as error:
            log.warning("after a crash, old ids will be unknown instead of lost: %s", error)
            os.close(self._fd)
            self._fd = None


def _alive(text: str) -> set[str]:
    alive: set[str] = set()
    for line in text.splitlines():
        if line.startswith("+"):
            alive.add(line[1:])
        else:
            alive.discard(line[1:])
    return alive
