"""How much memory a process has for itself."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.measuring import Unavailable

FIRST = 200  # instances by which everything is imported, and every pool has its size
FURTHER = 1000  # those that are then counted


def private_kib(pid: int) -> int:
    """Resident and shared with nobody, in KiB. Raises Unavailable: only Linux tells."""
    try:
        told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError as error:
        raise Unavailable(f"how much memory a process has can't be read here: {error}") from error
    return sum(int(kib) for kib in re.findall(r"^Private_\w+:\s+(\d+) kB$", told, re.MULTILINE))
