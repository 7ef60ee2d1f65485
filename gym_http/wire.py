"""Bodies: bytes <-> values. Nothing else encodes or decodes JSON for the network.

JSON has no NaN and no Infinity. What environments return of them is written by one rule:
±Infinity as ±1e100, as v1 wrote the bounds of spaces, and NaN as null.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import numpy as np

from gym_http.errors import BadValue, InvalidJSON

JSON_INFINITY = 1e100
DEEPEST = 200  # levels of a request; an action nests as its space does

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)

_json = msgspec.json.Decoder()


def from_json(body: bytes) -> Any:
    """The JSON value in `body`. Raises InvalidJSON, also for NaN, 1e400 and endless nesting."""
    if body.count(b"[") + body.count(b"{") > DEEPEST and _depth(body) > DEEPEST:
        raise InvalidJSON(f"the body is nested more than {DEEPEST} levels deep")
    try:
        return _json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidJSON(str(error)) from error


def _depth(body: bytes) -> int:
    """How deep `body` nests, before anything recurses into it: since Python 3.12 the decoder's
    recursion outgrows a thread's stack before Python's own limit stops it."""
    outside = np.frombuffer(_STRING.sub(b"", body), np.uint8)
    opened = (outside == ord("[")) | (outside == ord("{"))
    closed = (outside == ord("]")) | (outside == ord("}"))
    levels = np.cumsum(opened.astype(np.int32) - closed)
    return int(levels.max(initial=0))


def to_json(value: Any) -> bytes:
    """`value` as JSON: plain values, msgspec Structs, NumPy arrays of numbers at the leaves."""
    return _encoder.encode(value)


def json_text(text: str) -> Any:
    """A value that stands as JSON in a path, such as the X of `contains/X`."""
    try:
        return from_json(text.encode("utf-8", "surrogatepass"))
    except InvalidJSON as error:
        raise BadValue(f"{text[:80]!r} is not a JSON value", detail=error.detail) from error


def _leaf(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return numbers(value)
    if isinstance(value, np.generic):
        return numbers(np.asarray(value))
    raise TypeError(f"nothing encodes a {type(value).__name__}")


def numbers(array: np.ndarray) -> Any:
    """`array.tolist()`, with what JSON can't say written by the rule above."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bounded = np.clip(array.astype(np.float64), -JSON_INFINITY, JSON_INFINITY)
        listed = np.asarray(bounded).astype(object)
        listed[np.isnan(array)] = None
        return listed.tolist()
    if array.dtype.itemsize > 8:  # a long double, of which a list would still be made
        array = array.astype(np.float64)
    return array.tolist()


_encoder = msgspec.json.Encoder(enc_hook=_leaf)
