"""Which encoding a body is in, by Content-Type, and which one its reply shall have, by Accept."""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter

from werkzeug.http import parse_accept_header

JSON = "application/json"
# Characters of a header whose meaning is remembered. Clients send what they like.
LONGEST_KEPT = 200
MSGPACK = ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack")


def speaks_json(content_type: str) -> bool:
    return _bare(content_type[:LONGEST_KEPT]) == JSON


def speaks_msgpack(content_type: str) -> bool:
    return _bare(content_type[:LONGEST_KEPT]) in MSGPACK


def reply_type(accept: str) -> str:
    """MessagePack, by the name that the caller has for it, where Accept prefers it to all else:
    names it alone, or first of equals. JSON for everybody else, whatever they accept."""
    return _reply_type(accept) if len(accept) < LONGEST_KEPT else _reply_type.__wrapped__(accept)


@lru_cache(maxsize=64)
def _reply_type(accept: str) -> str:
    if "msgpack" not in accept.lower():
        return JSON
    # By quality alone: MIMEAccept has what is specific first, however little it is wanted.
    preferred, quality = max(parse_accept_header(accept), key=itemgetter(1), default=("", 0))
    return _bare(preferred) if speaks_msgpack(preferred) and quality > 0 else JSON


@lru_cache(maxsize=64)
def _bare(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
