"""What a server has: all its processes, wherever they have gone, found by a mark in their
environment; and their files, threads and segments."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psutil

from tests.support import ServerProcess, eventually

MARK = "GYM_HTTP_TEST_MARK"


class MarkedServer(ServerProcess):
    """A server whose processes carry a mark. Source: ServerProcess."""

    def __init__(self, *flags: str, environ: dict[str, str] | None = None) -> None:
        self.mark = uuid4().hex
        self._segments: set[int] = set()  # inodes that a process has had
        modules = ("--import", "tests.custom_envs", "--import", "tests.faulty_envs")
        super().__init__(*modules, *flags, environ={MARK: self.mark, **(environ or {})})

    def processes(self) -> set[int]:
        """All that live, the server's own as well."""
        found = marked(self.mark)
        for pid in found:
            try:
                maps = Path(f"/proc/{pid}/maps").read_text()
            except OSError:
                continue
            self._segments.update(map(int, re.findall(r" (\d+) +/dev/shm/", maps)))
        return found

    def segments_left(self) -> set[str]:
        """Shared memory and semaphores with names, which any process had when it was looked at."""
        found = set()
        for entry in os.scandir("/dev/shm") if self._segments else ():
            with suppress(OSError):
                if entry.inode() in self._segments:
                    found.add(entry.name)
        return found

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


def gone(pids: set[int], mark: str, timeout_s: float) -> None:
    """Wait until none of these lives. Raises AssertionError."""
    try:
        eventually(lambda: not pids & marked(mark), timeout_s)
    except AssertionError:
        left = described(pids & marked(mark))
        raise AssertionError(f"left after {timeout_s} s: {left}") from None


def described(pids: set[int]) -> list[str]:
    """Their command lines, cut."""
    found = []
    for pid in sorted(pids):
        try:
            found.append(f"{pid}: {' '.join(psutil.Process(pid).cmdline())[:150]}")
        except psutil.Error:
            continue
    return found
