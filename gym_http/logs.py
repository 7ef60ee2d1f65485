"""The log: a line an event, for people or as JSON, and nothing that a caller sends breaks one.

Everybody else writes with `logging` and passes the fields of an event as `extra`.
"""

from __future__ import annotations

import logging
import sys
import threading
from datetime import datetime, timezone
from typing import Any

from structlog.processors import JSONRenderer, LogfmtRenderer, format_exc_info
from structlog.stdlib import ExtraAdder, ProcessorFormatter

from gym_http import request_ids

LONGEST = 2000  # characters of a field
MOST_REFUSALS = 500  # lines at once, and then so many a second: callers shouldn't fill a disk
REFUSALS_A_SECOND = 10
REFUSALS = ("refused", "failed")

_logfmt = LogfmtRenderer(bool_as_flag=False)


def start(level: str, form: str) -> None:
    """Write what is logged from now on to standard error. form: "text" or "json"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(form))
    handler.addFilter(Spate())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(form == "json")


class Spate(logging.Filter):
    """Of errors that were answered, lets so many by. How many `more` there were stands in the
    line of the next that gets one."""

    def __init__(self) -> None:
        super().__init__()
        self._room: dict[str, tuple[float, float]] = {}  # event -> (when, for how many lines)
        self._more = dict.fromkeys(REFUSALS, 0)
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        event = record.msg
        if event not in REFUSALS:
            return True
        with self._lock:
            when, room = self._room.get(event, (record.created, float(MOST_REFUSALS)))
            passed_s = max(record.created - when, 0.0)  # the clock may be set
            room = min(room + passed_s * REFUSALS_A_SECOND, MOST_REFUSALS)
            fits = room >= 1
            self._room[event] = record.created, room - fits
            if not fits:
                self._more[event] += 1
            elif self._more[event]:
                record.more, self._more[event] = self._more[event], 0
        return fits


def formatter(form: str) -> logging.Formatter:
    return ProcessorFormatter(
        foreign_pre_chain=[ExtraAdder(), _with_head],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            format_exc_info,
            _shortened,
            JSONRenderer(default=str) if form == "json" else _text,
        ],
    )


def _with_head(logger: Any, method: str, said: Any) -> dict[str, Any]:
    """What every line begins with, then the event's own fields."""
    record = said["_record"]
    time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
    head = {
        "time": time.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": said["event"],
    }
    fields = {**said, **head}
    request_id = request_ids.current()
    if request_id is not None:
        fields["request_id"] = request_id
    return {**head, **fields}


def _shortened(logger: Any, method: str, said: Any) -> dict[str, Any]:
    return {
        key: f"{value[:LONGEST]}…"
        if isinstance(value, str) and len(value) > LONGEST and key != "exception"
        else value
        for key, value in said.items()
        if value is not None
    }


def _text(logger: Any, method: str, said: Any) -> str:
    """2026-11-23T05:51:41.123Z INFO gym_http.registry created env_id=CartPole-v1 …

    A traceback follows, each of its lines indented: no other line begins with a space.
    """
    trace = said.pop("exception", "").splitlines()
    fields = {key: _printable(value) for key, value in said.items()}
    time, level, logger, event = (fields.pop(key) for key in ("time", "level", "logger", "event"))
    line = f"{time} {level.upper()} {logger} {event} {_logfmt(None, '', fields)}"
    return "\n    ".join([line.rstrip(), *map(_printable, trace)])


def _printable(value: Any) -> str:
    """In one line, and without what a terminal would obey."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
