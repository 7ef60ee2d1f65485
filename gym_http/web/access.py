"""Whether a request may speak: its Host, its Origin, its token, in this order.

The first two keep web pages out, whose readers' browsers can reach what the pages' makers can't;
the third one everybody else.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gym_http import request_ids, tokens
from gym_http.errors import ForeignOrigin, ReadOnly, Unauthorized, UnknownHost, shown
from gym_http.settings import Settings
from gym_http.web.hosts import Hosts, is_loopback

if TYPE_CHECKING:  # a server that may not start says so at once
    from gym_http.web.exchange import Route

MOST_REMEMBERED = 1000  # Host headers
PREFLIGHT_S = 600  # that a browser may remember the answer to a preflight
_ORIGIN = re.compile(
    r"([a-z][a-z\d+.-]*)://(\[[\da-f:.]+\]|[a-z\d_-]+(?:\.[a-z\d_-]+)*)(?::(\d{1,5}))?", re.ASCII
)
_DEFAULT_PORTS = {("http", "80"), ("https", "443")}
_ALLOWED_HEADERS = f"Authorization, Content-Type, Accept, {request_ids.HEADER}"


class Access:
    """Of one server. Raises ValueError for settings that can't be."""

    def __init__(self, settings: Settings, methods: Sequence[str] = ("GET", "POST")) -> None:
        """methods: that there are, for web pages that ask."""
        settings = tokens.settled(settings)
        self._token = settings.token.encode()
        self._read_token = settings.read_token.encode()
        self._hosts = Hosts(settings.allowed_hosts, settings.listen)
        self._good_hosts = {""}  # none: HTTP/1.0, and no browser
        self._origins = {_origin(given) for given in settings.cors_origins}
        self._methods = ", ".join(methods)
        if "*" in self._origins and not self._token:
            raise ValueError("--cors-origin '*' lets every web page in: it needs --token")

    def is_plain(self, environ: Mapping[str, Any]) -> bool:
        """Whether the request may do anything, and nothing has to be told to a browser. For who
        makes haste; where it isn't, `check` says what it is. environ: as in WSGI."""
        if (
            environ.get("HTTP_HOST", "") not in self._good_hosts
            or "HTTP_ORIGIN" in environ
            or "HTTP_SEC_FETCH_SITE" in environ
        ):
            return False
        if not self._token:
            return True
        return _is_same(_bearer(environ.get("HTTP_AUTHORIZATION", "")), self._token)

    def check(self, environ: Mapping[str, Any], route: Route | None) -> bool:
        """Whether the caller may only watch. Raises UnknownHost, ForeignOrigin, Unauthorized,
        ReadOnly.

        route: None where there is none for this path and method.
        """
        self._check_host(environ.get("HTTP_HOST", ""))
        self._check_origin(environ, route)
        if self._is_preflight(environ) or not self._token or (route and route.is_open):
            return False
        sent = _bearer(environ.get("HTTP_AUTHORIZATION", ""))
        if _is_same(sent, self._token):
            return False
        if not self._read_token or not _is_same(sent, self._read_token):
            raise _unauthorized(environ.get("HTTP_AUTHORIZATION", ""))
        if route and not route.watches and environ["REQUEST_METHOD"] != "OPTIONS":
            raise ReadOnly("this token is for watching (--read-token); that takes the other one")
        return True

    def preflight(self, environ: Mapping[str, Any]) -> list[tuple[str, str]] | None:
        """What a browser is told that asks whether a page may call, beside what is in `headers`.
        None where it doesn't ask. The request has passed `check`."""
        if not self._is_preflight(environ):
            return None
        told = [
            ("Access-Control-Allow-Methods", self._methods),
            ("Access-Control-Allow-Headers", _ALLOWED_HEADERS),
            ("Access-Control-Max-Age", str(PREFLIGHT_S)),
        ]
        if environ.get("HTTP_ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK") == "true":
            told.append(("Access-Control-Allow-Private-Network", "true"))
        return told

    def headers(self, environ: Mapping[str, Any]) -> list[tuple[str, str]]:
        """What a page of an allowed origin needs to read any reply, an error's as well."""
        origin = environ.get("HTTP_ORIGIN", "")
        if not self._allows(origin):
            return []
        return [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", request_ids.HEADER),
        ]

    @property
    def varies(self) -> bool:
        """Whether not every origin gets the same headers."""
        return bool(self._origins)

    def _check_host(self, host: str) -> None:
        if host in self._good_hosts:
            return
        if not self._hosts.knows(host):
            raise UnknownHost(
                f"this server isn't known as {shown(host)}; where it is, --allow-host NAME says so"
            )
        if len(self._good_hosts) < MOST_REMEMBERED:
            self._good_hosts.add(host)

    def _check_origin(self, environ: Mapping[str, Any], route: Route | None) -> None:
        origin = environ.get("HTTP_ORIGIN")
        if origin:
            if not self._allows(origin) and not _is_own(origin, environ):
                raise ForeignOrigin(
                    f"a web page of {shown(origin)} may not call this server; "
                    "--cors-origin ORIGIN allows it"
                )
            return
        is_own = environ.get("HTTP_SEC_FETCH_SITE", "") in ("", "none", "same-origin")
        if not is_own and not (route and route.is_page and _is_visit(environ)):
            raise ForeignOrigin(
                "a web page of another origin may not call this server; one that --cors-origin "
                "allows has to say who it is: fetch() does, and crossorigin"
            )

    def _is_preflight(self, environ: Mapping[str, Any]) -> bool:
        asks = "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        is_one = asks and environ["REQUEST_METHOD"] == "OPTIONS"
        return is_one and self._allows(environ.get("HTTP_ORIGIN", ""))

    def _allows(self, origin: str) -> bool:
        if not origin or not self._origins:
            return False
        if origin in self._origins:
            return True
        return "*" in self._origins and _ORIGIN.fullmatch(origin) is not None


def require_guard(listen: str, settings: Settings) -> None:
    """Raises ValueError where others could come in, and nothing says that they may.

    settings: with the tokens in hand.
    """
    if settings.token or settings.insecure or is_loopback(listen):
        return
    raise ValueError(
        f"--listen {listen} can be reached from other machines, and who comes in runs what they "
        "like: give --token-file, --token or the variable GYM_HTTP_TOKEN, which callers then have "
        "to send; or --insecure, to let everybody in"
    )


def _is_same(sent: bytes, token: bytes) -> bool:
    """In a time that doesn't tell how much of it is right."""
    return hmac.compare_digest(sent, token)


def _bearer(authorization: str) -> bytes:
    """The token of an Authorization header; empty, which no token is, where it has none."""
    if authorization[:7].lower() != "bearer ":
        return b""
    return authorization[7:].strip(" ").encode("utf-8", "surrogatepass")


def _unauthorized(authorization: str) -> Unauthorized:
    how = "send the header 'Authorization: Bearer TOKEN'; the bundled clients take token=TOKEN, or "
    how += "the variable GYM_HTTP_TOKEN"
    if not authorization:
        return Unauthorized(f"this server asks for a token (--token), and none came: {how}")
    if not _bearer(authorization):
        return Unauthorized(f"the Authorization header has no bearer token: {how}")
    return Unauthorized(f"the token that came isn't this server's (--token): {how}")


def _origin(given: str) -> str:
    """As browsers write it. Raises ValueError."""
    if given == "*":
        return given
    found = _ORIGIN.fullmatch(given.lower())
    if found is None:
        raise ValueError(
            f"--cors-origin {given!r}: expected scheme://host or scheme://host:port, with nothing "
            "behind, or *"
        )
    scheme, host, port = found.groups()
    is_implied = port is None or (scheme, port) in _DEFAULT_PORTS
    return f"{scheme}://{host}" + ("" if is_implied else f":{port}")


def _is_own(origin: str, environ: Mapping[str, Any]) -> bool:
    """Whether the page is this server's own: what stands in the Origin, host and port, is what
    stands in the Host. A server behind one that speaks TLS can't see that it is https."""
    scheme, _, netloc = origin.lower().partition("://")
    schemes = ("https",) if environ.get("wsgi.url_scheme") == "https" else ("http", "https")
    return scheme in schemes and netloc == environ.get("HTTP_HOST", "").lower() != ""


def _is_visit(environ: Mapping[str, Any]) -> bool:
    """Whether a person follows a link, and sees in a window of its own where it leads."""
    get = environ.get
    is_window = get("HTTP_SEC_FETCH_DEST") == "document"
    is_visit = is_window and get("HTTP_SEC_FETCH_MODE") == "navigate"
    return is_visit and environ["REQUEST_METHOD"] in ("GET", "HEAD")
