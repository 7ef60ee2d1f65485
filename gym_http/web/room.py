"""How many connections this system has room for: each may take a file, and a thread.

What can't be had is worse than what is refused: where Granian can't start a thread, it stops.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

MOST_FILES = 65_536
STACK_BYTES = 16 * 1024 * 1024  # of a thread on which environments are called: a main thread's
WAITING = 64
LEAST = 8
CGROUPS = Path("/sys/fs/cgroup")


def open_many_files() -> int | None:
    """Raise the limit as far as one may, within reason: a connection takes one, an environment in
    a process of its own four, and shells give 1,024. Returns it, where there is one."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
        if soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return max(soft, most)
    return None


def most_connections(wanted: int) -> int:
    """So many, or fewer where they could take more than half of what there is of something: the
    others are for environments."""
    room = {
        "open files": open_many_files(),
        "processes of this user": _limit("RLIMIT_NPROC"),
        "address space": _stacks(),
        "threads of this control group": _threads_of_group(),
    }
    there_is = {what: count // 2 - WAITING for what, count in room.items() if count is not None}
    what = min(there_is, key=there_is.__getitem__, default="")
    if not what or wanted <= there_is[what]:
        return wanted
    most = min(wanted, max(there_is[what], LEAST))
    log.warning("--max-connections is lowered to %s, by the limit on %s", most, what)
    return most


def places_of(connections: int) -> int:
    """How many may be accepted: further ones wait here while idle ones are being ended."""
    return connections + max(connections // 4, WAITING)


def _limit(name: str) -> int | None:
    with suppress(ImportError, AttributeError, ValueError, OSError):
        import resource

        soft, _ = resource.getrlimit(getattr(resource, name))
        return None if soft == resource.RLIM_INFINITY else soft
    return None


def _stacks() -> int | None:
    """How many there are places for."""
    limit = _limit("RLIMIT_AS")
    if limit is None:
        return None
    taken = 0
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        taken = pages * os.sysconf("SC_PAGE_SIZE")
    return max(limit - taken, 0) // STACK_BYTES


def _threads_of_group() -> int | None:
    """What Linux's control groups, this and those above, allow: `pids.max` counts threads."""
    with suppress(OSError, ValueError):
        found = []
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, kind, path = line.split(":", 2)
            if kind in ("", "pids"):  # the newer way, and the older one
                group = CGROUPS / kind / path.lstrip("/")
                for each in (group, *group.parents):
                    with suppress(OSError, ValueError):
                        found.append(int((each / "pids.max").read_text()))  # or "max"
        return min(found, default=None)
    return None
