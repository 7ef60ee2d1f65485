"""Shorter replies for who asks by Accept-Encoding: gzip, and zstd where Python or backports.zstd
has it. It pays over a network; on one machine it only takes time, so a client there doesn't ask.
"""

from __future__ import annotations

import gzip
import importlib
from collections.abc import Callable
from functools import lru_cache, partial

from werkzeug.http import parse_accept_header

from gym_http import request_ids
from gym_http.web.negotiation import LONGEST_KEPT

LEAST_BYTES = 1400  # what goes in one packet anyway
LEVEL = 1  # frames shrink about as far as at higher ones, in a fraction of the time


def with_headers(
    body: bytes, content_type: str, accept_encoding: str | None
) -> tuple[bytes, list[tuple[str, str]]]:
    """(the body as it is sent, all headers)."""
    coding, long = None, len(body) >= LEAST_BYTES
    if long:
        body, coding = compressed(body, content_type, accept_encoding)
    headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
    if coding is not None:
        headers.append(("Content-Encoding", coding))
    if long:
        headers.append(("Vary", "Accept, Accept-Encoding"))  # not everybody gets the same
    request_id = request_ids.known()
    if request_id:
        headers.append((request_ids.HEADER, request_id))
    return body, headers


def compressed(
    body: bytes, content_type: str, accept_encoding: str | None
) -> tuple[bytes, str | None]:
    """(the body as it shall be sent, its Content-Encoding)."""
    if not accept_encoding or len(body) < LEAST_BYTES or content_type.startswith("image/"):
        return body, None
    if len(accept_encoding) > LONGEST_KEPT:
        return body, None
    coding = _coding(accept_encoding)
    return (body, None) if coding is None else (_codings()[coding](body), coding)


@lru_cache(maxsize=64)
def _coding(accept_encoding: str) -> str | None:
    """The one that the caller likes best; of equals, the shorter result."""
    wanted = {coding.lower(): quality for coding, quality in parse_accept_header(accept_encoding)}
    least = wanted.get("identity", 0)  # who likes the plain body better gets that
    known = [coding for coding in _codings() if 0 < wanted.get(coding, 0) >= least]
    return max(known, key=lambda coding: wanted[coding], default=None)


@lru_cache(maxsize=1)
def _codings() -> dict[str, Callable[[bytes], bytes]]:
    codings: dict[str, Callable[[bytes], bytes]] = {}
    for name in ("compression.zstd", "backports.zstd"):
        try:
            codings["zstd"] = partial(importlib.import_module(name).compress, level=LEVEL)
            break
        except ImportError:
            continue
    codings["gzip"] = partial(gzip.compress, compresslevel=LEVEL, mtime=0)
    return codings
