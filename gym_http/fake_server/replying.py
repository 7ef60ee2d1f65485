"""Replies as bytes, and the ways in which they arrive."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import struct
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from msgspec import UNSET

from gym_http import wire
from gym_http.fake_server.incoming import Request
from gym_http.fake_server.script import Reply
from gym_http.fake_server.values import with_arrays
from gym_http.web.negotiation import JSON, reply_type

PIECES = 24  # of a slow reply


def send(connection: socket.socket, reply: Reply, request: Request) -> bool:
    """Answer a request. Returns whether the connection goes on."""
    time.sleep(reply.wait_s)
    head, body = message(reply, request)
    whole = (head + body) * (2 if reply.twice else 1)
    if reply.cut == "before":
        whole = b""
    elif reply.cut == "head":
        whole = whole[: len(head) // 2]
    elif reply.cut == "body":
        whole = whole[: len(head) + len(body) // 2]
    for status in reply.interim:
        connection.sendall(f"HTTP/1.1 {status} {_reason(status)}\r\n\r\n".encode())
    if reply.slow_s:
        size = max(1, -(-len(whole) // PIECES))
        for start in range(0, len(whole), size):
            connection.sendall(whole[start : start + size])
            time.sleep(reply.slow_s / PIECES)
    else:
        connection.sendall(whole)
    ends = reply.cut or reply.closes or reply.no_length or reply.version == "1.0"
    if ends and reply.reset:
        with suppress(OSError):
            now = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
    return not ends and not request.is_last


def message(reply: Reply, request: Request) -> tuple[bytes, bytes]:
    """(head, body) of a reply, as they stand on the wire."""
    body, kind = _content(reply, request)
    headers: dict[str, str] = {"Content-Type": kind} if kind else {}
    headers.update(reply.headers)
    if reply.gzip and "gzip" in request.header("accept-encoding").lower():
        body = gzip.compress(body)
        headers["Content-Encoding"] = "gzip"
    if reply.chunked:
        headers["Transfer-Encoding"] = "chunked"
        middle = len(body) // 2
        parts = [part for part in (body[:middle], body[middle:]) if part]
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    elif not reply.no_length and reply.status not in (204, 304):
        headers["Content-Length"] = str(len(body))
    if reply.closes == "announced" or reply.no_length:
        headers["Connection"] = "close"
    lines = [f"HTTP/{reply.version} {reply.status} {_reason(reply.status)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8"), body


def _content(reply: Reply, request: Request) -> tuple[bytes, str]:
    """The body and its Content-Type."""
    if isinstance(reply.base64, str):
        return base64.b64decode(reply.base64), ""
    if isinstance(reply.text, str):
        return _text(reply, request), ""
    if reply.body is UNSET:
        return b"", ""
    return encoded(with_arrays(reply.body), request.header("accept"))


def _text(reply: Reply, request: Request) -> bytes:
    """These characters; what they say, where a value in JSON is asked for in MessagePack."""
    assert isinstance(reply.text, str)
    kind = reply_type(request.header("accept"))
    if kind != JSON and reply.status == 200:
        with suppress(ValueError):
            return wire.to_msgpack(json.loads(reply.text))
    return reply.text.encode()


def encoded(value: Any, accept: str) -> tuple[bytes, str]:
    """A value in the encoding that was asked for, and its Content-Type."""
    kind = reply_type(accept)
    return (wire.to_json(value) if kind == JSON else wire.to_msgpack(value)), kind


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Odd"
