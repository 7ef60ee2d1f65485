"""A page on which the API can be tried: Swagger UI, from its package's own files.

Nothing of it comes from elsewhere, and nothing stands in the page itself, so that it works offline
and its policy lets no other code run. Everything here is the same on each server.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata, resources

from gym_http import __version__
from gym_http.errors import UnknownPath, shown
from gym_http.service import Service
from gym_http.web.exchange import Raw

PACKAGE = "flask-swagger-ui"
PATH = "/v1/docs/"
FILES = {  # of the package
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
START = "start.js"  # ours
STYLE = "page.css"
ASSETS = (*FILES, START, STYLE)
TYPES = ("text/javascript", "text/css", "image/png")

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",  # icons, and frames
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
ALWAYS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
PAGE_HEADERS = (
    *ALWAYS,
    ("Content-Security-Policy", _POLICY),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),
)
# Their addresses have the version.
ASSET_HEADERS = (*ALWAYS, ("Cache-Control", "public, max-age=31536000, immutable"))

_START = """\
window.ui = SwaggerUIBundle({
  url: "/v1/openapi.json",
  dom_id: "#page",
  displayOperationId: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  persistAuthorization: false,
  validatorUrl: null,
});
"""

# On phones a table scrolls by itself: its links are wider than the page.
_STYLE = """\
@media (max-width: 640px) {
  .swagger-ui table.responses-table { display: block; overflow-x: auto; }
}
"""


def docs(service: Service) -> Raw:
    """Show the API in a browser, to be tried."""
    return Raw(_page(), "text/html; charset=utf-8", PAGE_HEADERS)


def docs_file(service: Service, file: str) -> Raw:
    """Give a file that the page is made of. Raises UnknownPath."""
    if file not in ASSETS:
        raise UnknownPath(f"there is no {shown(file)} in {PATH}")
    return Raw(*_asset(file), ASSET_HEADERS)


@lru_cache(maxsize=None)
def _page() -> bytes:
    """HTML."""
    version = metadata.version(PACKAGE)
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>gym-http: the API</title>
<link rel="icon" type="image/png" href="{PATH}favicon-32x32.png?{version}">
<link rel="stylesheet" href="{PATH}swagger-ui.css?{version}">
<link rel="stylesheet" href="{PATH}{STYLE}?{__version__}">
<script src="{PATH}swagger-ui-bundle.js?{version}" defer></script>
<script src="{PATH}{START}?{__version__}" defer></script>
</head>
<body>
<div id="page"></div>
<noscript>It takes JavaScript. <a href="/v1/openapi.json">openapi.json</a> doesn't.</noscript>
</body>
</html>
""".encode()


@lru_cache(maxsize=len(ASSETS))
def _asset(name: str) -> tuple[bytes, str]:
    """(a file's content, its content type). name: one of ASSETS."""
    if name == START:
        return _START.encode(), "text/javascript; charset=utf-8"
    if name == STYLE:
        return _STYLE.encode(), "text/css; charset=utf-8"
    found = resources.files(PACKAGE.replace("-", "_")) / "dist" / name
    return found.read_bytes(), FILES[name]
