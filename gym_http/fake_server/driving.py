"""A driver: the program by which a client's author lets us call the client.

It reads a call a line, as JSON, from its standard input, and writes what the call gave, a line, on
its standard output (`conformance/README.md`).
"""

from __future__ import annotations

import json
import os
import queue
import shlex
import signal
import subprocess
import tempfile
import threading
from contextlib import suppress
from typing import Any

HERE = "127.0.0.1,localhost"  # where no proxy is to stand in between


class DriverFailed(Exception):
    """It gave no answer that one can read; the message says what it did instead."""


class Driver:
    """A driver's process. Not to be used any more after DriverFailed, but to be closed."""

    def __init__(self, command: str) -> None:
        """Raises DriverFailed where there is no such program."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed in `close`
        try:
            self._process = subprocess.Popen(
                shlex.split(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, "NO_PROXY": HERE, "no_proxy": HERE},
                start_new_session=True,
            )
        except (OSError, ValueError, IndexError) as error:
            self._errors.close()
            raise DriverFailed(f"it can't be started: {error}") from error
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with suppress(OSError, ValueError):
            for line in self._process.stdout:
                self._lines.put(line)
        self._lines.put(b"")

    def call(self, name: str, arguments: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """What the client gave its caller: {"value": …}, {"error": {…}} or {"unsupported": true}.
        Raises DriverFailed."""
        assert self._process.stdin is not None
        line = json.dumps({"call": name, "arguments": arguments}) + "\n"
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except OSError as error:
            raise DriverFailed(f"it has ended{self._said()}") from error
        try:
            answer = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise DriverFailed(f"no answer within {timeout_s:g} s{self._said()}") from None
        if not answer:
            raise DriverFailed(f"it has ended{self._said()}")
        try:
            value = json.loads(answer)
        except ValueError:
            value = None
        if isinstance(value, dict) and value.get("error", 0) is None:
            del value["error"]  # as some languages write what isn't there
        known = isinstance(value, dict) and value.keys() & {"value", "error", "unsupported"}
        if not known or not isinstance(value.get("error", {}), dict):
            text = answer[:200].decode("utf-8", "replace").strip()
            raise DriverFailed(f"a line that is no answer: {text}")
        return value

    def _said(self) -> str:
        """The end of what it wrote on its standard error."""
        with suppress(OSError, subprocess.TimeoutExpired):
            self._process.wait(0.2)
            self._errors.seek(0)
            last = self._errors.read().decode("utf-8", "replace").strip()[-500:]
            return f"; it said: {last}" if last else ""
        return ""

    def close(self) -> None:
        """End it, and what it has started."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()
        self._reader.join(1)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()
