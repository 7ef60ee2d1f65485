"""One request, as data -> one reply, as data, without a web framework.

`answer` is what Flask calls for every route, and `hot` for those that it takes from Flask.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from gym_http import request_ids, wire
from gym_http.blame import in_main_thread
from gym_http.errors import (
    BadValue,
    DependencyMissing,
    GymHTTPError,
    Internal,
    InvalidJSON,
    InvalidMessagePack,
    MakeFailed,
    MissingParameter,
    shown,
)
from gym_http.service import Service
from gym_http.web.arguments import number_of
from gym_http.web.negotiation import JSON, reply_type, speaks_json, speaks_msgpack
from gym_http.web.schema import Body, NothingReply, Numbered

log = logging.getLogger(__name__)

LONGEST_RUBBISH = 2**20  # bytes of a body that may be anything; who sends more means it
MOST_LISTED = 2**20  # elements of an array that stands for a list


class Call(msgspec.Struct, frozen=True):
    """A request to a known route."""

    path: Mapping[str, str]  # the variables in the route's path
    query: Mapping[str, str] = {}
    body: bytes = b""
    content_type: str = ""
    accept: str = ""


class Reply(msgspec.Struct, frozen=True):
    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()  # further ones


@dataclass(frozen=True)
class Raw:
    """What a handler returns when its reply is neither JSON nor MessagePack."""

    body: bytes
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Route:
    """A declaration: it feeds the router, the request's checks, and the OpenAPI document."""

    method: str
    path: str  # ends with a slash; served without it as well
    handler: Callable[..., Any]
    reply: type[msgspec.Struct] | tuple[str, ...]  # or the content types of a Raw reply
    body: type[Body] | type[dict] | None = None
    query: type[Body] | None = None
    msgpack: type[msgspec.Struct] | None = None  # the reply instead of Raw, to who asks for it
    accept: bool = False  # whether the handler of a Raw reply wants to see the Accept header
    hot: bool = False  # answered in front of Flask
    at_once: bool = False  # takes no time, and so none of the places of work
    is_open: bool = False  # to everybody: it tells nothing, and does nothing
    watches: bool = False  # the read-only token suffices: nothing is changed by it
    is_page: bool = False  # to be looked at in a browser, which may come by another site's link
    is_documented: bool = True  # in the OpenAPI document

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def answer(route: Route, service: Service, call: Call) -> Reply:
    """Check the request, call the service, write the reply. Never raises."""
    if not route.hot:
        request_ids.current()  # for the reply's header
    try:
        arguments: dict[str, Any] = {**call.path}
        if route.body is not None:
            arguments["body"] = _body(route.body, call)
        if route.query is not None:
            arguments["query"] = _convert(route.query, dict(call.query))
        if route.msgpack is not None:
            arguments["msgpack"] = reply_type(call.accept) != JSON
        if route.accept:
            arguments["accept"] = call.accept
        body = arguments.get("body")
        if isinstance(body, Numbered) and body.seq is not None:
            return _once(route, service, call, arguments)
        return _reply(route.handler(service, **arguments), call.accept)
    except BaseException as error:
        return _failure(error, route, service, call)


def _once(route: Route, service: Service, call: Call, arguments: dict[str, Any]) -> Reply:
    """The reply to a numbered call, and to each repetition of it. Raises BadValue, OutOfSequence,
    and what a lease does.

    A number is used up by what has, or may have, touched the environment. Who is refused may mend
    the request and send it under the same one.
    """
    number = number_of(arguments["body"], route.path, call.body)
    with service.lease(arguments["instance_id"]) as instance:
        reply: Reply | None = instance.sequence.kept(number)
        if reply is not None:
            return reply
        try:
            reply = _reply(route.handler(service, **arguments), call.accept)
        except BaseException as error:
            reply = _failure(error, route, service, call)
        is_refused = 400 <= reply.status < 500
        if not is_refused and not instance.closed:  # as by a failure that was its end
            instance.sequence.keep(number, reply, len(reply.body))
        return reply


def _failure(error: BaseException, route: Route, service: Service, call: Call) -> Reply:
    """The reply to what is being handled."""
    if isinstance(error, GymHTTPError):
        return refused(service, error, call, route.name)
    if isinstance(error, KeyboardInterrupt) and in_main_thread():
        raise error  # somebody's Ctrl-C
    return refused(service, unexpected(error), call, route.name)


def refused(service: Service, error: GymHTTPError, call: Call, where: str) -> Reply:
    """The reply to a call that failed, which is counted, and one line in the log.

    where: the method and the path's pattern.
    """
    instance_id = call.path.get("instance_id")
    service.answered(error, instance_id)
    request_id = request_ids.current()  # also where nothing is logged
    fields = {
        "code": error.code,
        "status": error.status,
        "route": where,
        "instance_id": instance_id,
        "error": error.message,
        "detail": error.detail,
    }
    body = error.body()
    if error.status >= 500:
        body["request_id"] = request_id
        log.error("failed", exc_info=error.__cause__, extra=fields)
    else:  # of these, only an environment's own exceptions tell where
        cause = error.__cause__ if isinstance(error, (MakeFailed, DependencyMissing)) else None
        log.info("refused", exc_info=cause, extra=fields)
    return _encoded(error.status, body, call.accept)


def unexpected(cause: BaseException) -> Internal:
    """The error to answer with for an exception that nobody foresaw."""
    request_id = request_ids.current()
    error = Internal("internal error", detail=f"the server's log has it under {request_id}")
    error.__cause__ = cause
    return error


def _reply(value: Any, accept: str) -> Reply:
    if type(value) is Raw:
        return Reply(200, value.content_type, value.body, value.headers)
    if type(value) is NothingReply and reply_type(accept) == JSON:
        return Reply(200, _type_of_nothing(accept), b"{}")
    return _encoded(200, value, accept)


def _encoded(status: int, value: Any, accept: str) -> Reply:
    kind = reply_type(accept)
    if kind == JSON:
        return Reply(status, kind, wire.to_json(value) + b"\n")  # for who reads it in a terminal
    return Reply(status, kind, wire.to_msgpack(value))


def _type_of_nothing(accept: str) -> str:
    """The old Haskell binding reads a call without a result as HTML, and asks for it so."""
    if "text/html" in accept and "json" not in accept and "*/*" not in accept:
        return "text/html; charset=utf-8"
    return JSON


def _body(kind: Any, call: Call) -> Any:
    """The request's body as `kind`: a dict, or a Struct.

    A body that is needed has to be an object sent as JSON or as MessagePack. Elsewhere old
    clients send anything, so that of what isn't MessagePack only an object is looked into.
    """
    if kind is not dict and speaks_json(call.content_type):
        plain = wire.struct_from_json(call.body, kind)
        if plain is not None and _nothing_absent(plain):
            return plain
    needed = needs_body(kind)
    if speaks_msgpack(call.content_type):
        value = wire.from_msgpack(call.body) if call.body or needed else {}
        if isinstance(value, list) and not value:  # Lua's empty table
            value = {}
        if not isinstance(value, dict):
            raise InvalidMessagePack(f"the body is {shown(value)}, not a map")
    elif needed:
        value = _json_object(call)
    else:
        try:
            value = wire.from_json(call.body)
        except InvalidJSON:
            if len(call.body) > LONGEST_RUBBISH:
                raise
            value = {}
        if not isinstance(value, dict):
            value = {}
    return value if kind is dict else _convert(kind, value)


def _json_object(call: Call) -> dict[str, Any]:
    if not speaks_json(call.content_type):
        raise InvalidJSON(f"the Content-Type is {shown(call.content_type)}, not 'application/json'")
    value = wire.from_json(call.body)
    if value == []:  # Lua's empty table
        return {}
    if not isinstance(value, dict):
        raise InvalidJSON(f"the body is {shown(value)}, not an object")
    return value


def needs_body(kind: Any) -> bool:
    return kind is dict or kind.needed or bool(required(kind))


@lru_cache(maxsize=None)
def required(kind: type[Body]) -> tuple[str, ...]:
    """The fields without a default, in their order. msgspec finds them out anew at each call."""
    return tuple(knob.name for knob in msgspec.structs.fields(kind) if knob.required)


def _convert(kind: type[Body], given: dict[str, Any]) -> Any:
    """`given` as `kind`. Raises MissingParameter, BadValue."""
    provided = {name: value for name, value in given.items() if not _absent(kind, name, value)}
    for name in required(kind):
        if name not in provided:
            raise MissingParameter(name)
    for name, value in provided.items():
        if isinstance(value, np.ndarray) and name not in kind.arrays:
            if value.ndim != 1:
                raise BadValue(f"{name}: expected no array of shape {shown(value.shape)}")
            if value.size > MOST_LISTED:
                raise BadValue(f"{name}: an array of {value.size} is longer than any that is taken")
            provided[name] = value.tolist()  # seeds, say
    try:
        return msgspec.convert(provided, kind)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).rpartition(" - at ")
        name = where.strip("`").removeprefix("$.").partition("[")[0]
        raise BadValue(f"{name}: {_plain(reason)}, got {shown(given.get(name))}") from error


def _nothing_absent(body: msgspec.Struct) -> bool:
    """Whether no field has a value that may mean that it was not provided."""
    for name, default in _doubtful(type(body)):
        value = getattr(body, name)
        if value == "" or value == [] or (value is None and default is not None):
            return False
    return True


@lru_cache(maxsize=None)
def _doubtful(kind: type[msgspec.Struct]) -> tuple[tuple[str, Any], ...]:
    """(name, default) of the fields that may have such a value; that of a Flag, say, can't."""

    def takes(type_: Any, given: Any) -> bool:
        try:
            msgspec.convert(given, type_)
        except msgspec.ValidationError:
            return False
        return True

    return tuple(
        (knob.name, knob.default)
        for knob in msgspec.structs.fields(kind)
        if (takes(knob.type, None) and knob.default is not None)
        or takes(knob.type, "")
        or takes(knob.type, [])
    )


def _absent(kind: type[Body], name: str, value: Any) -> bool:
    """null, "" and [] mean "not provided", but where they are values."""
    if isinstance(value, list):
        return not value and name not in kind.empty_list
    if isinstance(value, str):
        return not value and name not in kind.empty_text
    return value is None


def _plain(reason: str) -> str:
    """msgspec's words, without the spellings that only `schema` needs."""
    if reason.startswith("Invalid enum value"):
        return "expected true or false"
    kind = reason.partition(", got")[0].replace(" | null", "")
    for ours, theirs in (("bool | str", "bool"), ("int | float", "int"), (" | array", "")):
        kind = kind.replace(ours, theirs)
    return kind[:1].lower() + kind[1:]
