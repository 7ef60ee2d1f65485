"""The routes that an agent calls all day, answered in front of Flask.

Flask's dispatch takes longer than all else that a step needs, the network included. What happens
here is what Flask would have done: the same declaration, the same `answer`, the same bytes. A
request that is in any way unusual is left to Flask, as if it had not been looked at.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from werkzeug.http import HTTP_STATUS_CODES

from gym_http.web.app import GymHTTPApp
from gym_http.web.compression import dressed
from gym_http.web.exchange import Call, Route, answer
from gym_http.web.routes import ROUTES

HOT = {route.path.split("/")[4]: route for route in ROUTES if route.hot}  # by their verb

_PATH = re.compile(rf"/v1/envs/([!-.0-~]+)/({'|'.join(HOT)})/?")
_LONGEST = 100
_STATUS = {code: f"{code} {name.upper()}" for code, name in HTTP_STATUS_CODES.items()}


class Front:
    """The WSGI app for a server that makes haste, with Flask's behind it. Source: PEP 3333."""

    def __init__(self, app: GymHTTPApp) -> None:
        self._app = app
        self._service = app.service
        self._most_bytes = app.config["MAX_CONTENT_LENGTH"]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        get = environ.get
        known, length = _known(environ["PATH_INFO"]), get("CONTENT_LENGTH", "")
        if known is None or not length.isdecimal() or len(length) > 18:  # in chunks, say
            return self._app(environ, start_response)
        route, path = known
        size = int(length)
        if environ["REQUEST_METHOD"] != route.method or size > self._most_bytes:
            return self._app(environ, start_response)
        body = environ["wsgi.input"].read(size)
        if len(body) != size:
            environ["wsgi.input"] = io.BytesIO(body)
            return self._app(environ, start_response)
        call = Call(path, {}, body, get("CONTENT_TYPE", ""), get("HTTP_ACCEPT", ""))
        reply = answer(route, self._service, call)
        sent, headers = dressed(reply.body, reply.content_type, get("HTTP_ACCEPT_ENCODING"))
        start_response(_STATUS[reply.status], headers)
        return [sent]


def _known(path: str) -> tuple[Route, dict[str, str]] | None:
    """(the route, what it says), if it is one of these."""
    return _parsed(path) if len(path) < _LONGEST else None  # hostile ones aren't kept


@lru_cache(maxsize=512)
def _parsed(path: str) -> tuple[Route, dict[str, str]] | None:
    found = _PATH.fullmatch(path)
    return (HOT[found[2]], {"instance_id": found[1]}) if found else None
