"""The error family: the class is the cause, `code` the contract, `status` the HTTP side.

    GymHTTPError
    ├── InvalidRequest        the caller can mend it: 4xx
    │   ├── InvalidJSON · InvalidMessagePack · MissingParameter · BadValue · BodyTooLarge
    │   ├── UnsupportedEncoding
    │   ├── UnknownPath · MethodNotAllowed · RequestTimeout · HeadersTooLarge
    │   ├── Unauthorized
    │   ├── Forbidden ── ReadOnly · UnknownHost · ForeignOrigin · ForbiddenDirectory
    │   ├── UnknownInstance ── InstanceLost · Evicted
    │   ├── TooManyInstances · OutOfSequence · UnknownSnapshot · Unsupported
    │   ├── MalformedEnvId · MakeFailed · DependencyMissing · UnsupportedSpace
    │   ├── ResetNeeded · NotRenderable · Busy
    │   └── BadDirectory · RecordingExists · RecordingOpen · NoRecording
    └── ServerSide            the caller can't: 5xx
        ├── EnvFailed · BackendLost · TimedOut · StorageFailed · NotStoppable
        ├── ServerStopping · Overloaded
        └── Internal

`message` is for people and for old clients, which show nothing else. The texts of v1 are pinned
by `docs/protocol.md`; what more there is to say goes into `detail`, which travels beside them.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np

LONGEST = 4000  # characters of a message, and of a detail


def shown(value: object, limit: int = 80) -> str:
    """`repr(value)`, cut: what a caller sent may be of any size."""
    text = repr(_first_of(value, [limit]))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _first_of(value: Any, left: list[int]) -> Any:
    """So much of a plain value that its repr is as long as [characters left], or a bit longer;
    the repr of all of it may take seconds."""
    left[0] -= 1
    if isinstance(value, (str, bytes)):
        value = value[: max(left[0], 0) + 2]
        left[0] -= len(value)
    elif type(value) is list:
        return [_first_of(one, left) for one in _while_any(value, left)]
    elif type(value) is dict:
        return {
            _first_of(key, left): _first_of(value[key], left) for key in _while_any(value, left)
        }
    elif isinstance(value, np.ndarray):
        left[0] -= value.size
        if left[0] < 0:  # NumPy cuts long axes, and no short ones, of which there may be many
            return _Named(f"an array of {value.dtype} {value.shape}")
    elif type(value) is int and value.bit_length() > 10_000:  # Python writes no longer ones
        return _Named("an integer of thousands of digits")
    return value


class _Named(str):
    """What stands as it is where a repr is made of it."""

    def __repr__(self) -> str:
        return str(self)


def _while_any(many: Any, left: list[int]) -> Any:
    """The first few, one more than there is room for."""
    for one in islice(many, max(left[0], 0) + 1):
        yield one
        if left[0] < 0:
            return


class GymHTTPError(Exception):
    """Base of everything that is answered with the one JSON error shape."""

    status = 500
    code = "internal"
    retryable = False
    fatal = False  # whether the instance has ended by it

    def __init__(self, message: str, *, detail: str | None = None, **facts: Any) -> None:
        if len(message) > LONGEST:  # an environment's words, perhaps
            message = message[: LONGEST - 1] + "…"
        if detail is not None and len(detail) > LONGEST:
            detail = detail[: LONGEST - 1] + "…"
        message = message.encode("utf-8", "replace").decode()
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.facts = facts  # further keys of the reply, such as request_id

    def body(self) -> dict[str, Any]:
        """The reply's body: message, code, retryable, and detail where there is one."""
        reply: dict[str, Any] = {
            "message": self.message,
            "code": self.code,
            "retryable": self.retryable,
        }
        if self.detail:
            reply["detail"] = self.detail
        return {**reply, **self.facts}

    def __str__(self) -> str:
        return f"{self.message} ({self.detail})" if self.detail else self.message

    def __reduce__(self) -> Any:  # to come from a worker, and to be raised again as another
        return _again, (type(self), self.message, self.detail, self.facts)


def _again(
    kind: type[GymHTTPError], message: str, detail: str | None, facts: dict[str, Any]
) -> GymHTTPError:
    error = kind.__new__(kind)
    GymHTTPError.__init__(error, message, detail=detail, **facts)
    return error


class InvalidRequest(GymHTTPError):
    status = 400
    code = "invalid_request"


class ServerSide(GymHTTPError):
    status = 500
    code = "internal"


# ---- the request itself


class InvalidJSON(InvalidRequest):
    """The body of a route with required parameters is not a JSON object sent as JSON."""

    code = "invalid_json"

    def __init__(self, detail: str) -> None:
        super().__init__("Request is not a valid json", detail=detail)


class InvalidMessagePack(InvalidRequest):
    """A body sent as MessagePack is not a map, or holds what has no place in one."""

    code = "invalid_msgpack"

    def __init__(self, detail: str) -> None:
        super().__init__("Request is not valid MessagePack", detail=detail)


class MissingParameter(InvalidRequest):
    code = "missing_parameter"

    def __init__(self, name: str) -> None:
        super().__init__(f"A required request parameter '{name}' was not provided")


class BadValue(InvalidRequest):
    """A parameter is there but can't be what it stands for."""

    code = "bad_value"


class BodyTooLarge(InvalidRequest):
    status = 413
    code = "body_too_large"


class UnsupportedEncoding(InvalidRequest):
    """The body is compressed."""

    status = 415
    code = "unsupported_encoding"


class UnknownPath(InvalidRequest):
    status = 404
    code = "unknown_path"


class MethodNotAllowed(InvalidRequest):
    status = 405
    code = "method_not_allowed"


class RequestTimeout(InvalidRequest):
    """The body did not come within its time."""

    status = 408
    code = "request_timeout"


class HeadersTooLarge(InvalidRequest):
    status = 431
    code = "headers_too_large"


# ---- access


class Unauthorized(InvalidRequest):
    """The server has a token, and the caller sent none, or another."""

    status = 401
    code = "unauthorized"


class Forbidden(InvalidRequest):
    """Nobody may do that here who comes this way. The message names the option that lifts it."""

    status = 403
    code = "forbidden"


class ReadOnly(Forbidden):
    """The caller's token is for watching."""

    code = "read_only"


class UnknownHost(Forbidden):
    """The URL has another name for this server than its own: a web page's, perhaps."""

    code = "unknown_host"


class ForeignOrigin(Forbidden):
    """A web page of another origin sent it."""

    code = "foreign_origin"


class ForbiddenDirectory(Forbidden):
    """It is outside of where clients may record."""

    code = "forbidden_directory"


# ---- instances


class UnknownInstance(InvalidRequest):
    code = "unknown_instance"  # 400, not 404: v1 clients pin it

    def __init__(self, instance_id: str, *, detail: str | None = None) -> None:
        id_shown = instance_id if len(instance_id) <= 80 else instance_id[:79] + "…"
        super().__init__(f"Instance_id {id_shown} unknown", detail=detail)


class InstanceLost(UnknownInstance):
    """The id was valid until the process that held the environment died."""

    code = "instance_lost"

    def __init__(self, instance_id: str) -> None:
        super().__init__(
            instance_id,
            detail="it was lost when the server's worker process crashed; create a new one",
        )


class Evicted(UnknownInstance):
    """Nobody called the instance for too long."""

    code = "evicted"

    def __init__(self, instance_id: str, reason: str) -> None:
        super().__init__(instance_id, detail=f"it was evicted: {reason}; create a new one")


class TooManyInstances(InvalidRequest):
    status = 429
    code = "too_many_instances"
    retryable = True

    def __init__(self, count: int) -> None:
        super().__init__(
            f"this server has {count} instances, as many as it may: close one that isn't needed, "
            "GET /v1/envs/ lists them",
            detail="those whose clients are gone end by themselves with lease_s at create, or "
            "where the server runs with --idle-timeout; --max-instances lets it have more",
        )


class OutOfSequence(InvalidRequest):
    """A numbered call that is neither the next one nor the last one again."""

    status = 409
    code = "out_of_sequence"


class Busy(InvalidRequest):
    status = 409
    code = "busy"
    retryable = True


# ---- environments


class MalformedEnvId(InvalidRequest):
    """No engine knows the id, or it isn't one."""

    code = "malformed_env_id"

    def __init__(self, env_id: str, reason: str = "") -> None:
        text = f"Attempted to look up malformed environment ID {shown(env_id, 120)}"
        super().__init__(f"{text}: {reason}" if reason else text)


class MakeFailed(InvalidRequest):
    """The environment exists, but its constructor refused these arguments."""

    code = "make_failed"


class DependencyMissing(InvalidRequest):
    """The environment exists, but needs a package that the server doesn't have."""

    code = "dependency_missing"


class UnsupportedSpace(InvalidRequest):
    code = "unsupported_space"


class ResetNeeded(InvalidRequest):
    code = "reset_needed"


class NotRenderable(InvalidRequest):
    code = "not_renderable"


class EnvFailed(ServerSide):
    """The environment's own code raised, or returned what its spaces exclude."""

    code = "env_failed"


class BackendLost(ServerSide):
    """The process or the node that the environment lived in is gone, and it with them."""

    code = "backend_lost"
    fatal = True


class TimedOut(ServerSide):
    """The environment took longer than it may. It is given up."""

    status = 504
    code = "timeout"
    fatal = True


# ---- snapshots


class UnknownSnapshot(InvalidRequest):
    status = 404
    code = "unknown_snapshot"


class Unsupported(InvalidRequest):
    """This environment can't do that. The message says why."""

    code = "unsupported"


# ---- recordings and scores


class BadDirectory(InvalidRequest):
    code = "bad_directory"


class RecordingExists(InvalidRequest):
    code = "recording_exists"


class RecordingOpen(InvalidRequest):
    """A monitor is still writing there."""

    code = "recording_open"
    retryable = True


class NoRecording(InvalidRequest):
    code = "no_recording"


class StorageFailed(ServerSide):
    code = "storage_failed"


# ---- the server


class NotStoppable(ServerSide):
    """`shutdown/` on a server that something else started, which alone can stop it."""

    status = 501
    code = "not_stoppable"


class ServerStopping(ServerSide):
    """Every environment is being closed. What was still being made is closed as well."""

    status = 503
    code = "server_stopping"
    retryable = True

    def __init__(self) -> None:
        super().__init__("the server is being ended; it makes no more environments")


class Overloaded(ServerSide):
    """More is asked for at once than the server works on."""

    status = 503
    code = "overloaded"
    retryable = True


class Internal(ServerSide):
    """An unexpected exception. Its traceback is in the log, under the same request_id."""

    code = "internal"
