"""The one list of knobs. Flags, GYM_HTTP_* variables and README's table derive from it."""

from __future__ import annotations

import threading
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

import platformdirs

DATA_DIR = Path(platformdirs.user_data_dir("gym-http", appauthor=False))
LOG_LEVELS = ("debug", "info", "warning", "error")


def knob(default: Any, help: str, *flags: str) -> Any:
    """A field of Settings; `flags` where they aren't just the field's name with dashes."""
    return field(default=default, metadata={"help": help, "flags": flags})


@dataclass(frozen=True)
class Settings:
    """What a server can be told. Durations are seconds (`_s`), sizes are bytes (`_bytes`)."""

    listen: str = knob("127.0.0.1", "Address to listen on.", "-l", "--listen")
    port: int = knob(5000, "Port to listen on; 0 takes a free one.", "-p", "--port")
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
    data_dir: Path = knob(
        DATA_DIR,
        "Where the scoreboard is kept.",
    )
    threads: int = knob(
        64, "Requests worked on at once; a slow environment occupies one for each of its steps."
    )
    busy_timeout_s: float = knob(
        30.0, "How long a call waits for another call on the same instance, before it gets 409."
    )
    max_body_bytes: int = knob(
        64 * 1024 * 1024, "Longest request body; a longer one is refused with 413."
    )
    shutdown_timeout_s: int = knob(
        10, "How long a stopping server waits for calls under way, before it ends them."
    )
    log_level: str = knob("info", "debug, info, warning or error.")

    def __post_init__(self) -> None:
        for name, least in (
            ("port", 0),
            ("max_num_envs", 1),
            ("max_rollout_steps", 1),
            ("threads", 1),
            ("busy_timeout_s", 0),
            ("max_body_bytes", 1),
            ("shutdown_timeout_s", 1),
        ):
            if not getattr(self, name) >= least:  # NaN isn't, either
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.busy_timeout_s > threading.TIMEOUT_MAX:
            raise ValueError(f"busy_timeout_s must be at most {threading.TIMEOUT_MAX:g}")
        if self.port > 65535:
            raise ValueError(f"port must be at most 65535, got {self.port}")
        if self.log_level not in LOG_LEVELS:
            raise ValueError(f"log_level must be one of {', '.join(LOG_LEVELS)}")


def flags_of(knob: Field[Any]) -> tuple[str, ...]:
    """The command line's spelling of a knob: `busy_timeout_s` is `--busy-timeout`."""
    if knob.metadata["flags"]:
        return tuple(knob.metadata["flags"])
    name = knob.name.removesuffix("_s").removesuffix("_bytes").replace("_", "-")
    return (f"--{name}",)


def variable_of(knob: Field[Any]) -> str:
    """The environment variable of a knob: that of its longest flag."""
    return "GYM_HTTP_" + max(flags_of(knob), key=len).lstrip("-").replace("-", "_").upper()


def knobs() -> tuple[Field[Any], ...]:
    return fields(Settings)
