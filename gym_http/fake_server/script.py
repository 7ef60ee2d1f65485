"""What a script is made of: scenarios of calls, of the requests that each makes, and the replies.

`conformance/README.md` tells their authors more; `conformance/schema/scenarios.json` is made of
these declarations.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, UnsetType

Level = Literal[
    "core",
    "errors",
    "connections",
    "exactly-once",
    "options",
    "spaces",
    "vectors",
    "rollout",
    "recordings",
    "snapshots",
    "access",
    "messagepack",
]
LEVELS: tuple[str, ...] = get_args(Level)
Seconds = Annotated[float, msgspec.Meta(ge=0, le=60)]


class Part(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A misspelt name is an error."""


class Expect(Part, kw_only=True):
    """The request that has to come.

    path: with or without the last slash. value: what stands behind it, percent-encoded JSON.
    body: what a JSON object must have; other parameters of the protocol may be null or have their
    defaults. Without it, the body may be anything. headers: by name, null for one that must not be
    there. seq: the number that the call has to have. again: it is the request before it once more,
    byte for byte. other_client: its client_id is not that of a client before it. exact: numbers
    arrive as the same doubles. optional: it may be left out.
    """

    method: Literal["GET", "POST"]
    path: str
    value: Any = UNSET
    body: dict[str, Any] | UnsetType = UNSET
    headers: dict[str, str | None] = {}
    seq: int | None = None
    again: bool = False
    other_client: bool = False
    exact: bool = False
    optional: bool = False


class Reply(Part):
    """What is answered, and how it arrives.

    body: a JSON value, sent as MessagePack to who asks for it. In its place text, or base64 of
    bytes, whose Content-Type is among the headers; none of them is no body at all.

    wait_s: before it. slow_s: it arrives in small pieces, for so long. interim: statuses of 1xx
    that come before it. chunked: instead of Content-Length; no_length: it ends with the
    connection. gzip: compressed, if that was asked for. twice: it is sent twice over. cut: the
    connection ends before it, in the middle of its head or of its body. closes: the connection
    ends after it, as `Connection: close` says, or silently. reset: where it ends, by a reset.
    """

    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 200
    headers: dict[str, str] = {}
    body: Any = UNSET
    text: str | UnsetType = UNSET
    base64: str | UnsetType = UNSET
    version: Literal["1.0", "1.1"] = "1.1"
    wait_s: Seconds = 0
    slow_s: Seconds = 0
    interim: list[int] = []
    chunked: bool = False
    no_length: bool = False
    gzip: bool = False
    twice: bool = False
    cut: Literal["before", "head", "body"] | None = None
    closes: Literal["announced", "silently"] | None = None
    reset: bool = False


class Exchange(Part, kw_only=True):
    expect: Expect
    reply: Reply


class GivenError(Part):
    """code: one of these; `conformance/README.md` has those of no server. message: what is in it.
    status: of the reply, where the client tells it."""

    code: str | list[str] | None = None
    message: str | None = None
    status: int | None = None


class Gives(Part):
    """What the caller gets: a value, an object that has these keys among others, an error, or
    (done) no error and nothing else that matters."""

    done: bool = False
    value: Any = UNSET
    has: dict[str, Any] | UnsetType = UNSET
    error: GivenError | UnsetType = UNSET


class Step(Part, kw_only=True):
    """A call, what it sends and is answered, and what it gives: one of these."""

    call: str
    arguments: dict[str, Any] = {}
    exchanges: list[Exchange] = []
    gives: list[Gives]


class Scenario(Part, kw_only=True):
    """A client's life. health: what `GET /v1/healthz` is answered with, at any time, in place of
    a server's that knows numbers; null: 404. client: arguments of new_client beside the url."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]+$")]
    about: str
    client: dict[str, Any] = {}
    health: dict[str, Any] | UnsetType | None = UNSET
    steps: list[Step]


class Script(Part, kw_only=True):
    """A file."""

    about: str
    level: Level
    scenarios: list[Scenario]


class BadScript(Exception):
    """A file that isn't a script; the message names it, and the place in it."""


def read(path: Path) -> Script:
    """Raises BadScript."""
    try:
        script = msgspec.json.decode(path.read_bytes(), type=Script)
    except (OSError, msgspec.MsgspecError) as error:
        raise BadScript(f"{path}: {error}") from error
    for scenario in script.scenarios:
        for step in scenario.steps:
            for gives in step.gives:
                given = [x is not UNSET for x in (gives.value, gives.has, gives.error)]
                if sum(given) + gives.done != 1:
                    raise BadScript(
                        f"{path}: {scenario.name}: {step.call} gives one of done, value, has, error"
                    )
            for exchange in step.exchanges:
                reply = exchange.reply
                if sum(x is not UNSET for x in (reply.body, reply.text, reply.base64)) > 1:
                    raise BadScript(f"{path}: {scenario.name}: a reply has one body")
    return script


def find(paths: list[Path]) -> list[Script]:
    """Those in files and in directories, by level. Raises BadScript."""
    scripts = []
    for path in paths:
        if path.is_dir():
            inner = path / "scenarios" if (path / "scenarios").is_dir() else path
            files = sorted(inner.glob("*.json"))
            if not files:
                raise BadScript(f"{path}: there are no scripts, *.json")
        else:
            files = [path]
        scripts += [read(file) for file in files]
    return sorted(scripts, key=lambda script: LEVELS.index(script.level))


def chosen(scripts: list[Script], levels: tuple[str, ...], names: tuple[str, ...]) -> list[Script]:
    """Those of the levels, with the scenarios of the names, "name" or "level/name", alone. An empty
    tuple chooses all. Raises LookupError with the name that there isn't."""
    known = {
        alias for script in scripts for one in script.scenarios for alias in _names(script, one)
    }
    for name in names:
        if name not in known:
            raise LookupError(name)
    left = []
    for script in scripts:
        scenarios = [
            one for one in script.scenarios if not names or _names(script, one) & set(names)
        ]
        if scenarios and (not levels or script.level in levels):
            left.append(Script(about=script.about, level=script.level, scenarios=scenarios))
    return left


def _names(script: Script, scenario: Scenario) -> set[str]:
    return {scenario.name, f"{script.level}/{scenario.name}"}
