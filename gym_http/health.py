"""Is a server there? What containers, systemd and scripts ask: `gym-http health`."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

POLL_S = 0.1


class Unhealthy(Exception):
    """No server answered that it is well. The message says what came instead."""


def own_url(listen: str, port: int, tls: bool) -> str:
    """Where a server that listens there can be reached on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen, listen)
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def tls_context(
    ca: Path | None, own_certificate: Path | None, client_certificate: Path | None
) -> ssl.SSLContext:
    """How to know the server: by one of these issuers; or by its own certificate, whatever name
    that is for, since who asks on the same machine calls it by none. Raises OSError, which
    ssl.SSLError is."""
    if ca is None and own_certificate is not None:
        context = ssl.create_default_context(cafile=own_certificate)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # its issuer may not be in the file
    else:
        context = ssl.create_default_context(cafile=ca)
    if client_certificate is not None:
        context.load_cert_chain(client_certificate)
    return context


def ask(url: str, context: ssl.SSLContext | None, timeout_s: float) -> str:
    """What the server tells of itself, in a line. It needs no token, and goes by no proxy.
    Raises Unhealthy, and ValueError where `url` is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"a URL begins with http:// or https://, not {url!r}")
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            parts.hostname, parts.port or 443, timeout=timeout_s, context=context
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout_s)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/healthz")
        reply = connection.getresponse()
        body = reply.read(65536)
    except (OSError, http.client.HTTPException) as error:
        reason = "no answer in time" if isinstance(error, socket.timeout) else str(error)
        raise Unhealthy(f"{url}: {reason or type(error).__name__}") from error
    finally:
        connection.close()
    try:
        told = json.loads(body)
        if reply.status == 200 and told["status"] == "ok":
            return f"{url}: ok, version {told['version']}, instances: {told['instances']}"
    except (ValueError, TypeError, KeyError):
        pass
    raise Unhealthy(f"{url}: answers {reply.status}, as no healthy gym-http does")


def wait(url: str, context: ssl.SSLContext | None, timeout_s: float, wait_s: float = 0.0) -> str:
    """As `ask`, again and again for as long as `wait_s`."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return ask(url, context, timeout_s)
        except Unhealthy:
            if time.monotonic() + POLL_S > deadline:
                raise
            time.sleep(POLL_S)
