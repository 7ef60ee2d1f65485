"""The one list of knobs. Flags, GYM_HTTP_* variables and README's table derive from it."""

from __future__ import annotations

import threading
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs

DATA_DIR = Path(platformdirs.user_data_dir("gym-http", appauthor=False))
BACKEND_NAMES = ("local", "process", "ray")
LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")
CHOICES = {"backend": BACKEND_NAMES, "log_level": LOG_LEVELS, "log_format": LOG_FORMATS}


def knob(default: Any, help: str, *flags: str, secret: bool = False) -> Any:
    """A field of Settings; `flags` where they aren't just the field's name with dashes."""
    return field(default=default, metadata={"help": help, "flags": flags}, repr=not secret)


@dataclass(frozen=True)
class Settings:
    """What a server can be told. Durations are seconds (`_s`), sizes are bytes (`_bytes`)."""

    listen: str = knob("127.0.0.1", "Address to listen on.", "-l", "--listen")
    port: int = knob(5000, "Port to listen on; 0 takes a free one.", "-p", "--port")
    token: str = knob(
        "",
        "Token that callers have to send, as Authorization: Bearer. The variable or --token-file "
        "keep it out of the list of processes.",
        secret=True,
    )
    token_file: Path | None = knob(None, "File that has it.")
    read_token: str = knob(
        "",
        "Second token, with which one may watch and read the scoreboard, and nothing else.",
        secret=True,
    )
    read_token_file: Path | None = knob(None, "File that has it.")
    insecure: bool = knob(
        False, "Listen on other addresses than this machine's own without asking for a token."
    )
    allowed_hosts: tuple[str, ...] = knob(
        (),
        "Name that callers may have for this server in their URLs, beside localhost, IP addresses "
        "and, off loopback, this machine's name; .example.org for all under it, * for any. "
        "Repeatable.",
        "--allow-host",
    )
    cors_origins: tuple[str, ...] = knob(
        (),
        "Origin of web pages that may call this server, such as https://example.org; * for any, "
        "where there is a token. Repeatable.",
        "--cors-origin",
    )
    tls_cert: Path | None = knob(
        None, "Certificate to serve https with, and those that lead to its issuer; PEM."
    )
    tls_key: Path | None = knob(None, "The key of --tls-cert; PEM.")
    tls_client_ca: Path | None = knob(
        None, "Serve only who has a certificate of one of these issuers; PEM."
    )
    imports: tuple[str, ...] = knob(
        (),
        "Module to import at start, so that its environments get registered; it may then "
        "also be named in MODULE:ENV_ID. Repeatable.",
        "--import",
    )
    strict_ids: bool = knob(
        False, "Refuse a retired environment id instead of serving its successor."
    )
    max_num_envs: int = knob(
        4096, "Most environments that one instance may hold (num_envs of a vector environment)."
    )
    max_rollout_steps: int = knob(
        10_000, "Most steps that one rollout request may make.", "--max-rollout"
    )
    backend: str = knob(
        "local",
        "Where instances live that don't ask for another place: local (this process), process "
        "(one each) or ray.",
    )
    worker_memory_bytes: int = knob(
        0,
        "Most memory of an instance on process, in bytes; what needs more ends. 0 is no limit. "
        "Linux only.",
    )
    ray_address: str = knob(
        "", "The Ray cluster for instances on ray; without one, Ray is started here when needed."
    )
    step_timeout_s: float | None = knob(
        None,
        "Longest that a reset, step or frame may take, in seconds; 0 is no limit. By default "
        "300 on process and ray, none on local.",
    )
    make_timeout_s: float | None = knob(
        None,
        "Longest that making an environment may take, in seconds; 0 and the default as above.",
    )
    auto_restore: int = knob(
        0,
        "How many times an instance on process or ray is brought back after a crash, by making its "
        "episode's steps again.",
    )
    max_instances: int = knob(4096, "Most instances at once; a further one gets 429.")
    idle_timeout_s: float = knob(
        0.0,
        "How many seconds an instance without a lease_s of its own may be without a call before it "
        "is ended; 0 is for ever.",
    )
    max_snapshots: int = knob(256, "Most snapshots kept; a further one takes the oldest's place.")
    max_snapshot_bytes: int = knob(
        1024 * 1024 * 1024,
        "Most memory that kept snapshots may take, in bytes; the oldest make place.",
        "--max-snapshot-memory",
    )
    data_dir: Path = knob(
        DATA_DIR,
        "Where the scoreboard is kept.",
    )
    data_roots: tuple[str, ...] = knob(
        (),
        "Directory under which clients may record and upload, beside the working directory and the "
        "system's temporary one. Repeatable.",
        "--data-root",
    )
    scoreboard_url: str = knob(
        "",
        "Database of the scoreboard in place of a file in --data-dir, such as "
        "postgresql+psycopg://user@host/name.",
        secret=True,  # it may hold a password
    )
    scoreboard_password_file: Path | None = knob(
        None, "File that has the password for --scoreboard-url."
    )
    threads: int = knob(
        64, "Requests worked on at once; a slow environment occupies one for each of its steps."
    )
    max_connections: int = knob(
        1024, "Most connections at once; for a further one, one that is idle is closed."
    )
    keep_alive_s: float = knob(
        3600.0, "How many seconds a connection may be idle before it is closed."
    )
    body_timeout_s: float = knob(
        30.0,
        "How many seconds a request may take to arrive, and a reply to be taken, beside one for "
        "each 16 KiB.",
    )
    busy_timeout_s: float = knob(
        30.0,
        "How many seconds a call waits for another call on the same instance, before it gets 409.",
    )
    max_body_bytes: int = knob(
        64 * 1024 * 1024, "Longest request body, in bytes; a longer one is refused with 413."
    )
    shutdown_timeout_s: int = knob(
        10, "How many seconds a stopping server waits for calls under way, before it ends them."
    )
    log_level: str = knob("info", "debug, info, warning or error.")
    log_format: str = knob("text", "text, or json: an object a line.")

    def __post_init__(self) -> None:
        for name, least in (
            ("port", 0),
            ("max_num_envs", 1),
            ("max_rollout_steps", 1),
            ("worker_memory_bytes", 0),
            ("step_timeout_s", 0),
            ("make_timeout_s", 0),
            ("auto_restore", 0),
            ("max_instances", 1),
            ("idle_timeout_s", 0),
            ("max_snapshots", 1),
            ("max_snapshot_bytes", 1),
            ("threads", 1),
            ("max_connections", 1),
            ("keep_alive_s", 1),
            ("body_timeout_s", 1),
            ("busy_timeout_s", 0),
            ("max_body_bytes", 1),
            ("shutdown_timeout_s", 1),
        ):
            value = getattr(self, name)
            if value is not None and not value >= least:  # NaN isn't, either
                raise ValueError(f"{_flag(name)} must be at least {least}, got {value}")
        for name in ("busy_timeout_s", "step_timeout_s", "make_timeout_s", "idle_timeout_s"):
            if (getattr(self, name) or 0) > threading.TIMEOUT_MAX:
                raise ValueError(f"{_flag(name)} must be at most {threading.TIMEOUT_MAX:g}")
        if self.port > 65535:
            raise ValueError(f"--port must be at most 65535, got {self.port}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("--tls-cert and --tls-key belong together: give both, or none")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("--tls-client-ca needs --tls-cert and --tls-key")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{_flag(name)} must be one of {', '.join(choices)}")


def flags_of(knob: Field[Any]) -> tuple[str, ...]:
    """The command line's spelling of a knob: `busy_timeout_s` is `--busy-timeout`."""
    if knob.metadata["flags"]:
        return tuple(knob.metadata["flags"])
    name = knob.name.removesuffix("_s").removesuffix("_bytes").replace("_", "-")
    return (f"--{name}",)


def _flag(name: str) -> str:
    return next(flags_of(knob)[-1] for knob in knobs() if knob.name == name)


def variable_of(knob: Field[Any]) -> str:
    """The environment variable of a knob: that of its longest flag."""
    return "GYM_HTTP_" + max(flags_of(knob), key=len).lstrip("-").replace("-", "_").upper()


def knobs() -> tuple[Field[Any], ...]:
    return fields(Settings)
