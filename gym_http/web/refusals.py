"""Which errors each route may answer with, as the OpenAPI document lists them.

They are raised deep below, so that nothing could tell but this table. Schemathesis compares it with
what a server answers (`tests/fuzz.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gym_http import errors
from gym_http.errors import GymHTTPError
from gym_http.web.exchange import Route, needs_body, required
from gym_http.web.negotiation import JSON, MSGPACK
from gym_http.web.schema import Numbered

Kind = type[GymHTTPError]

EVERYWHERE: tuple[Kind, ...] = (
    errors.InvalidRequest,
    errors.RequestTimeout,
    errors.BodyTooLarge,
    errors.HeadersTooLarge,
    errors.UnsupportedEncoding,
    errors.UnknownHost,
    errors.ForeignOrigin,
    errors.Overloaded,
    errors.Internal,
)
GUARDED = (errors.Unauthorized, errors.ReadOnly)  # where a route isn't open to everybody
WITH_BODY = (errors.InvalidMessagePack, errors.BadValue)
WITH_PATH = (errors.UnknownPath,)  # a variable in it
WITH_INSTANCE = (
    errors.UnknownInstance,
    errors.InstanceLost,
    errors.Evicted,
    errors.Busy,
    errors.BackendLost,
    errors.TimedOut,
)
OWN_CODE = (errors.EnvFailed, errors.DependencyMissing, errors.StorageFailed)  # an environment's

# By the handler's name.
FURTHER: dict[str, tuple[Kind, ...]] = {
    "env_create": (
        *OWN_CODE,
        errors.MissingParameter,
        errors.MalformedEnvId,
        errors.MakeFailed,
        errors.UnsupportedSpace,
        errors.Unsupported,
        errors.UnknownSnapshot,
        errors.TooManyInstances,
        errors.BackendLost,
        errors.TimedOut,
        errors.ServerStopping,
    ),
    "env_close": (errors.EnvFailed, errors.StorageFailed),
    "env_snapshot": (*OWN_CODE, errors.ResetNeeded, errors.Unsupported),
    "env_snapshot_get": (errors.UnknownSnapshot, errors.Unsupported),
    "env_reset": OWN_CODE,
    "env_step": (*OWN_CODE, errors.ResetNeeded),
    "env_rollout": (*OWN_CODE, errors.ResetNeeded),
    "env_render": (*OWN_CODE, errors.ResetNeeded, errors.NotRenderable),
    "env_action_space_sample": (errors.EnvFailed,),
    "env_action_space_contains": (errors.BadValue,),
    "env_monitor_start": (
        errors.BadDirectory,
        errors.ForbiddenDirectory,
        errors.RecordingExists,
        errors.RecordingOpen,
        errors.DependencyMissing,
        errors.NotRenderable,
        errors.StorageFailed,
    ),
    "env_monitor_close": (errors.StorageFailed,),
    "upload": (
        errors.BadDirectory,
        errors.ForbiddenDirectory,
        errors.NoRecording,
        errors.RecordingOpen,
        errors.StorageFailed,
    ),
    "scoreboard": (errors.StorageFailed,),
    "registry": (errors.DependencyMissing,),
    "shutdown_server": (errors.NotStoppable,),
}

_EXAMPLES = (
    errors.InvalidJSON("the body is [1], not an object"),
    errors.MissingParameter("action"),
    errors.BadValue("expected an integer from 0 to 1, got 2"),
    errors.UnknownInstance("3c657dbc"),
    errors.TooManyInstances(4096),
)


def errors_of(route: Route) -> set[Kind]:
    found: set[Kind] = {*EVERYWHERE, *FURTHER.get(route.handler.__name__, ())}
    if not route.is_open:
        found.update(GUARDED)
    if route.body is not None:
        found.update(WITH_BODY)
        if needs_body(route.body):
            found.add(errors.InvalidJSON)
        if route.body is not dict and required(route.body):
            found.add(errors.MissingParameter)
        if issubclass(route.body, Numbered):
            found.add(errors.OutOfSequence)
    if route.query is not None:
        found.add(errors.BadValue)
    if "<" in route.path:
        found.update(WITH_PATH)
    if "<instance_id>" in route.path:
        found.update(WITH_INSTANCE)
    return found


def responses(kinds: Iterable[Kind]) -> dict[str, dict[str, Any]]:
    """status -> OpenAPI's response."""
    by_status: dict[int, set[Kind]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, set()).add(kind)
    return {str(status): _response(by_status[status]) for status in sorted(by_status)}


def family(kind: Kind) -> set[Kind]:
    return {kind}.union(*map(family, kind.__subclasses__()))


def _response(kinds: set[Kind]) -> dict[str, Any]:
    codes = sorted(kind.code for kind in kinds)
    reply = {"$ref": "#/components/schemas/ErrorReply"}
    schema = {"allOf": [reply, {"properties": {"code": {"enum": codes}}}]}
    content: dict[str, Any] = {JSON: {"schema": schema}, MSGPACK[0]: {"schema": schema}}
    examples = {error.code: {"value": error.body()} for error in _EXAMPLES if type(error) in kinds}
    if examples:
        content[JSON]["examples"] = examples
    return {"description": ", ".join(f"`{code}`" for code in codes), "content": content}
