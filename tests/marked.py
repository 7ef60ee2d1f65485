"""What a server has: all its processes, wherever they have gone, found by a mark in their
environment; and their files, threads and segments."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import psutil

from tests.support import ServerProcess, eventually

MARK = "GYM_HTTP_TEST_MARK"


class MarkedServer(ServerProcess):
    """A server whose processes carry a mark. Source: ServerProcess."""

    def __init__(self, *flags: str, environ: dict[str, str] | None = None) -> None:
        self.mark = uuid4().hex
        self.segments_before = segments()
        modules = ("--import", "tests.custom_envs", "--import", "tests.faulty_envs")
        super().__init__(*modules, *flags, environ={MARK: self.mark, **(environ or {})})

    def processes(self) -> set[int]:
        """All that live, the server's own as well."""
        return marked(self.mark)

    def files(self) -> list[str]:
        """What the process that holds the environments has open."""
        found = []
        for fd in Path(f"/proc/{self.worker_pid()}/fd").iterdir():
            try:
                found.append(os.readlink(fd).partition(":[")[0])
            except OSError:
                continue
        return sorted(found)

    def threads(self) -> int:
        return psutil.Process(self.worker_pid()).num_threads()


def marked(mark: str) -> set[int]:
    found = set()
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.add(process.pid)
        except psutil.Error:
            continue
    return found


def segments() -> set[str]:
    """Shared memory and semaphores with names, of this machine."""
    return set(os.listdir("/dev/shm")) if Path("/dev/shm").exists() else set()


def gone(pids: set[int], mark: str, timeout_s: float) -> None:
    """Wait until none of these lives. Raises AssertionError."""
    try:
        eventually(lambda: not pids & marked(mark), timeout_s)
    except AssertionError:
        left = [psutil.Process(pid).cmdline() for pid in pids & marked(mark)]
        raise AssertionError(f"left after {timeout_s} s: {left}") from None
