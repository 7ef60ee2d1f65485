"""A TCP proxy that cuts connections: at each byte of a request and of a reply, in turn."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections import Counter
from contextlib import suppress
from itertools import count

MOST_IN_A_ROW = 2  # with five retries one bears two such rows, and a stale connection before
GATEWAYS = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"


class CuttingProxy:
    """In front of the server at `address`. What happens to a request is drawn from `seed`:

    "whole"     nothing
    "accepted"  its connection is closed as soon as it is made
    "request"   as many bytes of it reach the server as the sweep has come to, from none on
    "sent"      all of it, and both connections are cut at once
    "reply"     the server answers; the client gets as many bytes as the sweep has come to
    "after"     the client gets the whole reply, and its connection is cut
    "gateway"   a 502 of the proxy's own, in place of the request or of the reply

    done: how many of each. cut: the places, (kind, bytes let through), of the sweeps. shortest: the
    bytes of the shortest request and reply that passed.
    """

    def __init__(self, address: tuple[str, int], seed: int, share: float = 0.45) -> None:
        self._upstream = address
        self.share = share  # of requests that something happens to
        self.plan: list[str] = []  # what happens to the next ones, instead of chance
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._sweeps = {"request": count(), "reply": count()}
        self.done: Counter[str] = Counter()
        self.cut: set[tuple[str, int]] = set()
        self.shortest = {"request": 10**9, "reply": 10**9}
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._ended = False
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listening.accept()
            if self._ended:
                client.close()
                return
            if self._draw(("accepted",), self.share / 4, "") == "accepted":
                self._close(client)
                continue
            thread = threading.Thread(target=self._serve, args=(client,))
            thread.start()
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]

    def _draw(self, kinds: tuple[str, ...], share: float, otherwise: str) -> str:
        with self._lock:
            if self.plan and otherwise:
                return self.plan.pop(0)
            if self._in_a_row == MOST_IN_A_ROW or self._random.random() > share:
                kind = otherwise
            else:
                kind = self._random.choice(kinds)
                self._in_a_row += 1
            if kind == "whole":
                self._in_a_row = 0
            self.done[kind] += 1
            return kind

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(self._upstream)
        for line in (client, server):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.settimeout(30)
        with suppress(OSError):
            while (request := _message(client)) and self._pass(request, client, server):
                pass
        self._close(client)
        server.close()

    def _pass(self, request: bytes, client: socket.socket, server: socket.socket) -> bool:
        """Whether both connections live on."""
        kinds = ("request", "request", "reply", "reply", "sent", "after", "gateway")
        kind = self._draw(kinds, self.share, "whole")
        if kind == "request":
            server.sendall(request[: self._place(kind, request)])
            return False
        if kind == "gateway" and self._random.random() < 0.5:
            client.sendall(GATEWAYS)
            return True
        server.sendall(request)
        if kind == "sent":
            return False
        reply = _message(server)
        if not reply:
            return False
        if kind == "gateway":
            client.sendall(GATEWAYS)
            return True
        client.sendall(reply[: self._place(kind, reply)] if kind == "reply" else reply)
        return kind == "whole"

    def _place(self, kind: str, message: bytes) -> int:
        with self._lock:
            self.shortest[kind] = min(self.shortest[kind], len(message))
            place = next(self._sweeps[kind]) % len(message)
            self.cut.add((kind, place))
            return place

    def _close(self, line: socket.socket) -> None:
        """With an end, or with a reset."""
        if self._random.random() < 0.5:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.close()

    def close(self) -> None:
        self._ended = True
        with suppress(OSError), socket.create_connection(self._listening.getsockname()):
            pass
        for thread in self._threads:
            thread.join()
        self._listening.close()


def _message(line: socket.socket) -> bytes:
    """The next request or reply, as long as its Content-Length says. Empty at the end."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = line.recv(65536)
        if not data:
            return b""
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].partition(b":")[2]) if lengths else 0
    while len(body) < length:
        data = line.recv(65536)
        if not data:
            return b""
        body, received = body + data, received + data
    return received
