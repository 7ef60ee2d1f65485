"""A process between an environment's and the server for forks, which looks after the former: what
an environment does to its parent meets nobody else, and what it has started is a descendant of this
one, wherever it has gone, and ends with it. Linux only.

It runs nothing of an environment's. It ends as that process did, or when it is told to by SIGTERM,
which is also what the kernel sends it when the server for forks has ended.
"""

from __future__ import annotations

import ctypes
import multiprocessing.resource_tracker
import os
import resource
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from gym_http.forking import end_with_parent

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_TRACKER = b"multiprocessing.resource_tracker"
TRACKER_S = 2.0  # that one may take to unlink what the processes using it have left
_SIGNALS = {signal.SIGTERM, signal.SIGCHLD}


def have_kept(ours: set[int]) -> None:
    """Return in a child of this process, which becomes its keeper. ours: files that the child
    keeps beside the standard ones."""
    _shut(ours)
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    end_with_parent(signal.SIGTERM)
    keeper = os.getpid()
    child = os.fork()
    if child == 0:
        end_with_parent()
        if os.getppid() != keeper:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    try:
        _shut(set())
        _end_as(_keep(child))
    finally:
        os._exit(1)


def _shut(ours: set[int]) -> None:
    """Let go of what multiprocessing has left open: what was written to its pipes would end the
    server for forks, and every environment with it. Their numbers stay taken, for it knows them."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2 and fd != nowhere and fd not in ours:
            with suppress(OSError):  # that by which they were listed
                os.fstat(fd)
                os.dup2(nowhere, fd, inheritable=False)
    os.close(nowhere)
    # One that is shared would keep semaphores as long as the server lives.
    tracker: Any = multiprocessing.resource_tracker._resource_tracker
    tracker._fd = tracker._pid = None


def _keep(child: int) -> int:
    """Wait for its end, and end what it leaves. Returns its status, as os.waitpid has it."""
    status = None
    while status is None:
        if signal.sigwait(_SIGNALS) == signal.SIGTERM:
            status = int(signal.SIGTERM)
        while (ended := _reap()) is not None:
            if ended[0] == child:
                status = ended[1]
    _end_descendants()
    return status


def _reap() -> tuple[int, int] | None:
    with suppress(ChildProcessError):
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            return pid, status
    return None


def _end_descendants() -> None:
    deadline = time.monotonic() + TRACKER_S
    while left := descendants(os.getpid()):
        patient = time.monotonic() < deadline
        for pid in left:
            if not (patient and _is_tracker(pid)):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        while _reap() is not None:
            pass
        time.sleep(0.001)


def _is_tracker(pid: int) -> bool:
    """Whether it sees to semaphores and memory with names; it ends after who uses it."""
    with suppress(OSError):
        return _TRACKER in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def descendants(pid: int) -> list[int]:
    """Its children and theirs, those that nobody has waited for yet as well."""
    found: list[int] = []
    with suppress(OSError):  # it has ended
        for task in os.listdir(f"/proc/{pid}/task"):
            children = Path(f"/proc/{pid}/task/{task}/children").read_text()
            for child in map(int, children.split()):
                found += [child, *descendants(child)]
    return found


def _end_as(status: int) -> None:
    if os.WIFEXITED(status):
        os._exit(os.WEXITSTATUS(status))
    number = os.WTERMSIG(status)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the child has left one, if anybody wants it
    with suppress(OSError):  # SIGKILL, which needs no preparation
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
