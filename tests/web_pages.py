"""Requests as browsers send them for web pages, to a server that knows none and one that does."""

from __future__ import annotations

import atexit
import socket
from functools import lru_cache
from typing import Any

from tests.support import ServerCase, ServerProcess, exchange, post

EVIL, FRIEND = "https://evil.example", "https://friend.example:8443"
CORS = "access-control-"


@lru_cache(maxsize=None)
def friendly_server() -> ServerProcess:
    """Which lets in a few, from anywhere."""
    flags = ["-l", "0.0.0.0", "--insecure", "--allow-host", "gym.example.org", "--allow-host"]
    flags += [".lab.example", "--cors-origin", FRIEND, "--cors-origin", "http://other.example"]
    server = ServerProcess(*flags)
    server.address = ("127.0.0.1", server.address[1])
    atexit.register(server.stop)
    return server


def ask(
    server: ServerProcess,
    method: str = "GET",
    path: str = "/v1/envs/",
    host: str | None = "localhost",
    **headers: str,
) -> tuple[int, dict[str, str], str | None]:
    """(status, headers, the error's code or None). headers: Sec_Fetch_Site="none", say."""
    lines = [f"{method} {path} HTTP/1.1", "Connection: close"]
    lines += [] if host is None else [f"Host: {host}"]
    lines += ["Content-Length: 0"] if method == "POST" else []  # without, Flask would answer all
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    raw = "\r\n".join((*lines, "", "")).encode("latin-1")
    if method == "HEAD":
        with socket.create_connection(server.address, timeout=30) as connection:
            connection.sendall(raw)
            return int(connection.recv(12).split()[1]), {}, None
    status, told, body = exchange(server.address, raw)
    code = body.split(b'"code":"')[1].split(b'"')[0].decode() if b'"code":"' in body else None
    return status, told, code


class PageCase(ServerCase):
    def assertNotReset(self, env: str) -> None:
        """Which would show that a reset was done all the same."""
        _, _, reply = post(self.server, f"{env}/step/", {"action": 1})
        self.assertEqual(reply["code"], "reset_needed")

    def assertRefused(self, got: Any, code: str) -> None:
        status, headers, its_code = got
        self.assertEqual((status, its_code), (403, code))
        self.assertEqual([name for name in headers if name.startswith(CORS)], [])
