"""Raw clients: prebuilt bytes on a socket, and exactly one reply read. They cost next to nothing,
so that what is measured is the server."""

from __future__ import annotations

import os
import socket
import struct

JSON = "application/json"
MSGPACK = "application/msgpack"

_TIMEOUT_S = 60
_BUFFER_BYTES = 1 << 20  # grows where a reply is longer


class BadReply(Exception):
    """A reply that isn't what is to be measured."""


def post(path: str, body: bytes = b"", content_type: str = JSON) -> bytes:
    """The bytes of a POST, whose reply is asked for in the same encoding."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {content_type}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection:
    """One connection to a server, and the buffer that replies are read into."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(self._address, timeout=_TIMEOUT_S)
        connection.settimeout(None)  # Python's own polls before each recv; the system's doesn't
        if os.name == "posix":
            timeout = struct.pack("@ll", _TIMEOUT_S, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _read(self, connection: socket.socket, have: int) -> int:
        """Read what there is behind the `have` bytes of the buffer; returns how many it has now."""
        if have == len(self._buffer):
            self._buffer = self._buffer + bytes(have)
            self._view = memoryview(self._buffer)
        try:
            got = connection.recv_into(self._view[have:])
        except BlockingIOError as error:
            raise BadReply(f"no reply within {_TIMEOUT_S} s") from error
        if not got:
            raise BadReply("the server closed the connection in the middle of a reply")
        return have + got


class RawHTTP(_Connection):
    """HTTP on one connection that is kept, or, where `keeps` is false, on a new one each time."""

    def __init__(self, address: tuple[str, int], *, keeps: bool = True) -> None:
        super().__init__(address)
        self._kept = self._connect() if keeps else None
        self._lengths: dict[bytes, int] = {}  # of the bodies behind heads seen before
        self._body = (0, 0)

    def call(self, request: bytes) -> None:
        """Send a request and read its reply. Raises BadReply for any other status than 200."""
        connection = self._kept or self._connect()
        connection.sendall(request)
        have = connection.recv_into(self._view)
        end = self._buffer.find(b"\r\n\r\n", 0, have)
        length = self._lengths.get(bytes(self._view[:end])) if end > 0 else None
        if length is None or have != end + 4 + length:  # else it was all there, and is as before
            end, have = self._rest(connection, have)
        self._body = (end + 4, have)
        if self._kept is None:
            connection.close()

    def _rest(self, connection: socket.socket, have: int) -> tuple[int, int]:
        """(where the head ends, where the body does), when all has been read."""
        while (end := self._buffer.find(b"\r\n\r\n", 0, have)) < 0:
            have = self._read(connection, have)
        head = bytes(self._view[:end])
        status, length = _status_and_length(head)
        while have < end + 4 + length:
            have = self._read(connection, have)
        if status != 200 or have > end + 4 + length:
            raise BadReply(bytes(self._view[: min(have, 2000)]).decode(errors="replace"))
        self._lengths[head] = length
        return end, have

    def body(self) -> bytes:
        """Of the last reply."""
        return bytes(self._view[slice(*self._body)])

    def says(self, text: bytes) -> bool:
        """Whether the last reply's body has these bytes."""
        return self._buffer.find(text, *self._body) >= 0

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()


def _status_and_length(head: bytes) -> tuple[int, int]:
    lower = head.lower() + b"\r"
    at = lower.find(b"content-length:")
    if at < 0:
        raise BadReply("a reply without Content-Length")
    return int(head[9:12]), int(lower[at + 15 : lower.find(b"\r", at)])


class RawTCP(_Connection):
    """A byte for a request, and replies of `length` bytes: baselines/raw_tcp.py."""

    def __init__(self, address: tuple[str, int], length: int) -> None:
        super().__init__(address)
        self._kept = self._connect()
        self._length = length

    def call(self, request: bytes) -> None:
        self._kept.sendall(request)
        have = self._read(self._kept, 0)
        while have < self._length:
            have = self._read(self._kept, have)
        if have != self._length:
            raise BadReply(f"{have} bytes in place of {self._length}")

    def last(self) -> memoryview:
        """The last reply; until the next."""
        return self._view[: self._length]

    def close(self) -> None:
        self._kept.close()
