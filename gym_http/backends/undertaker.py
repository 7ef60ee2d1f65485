"""A process that outlives the server, to end what it leaves behind: also where it was killed and
could do nothing any more, and also what environments have started themselves.

It is told on its standard input, a line each, of process groups that begin (+PID) and that have
ended (-PID). When that input ends, so has the server; the leaders of those that are left are asked
to see to their end, and then they are killed. Run by
its path, without our package or any other, it takes little.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

PATIENCE_S = 1.0


class Undertaker:
    """The server's side. The process is started with the first group, or before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process, if there is none yet. Raises OSError."""
        with self._lock:
            self._started()

    def begun(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def ended(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        with self._lock:
            process = self._started()
            assert process.stdin is not None
            with suppress(OSError):  # somebody has killed it: the workers still watch the server
                process.stdin.write(line.encode())
                process.stdin.flush()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # what is sent to the server's group isn't meant for it
            )
        return self._process


def main() -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    _send(os.kill, groups, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_S
    while _send(os.killpg, groups, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    _send(os.killpg, groups, signal.SIGKILL)


def _send(kill: Callable[[int, int], None], groups: set[int], number: int) -> bool:
    """Returns whether there was anybody to get it."""
    got = False
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            kill(group, number)
            got = True
    return got


if __name__ == "__main__":
    main()
