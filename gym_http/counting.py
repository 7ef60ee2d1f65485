"""How many values a body holds, and how deep they nest, told before it is decoded.

A list that is empty has one byte in MessagePack, two in JSON, and sixty in Python, besides what it
costs to look into it; so a body of many megabytes isn't decoded before it is known not to be made
of such.
"""

from __future__ import annotations

import re

import numpy as np

LARGE = 1024 * 1024  # bytes; less takes 100 MB at most, whatever it is
MOST_NUMBERS = 8_000_000  # in JSON, of which one takes up to 40 bytes
MOST_IN_JSON = 1_000_000  # lists, objects and texts
MOST_IN_MSGPACK = 2_000_000  # values of any kind; an array is one, with what tells its shape

_TEXT = re.compile(rb'"[^"]*"?')
_BRACKETS = b"[]{}"
_NOT_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))


def too_many_in_json(body: bytes) -> str | None:
    """What there is too much of; None where it can be decoded."""
    if len(body) <= LARGE:
        return None
    is_few = sum(map(body.count, b'[]{}"')) <= 2 * MOST_IN_JSON  # those within texts as well
    if is_few and body.count(b",") <= MOST_NUMBERS:
        return None
    plain = _without_escapes(body)
    texts = plain.count(b'"') // 2
    if texts > MOST_IN_JSON or texts + len(_brackets(plain)) // 2 > MOST_IN_JSON:
        return f"it has more than {MOST_IN_JSON} lists, objects and texts; MessagePack has arrays"
    if _outside(plain).count(b",") > MOST_NUMBERS:
        return f"it has more than {MOST_NUMBERS} numbers; MessagePack has arrays of them"
    return None


def depth_of_json(body: bytes) -> int:
    """How deep `body`, of which there aren't too many, nests."""
    kinds = np.frombuffer(_brackets(_without_escapes(body)), np.uint8)
    steps = np.where((kinds == ord("[")) | (kinds == ord("{")), np.int8(1), np.int8(-1))
    return int(np.cumsum(steps, dtype=np.int32).max(initial=0))


def _without_escapes(body: bytes) -> bytes:
    """Escapes are in texts only, and a quote goes with its own."""
    return body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body


def _brackets(plain: bytes) -> bytes:
    return _outside(plain).translate(None, _NOT_BRACKETS)


def _outside(plain: bytes) -> bytes:
    """What is outside of texts. plain: without escapes."""
    return _TEXT.sub(b"", plain)


def too_many_in_msgpack(body: bytes | bytearray) -> str | None:
    """As of JSON; the bytes of arrays are passed over."""
    if len(body) <= LARGE or _values(body) <= MOST_IN_MSGPACK:
        return None
    return f"it has more than {MOST_IN_MSGPACK} values; send arrays of numbers as such"


def _values(body: bytes | bytearray) -> int:
    """At least as many as there are, up to one more than is allowed.

    They stand one after the other, whatever is in which: a list's head says how many follow it,
    and none of that has to be kept. Source: the MessagePack specification.
    """
    sizes, widths, end = _SIZES, _WIDTHS, len(body)
    place = count = 0
    while place < end and count <= MOST_IN_MSGPACK:
        first = body[place]
        place += sizes[first]
        width = widths[first]
        if width:  # so many bytes, which have just been passed, tell how many follow
            ending = place - (first in _EXTENSIONS)
            place += int.from_bytes(body[ending - width : ending], "big")
        count += 1
    return count


_EXTENSIONS = range(0xC7, 0xCA)  # which have a byte between length and content


def _tables() -> tuple[bytes, bytes]:
    """By a value's first byte: how long its head is, or all of it where that is certain; and how
    many bytes of the head tell the length of the rest."""
    sizes, widths = bytearray([1] * 256), bytearray(256)
    for length in range(32):
        sizes[0xA0 + length] = 1 + length  # short texts
    for first, width in ((0xC4, 1), (0xC7, 1), (0xD9, 1)):  # binary data, extensions, texts
        for power in range(3):
            widths[first + power] = width << power
            sizes[first + power] = 1 + widths[first + power] + (first == 0xC7)
    for first, longest in ((0xCA, 4), (0xCB, 8)):  # floats
        sizes[first] = 1 + longest
    for first in (0xCC, 0xD0):  # integers
        for power in range(4):
            sizes[first + power] = 1 + (1 << power)
    for power in range(5):  # short extensions
        sizes[0xD4 + power] = 2 + (1 << power)
    for first in (0xDC, 0xDE):  # lists and maps: their heads
        sizes[first], sizes[first + 1] = 3, 5
    return bytes(sizes), bytes(widths)


_SIZES, _WIDTHS = _tables()
