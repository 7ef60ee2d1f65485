"""Requests, as a client's connection brings them."""

from __future__ import annotations

import socket
from dataclasses import dataclass

import h11


class Malformed(Exception):
    """What came is no HTTP request."""


@dataclass(frozen=True)
class Request:
    method: str
    target: str  # path and query, as they were sent
    headers: dict[str, str]  # by names in lower case
    body: bytes
    is_last: bool  # whether the client wants the connection closed after the reply

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


class Line:
    """One connection: its requests, one after the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""

    def next(self) -> Request | None:
        """The next request, or None at the end. Raises Malformed."""
        reader = h11.Connection(h11.SERVER)
        if self._rest:
            reader.receive_data(self._rest)
        head: h11.Request | None = None
        body = b""
        try:
            while True:
                event = reader.next_event()
                if event is h11.NEED_DATA:
                    if reader.they_are_waiting_for_100_continue:
                        go_on = h11.InformationalResponse(status_code=100, headers=[])
                        self._connection.sendall(reader.send(go_on) or b"")
                    reader.receive_data(self._received())
                elif isinstance(event, h11.Request):
                    head = event
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage) and head is not None:
                    self._rest = reader.trailing_data[0]
                    return _request(head, body)
                else:
                    return None
        except h11.RemoteProtocolError as error:
            raise Malformed(str(error)) from error

    def _received(self) -> bytes:
        try:
            return self._connection.recv(65536)
        except OSError:  # a reset, or our own end
            return b""


def _request(head: h11.Request, body: bytes) -> Request:
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
    asked = headers.get("connection", "").lower()
    is_last = "close" in asked or (head.http_version == b"1.0" and "keep-alive" not in asked)
    method, target = head.method.decode("ascii"), head.target.decode("latin-1")
    return Request(method, target, headers, body, is_last)
