"""A process that outlives the server, to end what it leaves behind: also where it was killed and
could do nothing any more, and also what environments have started themselves.

It is told on its standard input, a line each, of process groups that begin (+PID) and that have
ended (-PID). When that input ends, so has the server; the groups that are left are killed. Run by
its path, without our package or any other, it takes little.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress


class Undertaker:
    """The server's side. The process is started with the first group."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def begun(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def ended(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", __file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,  # what is sent to the server's group isn't meant for it
                )
            assert self._process.stdin is not None
            with suppress(OSError):  # somebody has killed it: the workers still watch the server
                self._process.stdin.write(line.encode())
                self._process.stdin.flush()


def main() -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
