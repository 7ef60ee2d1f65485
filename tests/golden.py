"""The golden exchanges of conformance/, sent to a server whose replies are held against them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from gym_http import wire
from gym_http.fake_server.script import Level
from gym_http.fake_server.values import differences, plain, with_arrays
from tests.support import ROOT, ServerProcess, exchange

DIRECTORY = ROOT / "conformance" / "exchanges"


class Part(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A misspelt name is an error."""


class Request(Part, kw_only=True):
    """body: sent as JSON, or as the bytes of `messagepack`, in hexadecimal, which are the same
    value. text: sent as it is. Without any of them there is no body."""

    method: str
    path: str
    headers: dict[str, str] = {}
    body: Any = UNSET
    text: str | UnsetType = UNSET
    messagepack: str | UnsetType = UNSET


class Reply(Part, kw_only=True):
    """body: what JSON or MessagePack hold. text: characters; contains: some of them. base64: bytes,
    or how they begin, ending with "…". same_as: the name of an exchange with the same reply, byte
    for byte."""

    status: int
    headers: dict[str, str] = {}
    body: Any = UNSET
    text: str | UnsetType = UNSET
    contains: list[str] = []
    base64: str | UnsetType = UNSET
    messagepack: str | UnsetType = UNSET
    same_as: str | None = None


class Exchange(Part, kw_only=True):
    name: str
    about: str = ""
    request: Request
    reply: Reply


class Topic(Part, kw_only=True):
    """A file. Names in braces, such as {instance_id}, are bound by the first reply that has them,
    and stand for that value from then on; "<number>", "<text>", "<time>" and "<any>" are whatever
    there is of it, and a text that ends with "…" begins so. Numbers may differ by a millionth."""

    about: str
    level: Level
    exchanges: list[Exchange]


def topics() -> Iterator[tuple[str, Topic]]:
    for path in sorted(DIRECTORY.glob("*.json")):
        yield path.stem, read(path)


def read(path: Path) -> Topic:
    return msgspec.json.decode(path.read_bytes(), type=Topic)


class Replay:
    """Sends the exchanges of a topic, in their order. bound: the value of each name in braces."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self.bound: dict[str, str] = {}
        self._bytes: dict[str, bytes] = {}

    def differences(self, one: Exchange) -> list[tuple[str, str]]:
        """(expected, came), where the server's reply is another."""
        status, headers, body = exchange(self._server.address, self._raw(one.request))
        found = []
        if status != one.reply.status:
            found.append((f"status {one.reply.status}", f"{status} {body[:300]!r}"))
        for name, value in one.reply.headers.items():
            if headers.get(name.lower()) != value:
                found.append((f"{name}: {value}", str(headers.get(name.lower()))))
        self._bytes[one.name] = body
        return found + list(self._of_body(one.reply, headers, body))

    def _raw(self, request: Request) -> bytes:
        content: bytes | None = None
        if isinstance(request.messagepack, str):
            content = bytes.fromhex(request.messagepack)
        elif isinstance(request.text, str):
            content = request.text.encode()
        elif request.body is not UNSET:
            content = json.dumps(self._filled(request.body)).encode()
        lines = [f"{request.method} {self._filled(request.path)} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        lines += ["Connection: close"]
        if content is not None:
            lines.append(f"Content-Length: {len(content)}")
        return "\r\n".join([*lines, "", ""]).encode() + (content or b"")

    def _filled(self, value: Any) -> Any:
        """With what the names in braces are bound to."""
        if isinstance(value, str):
            return re.sub(r"\{(\w+)\}", lambda m: self.bound.get(m[1], m[0]), value)
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        if isinstance(value, dict):
            return {self._filled(key): self._filled(item) for key, item in value.items()}
        return value

    def _of_body(self, reply: Reply, headers: dict[str, str], body: bytes) -> Any:
        if reply.same_as is not None and body != self._bytes[reply.same_as]:
            yield f"the bytes of {reply.same_as}", repr(body)
        for text in reply.contains:
            if text not in body.decode():
                yield f"a text with {text}", body.decode()[:500]
        if isinstance(reply.text, str) and body.decode() != reply.text:
            yield reply.text, body.decode()
        if isinstance(reply.base64, str):
            beginning = base64.b64decode(reply.base64.removesuffix("…"))
            if not (body == beginning or (reply.base64[-1] == "…" and body.startswith(beginning))):
                yield reply.base64, base64.b64encode(body).decode()[:200]
        if reply.body is not UNSET:
            in_messagepack = "msgpack" in headers.get("content-type", "")
            came = wire.from_msgpack(body) if in_messagepack else json.loads(body)
            yield from self.of_value(reply.body, came, "body", in_messagepack)

    def of_value(self, expected: Any, came: Any, where: str, in_messagepack: bool) -> Any:
        if isinstance(expected, str):
            yield from self._of_text(expected, came, where)
        elif isinstance(expected, dict) and "$array" in expected:
            array = with_arrays(expected)
            if not isinstance(came, np.ndarray) or (came.dtype, came.shape) != (
                array.dtype,
                array.shape,
            ):
                yield f"{where} an array of {array.dtype} {array.shape}", repr(came)
            else:
                yield from differences(plain(array), plain(came), where)
        elif isinstance(expected, dict) and "$number" in expected:
            yield from differences(float(expected["$number"]), came, where)
        elif isinstance(expected, dict) and isinstance(came, dict):
            wanted = {self._filled(key): value for key, value in expected.items()}
            if wanted.keys() != came.keys():
                yield f"{where} with {', '.join(wanted)}", ", ".join(came)
            for name in wanted.keys() & came.keys():
                inner = f"{where}.{name}"
                yield from self.of_value(wanted[name], came[name], inner, in_messagepack)
        elif isinstance(expected, list) and isinstance(came, list) and len(expected) == len(came):
            for index, (one, other) in enumerate(zip(expected, came, strict=True)):
                yield from self.of_value(one, other, f"{where}[{index}]", in_messagepack)
        else:
            yield from _strictly(expected, came, where)

    def _of_text(self, expected: str, came: Any, where: str) -> Any:
        if expected in KINDS:
            if not KINDS[expected](came):
                yield f"{where} = {expected}", repr(came)
            return
        name = re.fullmatch(r"\{(\w+)\}", expected)
        if name is not None and name[1] not in self.bound and isinstance(came, str):
            self.bound[name[1]] = came
        wanted = self._filled(expected)
        if wanted.endswith("…") and str(came).startswith(wanted[:-1]):
            return
        if wanted != came:
            yield f"{where} = {wanted}", repr(came)


KINDS = {
    "<any>": lambda value: True,
    "<text>": lambda value: isinstance(value, str),
    "<number>": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "<time>": lambda value: re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", str(value)),
}


def _strictly(expected: Any, came: Any, where: str) -> Any:
    """As a server has to be: null is null, a float has a fraction, [] isn't {}."""
    if type(expected) is not type(came):
        yield f"{where} = {expected!r}", repr(came)
    else:
        yield from differences(expected, came, where)
