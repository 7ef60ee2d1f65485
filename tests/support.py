"""A real server for tests to talk to, and the plainest ways of talking."""

from __future__ import annotations

import atexit
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent


class ServerProcess:
    """`python gym_http_server.py` on a free port, with a data directory of its own."""

    def __init__(self, *flags: str, environ: dict[str, str] | None = None) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="gym-http-test-"))
        self._log = (self.home / "log").open("wb")
        command = [sys.executable, str(ROOT / "gym_http_server.py"), "-p", "0"]
        command += ["--data-dir", str(self.home / "data"), *flags]
        self.process = subprocess.Popen(
            command,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})},
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 60)
        self.greeting = self.process.stdout.readline() if ready else ""
        found = re.search(r"https?://\S+(?=:\s)", self.greeting)
        if found is None:
            self.stop()
            raise RuntimeError(f"the server did not start:\n{self.log()}")
        self.url = found.group(0)
        self.address = (urlsplit(self.url).hostname or "", urlsplit(self.url).port or 0)

    def log(self) -> str:
        return (self.home / "log").read_text()

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 30) -> int:
        return self.process.wait(timeout_s)

    def worker_pid(self) -> int:
        """The process that holds the environments."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        if children.exists():
            text = children.read_text()
        else:
            text = subprocess.run(
                ["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True
            ).stdout
        return int(text.split()[0])

    def stop(self) -> None:
        """End the server, whatever state it is in, and delete what it wrote."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


@lru_cache(maxsize=None)
def shared_server() -> ServerProcess:
    """The server that all tests share which don't end or configure one."""
    server = ServerProcess("--import", "tests.custom_envs")
    atexit.register(server.stop)
    return server


def exchange(address: tuple[str, int], raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send the bytes of one request, as some client would. Returns (status, headers, body);
    headers have lower-case names. Sends nothing of its own, adds nothing."""
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(raw)
        return read_reply(connection)


def read_reply(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """The next reply on `connection`; an interim `100 Continue` is passed over."""
    received = b""
    while True:
        while b"\r\n\r\n" not in received:
            received += _more(connection)
        head, received = received.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        if status != 100:
            break
    headers = {
        name.strip().lower(): value.strip()
        for name, value in (line.split(":", 1) for line in lines[1:])
    }
    while len(received) < int(headers.get("content-length", 0)):
        received += _more(connection)
    return status, headers, received


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the server closed the connection in the middle of a reply")
    return data


def request(
    server: ServerProcess,
    method: str,
    path: str,
    body: bytes | str | None = None,
    content_type: str | None = "application/json",
    headers: str = "",
) -> tuple[int, dict[str, str], Any]:
    """One request on a connection of its own. Returns (status, headers, body), where JSON is
    parsed. `headers`: further lines, each with its line end."""
    sent = body.encode() if isinstance(body, str) else body
    text = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}"
    if sent is not None:
        text += f"Content-Length: {len(sent)}\r\n"
    if content_type is not None and sent is not None:
        text += f"Content-Type: {content_type}\r\n"
    status, head, got = exchange(server.address, text.encode("latin-1") + b"\r\n" + (sent or b""))
    if head.get("content-type") == "application/json":
        return status, head, json.loads(got)
    return status, head, got


def post(server: ServerProcess, path: str, value: Any = None) -> tuple[int, dict[str, str], Any]:
    """POST a value as JSON."""
    return request(server, "POST", path, json.dumps(value))


def get(server: ServerProcess, path: str) -> tuple[int, dict[str, str], Any]:
    return request(server, "GET", path)


def create(server: ServerProcess, env_id: str = "CartPole-v1", **more: Any) -> str:
    """Make an instance; returns the path of its routes, /v1/envs/ID."""
    status, _, reply = post(server, "/v1/envs/", {"env_id": env_id, **more})
    assert status == 200, reply
    return f"/v1/envs/{reply['instance_id']}"


def at_once(*jobs: Callable[[], Any]) -> None:
    """Run the jobs, each on a thread of its own, to their ends."""
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def begin_step(server: ServerProcess, env: str) -> socket.socket:
    """Send a step that takes its time; returns the connection, without waiting for the reply."""
    body = '{"action":0}'
    connection = socket.create_connection(server.address)
    connection.sendall(
        f"POST {env}/step/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    return connection


def eventually(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    """Poll until `condition()` holds. Raises AssertionError when time is up."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {condition}")
        time.sleep(0.01)


class ServerCase(unittest.TestCase):
    """A test of the shared server, with a directory of its own."""

    def setUp(self) -> None:
        self.server = shared_server()
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
