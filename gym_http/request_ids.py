"""By which id a request is known: in the log, to its caller, and to whoever has both at hand.

A caller may send one; else it is made when somebody first asks for it, so that the steps that
nobody speaks of pay nothing.
"""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar

HEADER = "X-Request-Id"

_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")

# "" in a request that has no id yet, None outside of requests.
_current: ContextVar[str | None] = ContextVar("request_id", default=None)

known = _current.get  # the id, if there is one by now


def begin(sent: str | None) -> None:
    """A request is about to be answered in this thread. What was sent as its id is one if it is
    sane, for it goes into the log and back into a header."""
    _current.set(sent if sent and _SANE.fullmatch(sent) else "")


def current() -> str | None:
    """The id of the request that this thread is answering; None where it answers none."""
    request_id = _current.get()
    if request_id == "":
        request_id = uuid.uuid4().hex[:12]
        _current.set(request_id)
    return request_id
