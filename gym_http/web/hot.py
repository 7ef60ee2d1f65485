"""The routes that an agent calls all day, answered in front of Flask.

Flask's dispatch takes longer than all else that a step needs, the network included. What happens
here is what Flask would have done: the same declaration, the same `answer`, the same bytes. A
request that is in any way unusual is left to Flask, as if it had not been looked at.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import lru_cache
from threading import get_ident
from typing import Any

from werkzeug.http import HTTP_STATUS_CODES

from gym_http import request_ids
from gym_http.web.app import GymHTTPApp
from gym_http.web.exchange import Call, Route
from gym_http.web.routes import ENV, ROUTES
from gym_http.web.work import LARGE_BODY_BYTES

# By what stands behind the id, with and without the last slash.
HOT = {
    verb: route
    for route in ROUTES
    if route.hot
    for verb in (route.path.removeprefix(ENV), route.path.removeprefix(ENV).rstrip("/"))
}

LONGEST = len("/v1/envs/12345678/") + max(map(len, HOT))

_STATUS = {code: f"{code} {name.upper()}" for code, name in HTTP_STATUS_CODES.items()}


class Front:
    """The WSGI app for a server that makes haste, with Flask's behind it. Source: PEP 3333."""

    def __init__(self, app: GymHTTPApp) -> None:
        self._app = app
        self._access = app.access
        self._made, self._reading = app.work.made, app.work.reading
        self._most_bytes = min(app.config["MAX_CONTENT_LENGTH"], LARGE_BODY_BYTES)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        get = environ.get
        path, length = environ["PATH_INFO"], get("CONTENT_LENGTH", "")
        known = _known(path) if len(path) <= LONGEST else None
        if (
            known is None
            or not length.isdecimal()  # in chunks, say
            or len(length) > 18
            or "HTTP_CONTENT_ENCODING" in environ
        ):
            return self._app(environ, start_response)
        route, instance_id = known
        size = int(length)
        if environ["REQUEST_METHOD"] != route.method or size > self._most_bytes:
            return self._app(environ, start_response)
        if not self._access.is_plain(environ):
            return self._app(environ, start_response)
        thread = get_ident()
        self._reading[thread] = environ  # as in Work.read, whose call would take as long again
        try:
            body = environ["wsgi.input"].read(size)
        finally:
            del self._reading[thread]
        if len(body) != size:
            environ["wsgi.input"] = io.BytesIO(body)
            return self._app(environ, start_response)
        call = Call(
            {"instance_id": instance_id}, {}, body, get("CONTENT_TYPE", ""), get("HTTP_ACCEPT", "")
        )
        request_ids.begin(get("HTTP_X_REQUEST_ID"))
        status, sent, headers = self._made(
            route, call, get("REMOTE_ADDR", ""), get("HTTP_ACCEPT_ENCODING")
        )
        start_response(_STATUS[status], headers)
        return [sent]


@lru_cache(maxsize=8192)  # of short ones; it takes a tenth of the time
def _known(path: str) -> tuple[Route, str] | None:
    """(the route, the instance_id), if it is one of these, and the id one that we give."""
    route = HOT.get(path[18:])
    instance_id = path[9:17]
    if route is None or path[:9] != "/v1/envs/" or path[17] != "/" or not instance_id.isalnum():
        return None
    return (route, instance_id) if instance_id.isascii() else None
