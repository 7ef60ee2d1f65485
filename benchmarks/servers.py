"""Servers as their users start them: ours, and the baselines."""

from __future__ import annotations

import os
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
START_S = 60  # at most, for a server to come up
END_S = 20


@dataclass(frozen=True)
class Running:
    """A server that answers. url: its root, without a slash. pid: of the process started."""

    url: str
    pid: int

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    def worker_pid(self) -> int:
        """Of gym-http's process that holds the environments. On Linux only."""
        return int(Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()[0])


@contextmanager
def gym_http(*flags: str) -> Iterator[Running]:
    """`python gym_http_server.py` on a free port, with a data directory of its own."""
    with tempfile.TemporaryDirectory(prefix="gym-http-bench-") as data:
        command = [sys.executable, str(ROOT / "gym_http_server.py"), "-p", "0"]
        command += ["--data-dir", data, "--log-level", "warning", *flags]
        with _process(command) as process:
            found = re.search(r"http://\S+(?=:\s)", _first_line(process))
            if found is None:
                sys.exit("the server did not start")
            yield Running(found.group(0), process.pid)


@contextmanager
def baseline(name: str, *arguments: str) -> Iterator[Running]:
    """`python -m benchmarks.baselines.NAME`, which prints its port."""
    command = [sys.executable, "-m", f"benchmarks.baselines.{name}", *arguments]
    with _process(command) as process:
        line = _first_line(process)
        if not line.strip().isdecimal():
            sys.exit(f"the baseline {name} did not start")
        running = Running(f"http://127.0.0.1:{int(line)}", process.pid)
        _wait_for(running)
        yield running


@contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _first_line(process: subprocess.Popen[str]) -> str:
    """What it prints when it is there; nothing where that isn't soon."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_S)
    return process.stdout.readline() if ready else ""


def _wait_for(server: Running) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(server.address, timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                sys.exit(f"nothing answers at {server.url}")
            time.sleep(0.02)
