"""One request, as data -> one reply, as data, without a web framework.

`answer` is what Flask calls for every route, and what anything else may call as well.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec

from gym_http import wire
from gym_http.blame import in_main_thread
from gym_http.errors import BadValue, GymHTTPError, Internal, InvalidJSON, MissingParameter, shown
from gym_http.service import Service
from gym_http.web.schema import Body, NothingReply

log = logging.getLogger(__name__)

JSON = "application/json"


@dataclass(frozen=True)
class Call:
    """A request to a known route."""

    path: Mapping[str, str]  # the variables in the route's path
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = ""
    accept: str = ""


@dataclass(frozen=True)
class Reply:
    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Raw:
    """What a handler returns when its reply is no JSON."""

    body: bytes
    content_type: str


@dataclass(frozen=True)
class Route:
    """A declaration: it feeds the router, the request's checks, and the OpenAPI document."""

    method: str
    path: str  # ends with a slash; served without it as well
    handler: Callable[..., Any]
    reply: type[msgspec.Struct] | str  # a string is the content type of a reply that is no JSON
    body: type[Body] | type[dict] | None = None
    query: type[Body] | None = None


def answer(route: Route, service: Service, call: Call) -> Reply:
    """Check the request, call the service, write the reply. Never raises."""
    try:
        arguments: dict[str, Any] = dict(call.path)
        if route.body is not None:
            arguments["body"] = _body(route.body, call)
        if route.query is not None:
            arguments["query"] = _convert(route.query, dict(call.query))
        return _reply(route.handler(service, **arguments), call.accept)
    except GymHTTPError as error:
        return error_reply(error)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and in_main_thread():
            raise  # somebody's Ctrl-C
        return error_reply(unexpected(f"{route.method} {route.path}"))


def error_reply(error: GymHTTPError) -> Reply:
    return Reply(error.status, JSON, wire.to_json(error.body()) + b"\n")


def unexpected(where: str) -> Internal:
    """The error to answer with for the exception being handled, which is logged under its id."""
    request_id = uuid.uuid4().hex[:12]
    log.exception("request %s: %s failed", request_id, where)
    return Internal(
        "internal error",
        detail=f"the server's log has it under {request_id}",
        request_id=request_id,
    )


def _reply(value: Any, accept: str) -> Reply:
    if isinstance(value, Raw):
        return Reply(200, value.content_type, value.body)
    if isinstance(value, NothingReply):
        return Reply(200, _type_of_nothing(accept), b"{}")
    return Reply(200, JSON, wire.to_json(value) + b"\n")  # for who reads it in a terminal


def _type_of_nothing(accept: str) -> str:
    """The old Haskell binding reads a call without a result as HTML, and asks for it so."""
    if "text/html" in accept and "json" not in accept and "*/*" not in accept:
        return "text/html; charset=utf-8"
    return JSON


def _body(kind: Any, call: Call) -> Any:
    """The request's body as `kind`: a dict, or a Struct.

    Where a field is required, the body has to be a JSON object sent as JSON. Elsewhere old
    clients send anything, so that only an object is looked into.
    """
    if kind is dict or _required(kind):
        if not is_json(call.content_type):
            raise InvalidJSON(
                f"the Content-Type is {shown(call.content_type)}, not 'application/json'"
            )
        value = wire.from_json(call.body)
        if value == []:  # Lua's empty table
            value = {}
        if not isinstance(value, dict):
            raise InvalidJSON(f"the body is {shown(value)}, not an object")
    else:
        try:
            value = wire.from_json(call.body)
        except InvalidJSON:
            value = {}
        if not isinstance(value, dict):
            value = {}
    return value if kind is dict else _convert(kind, value)


@lru_cache(maxsize=None)
def _required(kind: type[Body]) -> tuple[str, ...]:
    """The fields without a default, in their order. msgspec finds them out anew at each call."""
    return tuple(knob.name for knob in msgspec.structs.fields(kind) if knob.required)


def is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == JSON


def _convert(kind: type[Body], given: dict[str, Any]) -> Any:
    """`given` as `kind`. Raises MissingParameter, BadValue."""
    provided = {
        name: value
        for name, value in given.items()
        if not (value is None or value == "" or (value == [] and name not in kind.empty_list))
    }
    for name in _required(kind):
        if name not in provided:
            raise MissingParameter(name)
    try:
        return msgspec.convert(provided, kind)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).rpartition(" - at ")
        name = where.strip("`").removeprefix("$.")
        raise BadValue(f"{name}: {_plain(reason)}, got {shown(given.get(name))}") from error


def _plain(reason: str) -> str:
    """msgspec's words, without the spellings that only `schema` needs."""
    if reason.startswith("Invalid enum value"):
        return "expected true or false"
    kind = reason.partition(", got")[0].replace(" | null", "")
    for ours, theirs in (("bool | str", "bool"), ("int | float", "int"), (" | array", "")):
        kind = kind.replace(ours, theirs)
    return kind[:1].lower() + kind[1:]
