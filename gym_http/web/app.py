"""The Flask app: the routes on a router, and every error in the one shape."""

from __future__ import annotations

import io
import threading
from contextlib import nullcontext
from typing import Any, cast

import flask
import werkzeug.exceptions
from werkzeug.serving import make_server

from gym_http import errors, request_ids, tokens
from gym_http.service import Service
from gym_http.settings import Settings
from gym_http.watching import watching
from gym_http.web.access import Access, require_guard
from gym_http.web.compression import with_headers
from gym_http.web.exchange import Call, Reply, Route, refused, unexpected
from gym_http.web.routes import ROUTES
from gym_http.web.work import LARGE_BODY_BYTES, Work

MOST_HEADER_BYTES = 64 * 1024

MOST_READ = 64 * 1024  # bytes, of the body of who is refused: that much is on its way anyway


def create_app(settings: Settings, service: Service | None = None) -> GymHTTPApp:
    """The server as a WSGI app. Opens nothing: environments are made as they are asked for.

    Raises ValueError where `settings` have a token that can't be, say.
    """
    app = GymHTTPApp("gym_http", Service(settings) if service is None else service, settings)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.url_map.merge_slashes = False  # it would redirect, which many clients don't follow
    for number, route in enumerate(ROUTES):
        view, endpoint = _view(app, route), f"{route.handler.__name__}_{number}"
        bare = route.path.rstrip("/")
        # A `<path:…>` takes the slash along; two rules would make the router redirect.
        for path in (bare,) if bare.endswith(">") and "<path:" in bare else (bare, route.path):
            app.add_url_rule(path, endpoint, view, methods=[route.method])
        app.routes[endpoint] = route
    app.before_request(_admit)
    app.before_request(_check_head)
    app.before_request(_read_body)
    app.after_request(_tell_pages)
    app.teardown_request(_forget_body)
    app.register_error_handler(errors.GymHTTPError, _refused)
    app.register_error_handler(werkzeug.exceptions.HTTPException, _http_error)
    app.register_error_handler(Exception, _any_error)
    return app


class GymHTTPApp(flask.Flask):
    """A Flask app that `POST /v1/shutdown/` can end when it runs by its own `run`."""

    def __init__(self, name: str, service: Service, settings: Settings) -> None:
        super().__init__(name, static_folder=None)
        self.service = service
        self.settings = tokens.settled(settings)
        self.access = Access(self.settings, sorted({route.method for route in ROUTES}))
        self.routes: dict[str, Route] = {}  # by endpoint
        self.work = Work(settings, service)

    def wsgi_app(self, environ: Any, start_response: Any) -> list[bytes]:
        """The WSGI callable. Granian writes head and body at once only where it gets a list."""
        request_ids.begin(environ.get("HTTP_X_REQUEST_ID"))
        environ.pop("HTTP_UPGRADE", None)  # or the router knows none of our routes for WebSockets
        parts = super().wsgi_app(environ, start_response)
        try:
            return [b"".join(parts)]
        finally:
            if hasattr(parts, "close"):
                parts.close()

    def run(
        self,
        host: str | None = None,
        port: int | str | None = None,
        debug: bool | None = None,
        load_dotenv: bool = True,
        **options: Any,
    ) -> None:
        """Serve until shut down, in the calling thread: for tests and for embedding.

        It is Werkzeug's server, which closes each connection; `gym_http_server.main` serves on
        Granian. `debug` and `load_dotenv` are Flask's and have no effect here. Raises ValueError
        where `host` can be reached by others, and the settings have no token and aren't insecure.
        """
        require_guard(host or "127.0.0.1", self.settings)
        options.pop("use_reloader", None)
        options.setdefault("threaded", True)
        port = 5000 if port is None else int(port)
        server = make_server(host or "127.0.0.1", port, self, **options)
        # Not in the calling thread: there it would wait for the request that it is part of.
        self.service.on_shutdown = lambda: threading.Thread(target=server.shutdown).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            self.service.on_shutdown = None
            server.server_close()
            self.service.close_all()


def _view(app: GymHTTPApp, route: Route) -> Any:
    make = app.work.made_at_once if route.at_once else app.work.made

    def view(**path: str) -> flask.Response:
        request = flask.request
        call = Call(
            path,
            request.args,
            request.get_data(),
            request.headers.get("Content-Type", ""),
            request.headers.get("Accept", ""),
        )
        with watching() if flask.g.watches else nullcontext():
            status, body, headers = make(
                route, call, request.remote_addr or "", request.headers.get("Accept-Encoding")
            )
        return flask.Response(body, status, headers)

    return view


def _admit() -> flask.Response | None:
    """What is answered instead to who may not speak, or is a browser that asks for a page."""
    app = cast(GymHTTPApp, flask.current_app)
    request = flask.request
    route = app.routes.get(request.endpoint or "") or _open_route(app)
    try:
        flask.g.watches = app.access.check(request.environ, route)
    except errors.InvalidRequest as error:
        response = _refused(error)
        if isinstance(error, errors.Unauthorized):
            response.headers["WWW-Authenticate"] = "Bearer"
        if not _drained():
            response.headers["Connection"] = "close"
        return response
    told = app.access.preflight(request.environ)
    if told is None:
        return None
    response = flask.Response(status=204, headers=told)
    del response.headers["Content-Type"]  # of nothing
    return response


def _open_route(app: GymHTTPApp) -> Route | None:
    """Of a path that is open, where the method isn't one of its own: to be told of those."""
    error = flask.request.routing_exception
    if not isinstance(error, werkzeug.exceptions.MethodNotAllowed):
        return None
    router = app.create_url_adapter(flask.request)
    assert router is not None
    method = min(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"})
    route = app.routes[str(router.match(method=method)[0])]
    return route if route.is_open else None


def _drained() -> bool:
    """Read the body of who is refused, as far as it is short. Whether it was."""
    request, work = flask.request, cast(GymHTTPApp, flask.current_app).work
    size = request.content_length
    if size is not None:
        return size <= MOST_READ and len(work.read(request.environ, size)) == size
    if not request.environ.get("wsgi.input_terminated"):
        return True  # it has none
    return len(work.read(request.environ, MOST_READ + 1)) <= MOST_READ


def _tell_pages(response: flask.Response) -> flask.Response:
    """Let a web page of an allowed origin read it."""
    access = cast(GymHTTPApp, flask.current_app).access
    if access.varies:
        response.vary.add("Origin")
        response.headers.extend(access.headers(flask.request.environ))
    return response


def _check_head() -> None:
    """Raises HeadersTooLarge. What is far longer is refused by Granian, in its way."""
    size = sum(len(name) + len(value) for name, value in flask.request.headers.items())
    if size > MOST_HEADER_BYTES:
        raise errors.HeadersTooLarge(f"the headers are longer than {MOST_HEADER_BYTES} bytes")


def _read_body() -> None:
    """Read the body, also where nobody will look into it: a connection with unread bytes can't
    be kept alive, and who sent them finds it dead at the next call. Raises Overloaded."""
    app, environ = cast(GymHTTPApp, flask.current_app), flask.request.environ
    limit, size = app.config["MAX_CONTENT_LENGTH"], flask.request.content_length
    if size is None and environ.get("wsgi.input_terminated"):  # chunks, or nothing
        body = app.work.read(environ, min(limit + 1, LARGE_BODY_BYTES))
        if len(body) == LARGE_BODY_BYTES:
            _take_room()
            body += app.work.read(environ, limit + 1 - len(body))
        if body:
            _check_in_time()  # nothing tells whether these are all
        size = len(body)
    elif size is not None and size <= limit:
        if size > LARGE_BODY_BYTES:
            _take_room()
        body = app.work.read(environ, size)
    if size is None:
        return
    if size > limit:
        raise werkzeug.exceptions.RequestEntityTooLarge
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(size)
    if len(body) < size:
        _check_in_time()
        raise werkzeug.exceptions.BadRequest("the body ended before its Content-Length")
    coding = flask.request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise werkzeug.exceptions.UnsupportedMediaType


def _check_in_time() -> None:
    """Raises RequestTimeout if the end of the body may be where it was given up."""
    app = cast(GymHTTPApp, flask.current_app)
    if flask.request.remote_addr in app.work.late:
        raise errors.RequestTimeout("the body did not come in time; --body-timeout gives it more")


def _take_room() -> None:
    """For a large body, until the request is answered."""
    app = cast(GymHTTPApp, flask.current_app)
    app.work.take_room(flask.request.remote_addr or "")
    flask.g.has_room = True


def _forget_body(error: BaseException | None) -> None:
    if flask.g.pop("has_room", False):
        cast(GymHTTPApp, flask.current_app).work.give_room_back()


def _response(reply: Reply) -> flask.Response:
    wanted = flask.request.headers.get("Accept-Encoding", "")
    body, headers = with_headers(reply.body, reply.content_type, wanted)
    return flask.Response(body, reply.status, [*headers, *reply.headers])


def _http_error(error: werkzeug.exceptions.HTTPException) -> flask.Response:
    """What the router or the body's reader refuses, in the one shape."""
    path = errors.shown(flask.request.path)
    ours: errors.GymHTTPError
    if isinstance(error, werkzeug.exceptions.NotFound):
        ours = errors.UnknownPath(f"there is nothing at {path}; /v1/docs/ lists what there is")
    elif isinstance(error, werkzeug.exceptions.MethodNotAllowed):
        allowed = ", ".join(sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"}))
        ours = errors.MethodNotAllowed(f"{path} takes {allowed}, not {flask.request.method}")
    elif isinstance(error, werkzeug.exceptions.RequestEntityTooLarge):
        limit = flask.current_app.config["MAX_CONTENT_LENGTH"]
        ours = errors.BodyTooLarge(f"the body is longer than {limit} bytes; see --max-body")
    elif isinstance(error, werkzeug.exceptions.UnsupportedMediaType):
        encoding = errors.shown(flask.request.headers.get("Content-Encoding", ""))
        ours = errors.UnsupportedEncoding(
            f"the body's Content-Encoding is {encoding}; bodies are taken as they are"
        )
    elif error.code is not None and error.code >= 500:
        ours = unexpected(error)
    else:
        ours = errors.InvalidRequest(error.description or error.name)
    response = _refused(ours)
    response.headers.extend(
        [(name, value) for name, value in error.get_headers() if name == "Allow"]
    )
    return response


def _any_error(error: Exception) -> flask.Response:
    return _refused(unexpected(error))


def _refused(error: errors.GymHTTPError) -> flask.Response:
    request = flask.request
    app: Any = flask.current_app
    where = f"{request.method} {request.url_rule or request.path}"
    call = Call({}, accept=request.headers.get("Accept", ""))
    return _response(refused(app.service, error, call, where))
