"""A request, held against what a script expects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
from msgspec import UNSET

from gym_http import wire
from gym_http.errors import GymHTTPError
from gym_http.fake_server.incoming import Request
from gym_http.fake_server.script import Expect
from gym_http.fake_server.values import differences, plain, shown
from gym_http.web import schema
from gym_http.web.negotiation import reply_type, speaks_json, speaks_msgpack

Difference = tuple[str, str]  # what was expected, what came

_BODIES: dict[str, type[schema.Body]] = {  # by the last part of the path
    "envs": schema.CreateBody,
    "reset": schema.ResetBody,
    "step": schema.StepBody,
    "rollout": schema.RolloutBody,
    "start": schema.MonitorStartBody,
    "upload": schema.UploadBody,
}


def is_for(expect: Expect, request: Request) -> bool:
    """Whether method and path are those that are expected."""
    return request.method == expect.method and _same_path(expect, request.target)


def _same_path(expect: Expect, target: str) -> bool:
    path, query = _parts(expect.path)
    came, its_query = _parts(target)
    if expect.value is not UNSET:
        came = came[: len(path)]
    return path == came and query == its_query


def _parts(target: str) -> tuple[list[str], dict[str, str]]:
    url = urlsplit(target)
    path = [unquote(part) for part in url.path.rstrip("/").split("/")]
    return path, dict(parse_qsl(url.query, keep_blank_values=True))


def is_health(request: Request) -> bool:
    path = urlsplit(request.target).path.rstrip("/")
    return request.method == "GET" and path in ("/healthz", "/v1/healthz")


def check(expect: Expect, request: Request, in_messagepack: bool) -> Iterator[Difference]:
    """What is wrong with a request whose method and path are right.

    in_messagepack: whether the scenario is one of MessagePack.
    """
    if expect.value is not UNSET:
        yield from _value(expect, request)
    for name, wanted in expect.headers.items():
        came = request.headers.get(name.lower())
        if came != wanted:
            yield (
                f"no header {name}" if wanted is None else f"{name}: {wanted}",
                "none" if came is None else f"{name}: {came}",
            )
    if in_messagepack and not speaks_msgpack(reply_type(request.header("accept"))):
        yield (
            "Accept: application/msgpack, first or alone",
            f"Accept: {request.header('accept')}",
        )
    if expect.method == "POST" and not expect.again:  # which is compared byte by byte
        yield from _body(expect, request, in_messagepack)


def _value(expect: Expect, request: Request) -> Iterator[Difference]:
    place = len(expect.path.rstrip("/").split("/"))
    parts = urlsplit(request.target).path.rstrip("/").split("/")[place:]
    text = unquote("/".join(parts))
    try:
        value = json.loads(text)
    except ValueError:
        yield f"{shown(expect.value)} in the path, as percent-encoded JSON", text
    else:
        yield from differences(expect.value, value, "the value in the path", expect.exact)


def _body(expect: Expect, request: Request, in_messagepack: bool) -> Iterator[Difference]:
    kind = request.header("content-type")
    needed = expect.body is not UNSET
    wanted_kind = "application/msgpack" if in_messagepack else "application/json"
    if needed and not (speaks_msgpack(kind) or (speaks_json(kind) and not in_messagepack)):
        yield f"Content-Type: {wanted_kind}", f"Content-Type: {kind}" if kind else "none"
        return
    body = decoded(request)
    if not isinstance(body, dict):
        if needed and not (body == [] and not expect.body):
            came = shown(body) if body is not None else shown(request.body.decode("latin-1"))
            yield f"a body that is an object: {shown(expect.body)}", came
        elif expect.seq is not None:
            yield f"body.seq = {expect.seq}", shown(body)
        return
    yield from _parameters(expect, body)
    if expect.seq is not None and body.get("seq") != expect.seq:
        yield f"body.seq = {expect.seq}", shown(body.get("seq"))
    client_id = body.get("client_id")
    if expect.seq is not None and not (isinstance(client_id, str) and 0 < len(client_id) <= 64):
        yield "body.client_id, a text of 1 to 64 characters", shown(client_id)


def decoded(request: Request) -> Any:
    """The body as a value; None where it isn't one."""
    if not request.body:
        return None
    try:
        if speaks_msgpack(request.header("content-type")):
            return plain(wire.from_msgpack(request.body))
        return msgspec.json.decode(request.body)
    except (GymHTTPError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _parameters(expect: Expect, body: dict[str, Any]) -> Iterator[Difference]:
    wanted = {} if expect.body is UNSET else expect.body
    for name, value in wanted.items():
        if name not in body:
            if value is not None:
                yield f"body.{name} = {shown(value)}", "nothing"
            continue
        came = body[name]
        if isinstance(value, bool) and came in ("true", "false"):
            came = came == "true"
        if name == "action" and not isinstance(value, list) and isinstance(came, list):
            came = came[0] if len(came) == 1 else came  # as the server takes it
        yield from differences(value, came, f"body.{name}", expect.exact)
    kind = _BODIES.get(urlsplit(expect.path).path.rstrip("/").rpartition("/")[2])
    for field in msgspec.structs.fields(kind) if kind is not None else ():
        if field.name in wanted or field.name not in body or field.name in ("seq", "client_id"):
            continue
        came = body[field.name]
        if came not in (None, "", [], {}, field.default, str(field.default).lower()):
            yield f"no {field.name} in the body", shown(came)
