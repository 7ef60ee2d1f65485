"""Bodies: bytes <-> values, in two encodings. Nothing else reads or writes bytes for the network.

JSON has no NaN and no Infinity. What environments return of them is written by one rule:
±Infinity as ±1e100, as v1 wrote the bounds of spaces, and NaN as null.

MessagePack carries every number exactly, and an array as {"dtype": "<f4", "shape": [..],
"data": bin}, its bytes in C order.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from gym_http import counting, pixels
from gym_http.errors import BadValue, InvalidJSON, InvalidMessagePack, shown

JSON_INFINITY = 1e100
DEEPEST = 200  # levels of a request; an action nests as its space does

_DTYPE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248])")
_ARRAY = {"dtype", "shape", "data"}
_PLAIN = {bool, int, float, str, type(None)}
_SMALL = 4096  # bytes that are copied sooner than looked at
_MANY = 65536  # numbers, whose lists take a few milliseconds and as many megabytes
_FEW = 32  # numbers that a list's methods are done with before an array's begin
_MOST_DIMENSIONS = 64  # NumPy's
_LONGEST_OF_NOTHING = 2**16  # an axis of an array without elements: it costs no bytes to claim

_json = msgspec.json.Decoder()
_msgpack = msgspec.msgpack.Decoder()


# ---- JSON


def from_json(body: bytes) -> Any:
    """The JSON value in `body`. Raises InvalidJSON, also for NaN, 1e400 and endless nesting."""
    too_many = counting.too_many_in_json(body)
    if too_many is not None:
        raise InvalidJSON(too_many)
    # Before anything recurses into it: since Python 3.12 the decoder's recursion outgrows a
    # thread's stack before Python's own limit stops it.
    if body.count(b"[") + body.count(b"{") > DEEPEST and counting.depth_of_json(body) > DEEPEST:
        raise InvalidJSON(f"the body is nested more than {DEEPEST} levels deep")
    try:
        return _json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidJSON(str(error)) from error


def struct_from_json(body: bytes, kind: type[Struct]) -> Struct | None:
    """The `kind` that `body` is, in one go; None where it is none, or may hold too much."""
    if len(body) > DEEPEST and (
        len(body) > counting.LARGE or body.count(b"[") + body.count(b"{") > DEEPEST
    ):
        return None
    try:
        return _decoder(kind).decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


@lru_cache(maxsize=None)
def _decoder(kind: type[Struct]) -> msgspec.json.Decoder[Struct]:
    """Of a `kind` that has nothing beside its fields: the decoder doesn't check what it skips."""
    strict = msgspec.defstruct(kind.__name__, [], bases=(kind,), forbid_unknown_fields=True)
    return msgspec.json.Decoder(strict)


def to_json(value: Any) -> bytes:
    """`value` as JSON: plain values, msgspec Structs, NumPy arrays of numbers at the leaves."""
    return _json_encoder.encode(value)


def as_json(value: Any) -> Any:
    """`value` as whoever reads it in JSON gets it."""
    return msgspec.to_builtins(value, enc_hook=_json_leaf)


def json_text(text: str) -> Any:
    """A value that stands as JSON in a path, such as the X of `contains/X`."""
    try:
        return from_json(text.encode("utf-8", "surrogatepass"))
    except InvalidJSON as error:
        raise BadValue(f"{text[:80]!r} is not a JSON value", detail=error.detail) from error


def numbers(array: np.ndarray) -> Any:
    """`array.tolist()`, with what JSON can't say written by the rule above."""
    if array.dtype.kind == "f":
        if array.size <= _FEW and array.ndim == 1 and array.dtype.itemsize <= 8:
            listed = array.tolist()
            if math.isfinite(sum(listed)):  # else one of them isn't, or their sum overflows
                return listed
        if np.count_nonzero(np.isfinite(array)) < array.size:
            listed = np.asarray(array.astype(np.float64)).astype(object)
            listed[np.isposinf(array)] = JSON_INFINITY
            listed[np.isneginf(array)] = -JSON_INFINITY
            listed[np.isnan(array)] = None
            return listed.tolist()
        if array.dtype.itemsize > 8:  # a long double: no other machine reads it
            return array.astype(np.float64).tolist()
    return array.tolist()


def _json_text(value: Any) -> Any:
    if type(value) is not np.ndarray:
        return _json_leaf(value)
    if value.size >= pixels.LEAST_SIZE and pixels.fits(value):
        return msgspec.Raw(pixels.json_of(value))
    if value.size >= _MANY and value.ndim > 1:
        # Row by row, so that other threads have their turns and its lists aren't all there at once.
        return msgspec.Raw(b"[" + b",".join(map(_json_encoder.encode, value)) + b"]")
    return numbers(value)


def _json_leaf(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return numbers(np.asarray(value))
    raise TypeError(f"nothing encodes a {type(value).__name__}")


# ---- MessagePack


def from_msgpack(body: bytes | bytearray) -> Any:
    """The value in `body`, its arrays as NumPy's.

    Raises InvalidMessagePack. Nothing is allocated by a size that the body only claims.
    """
    too_many = counting.too_many_in_msgpack(body)
    if too_many is not None:
        raise InvalidMessagePack(too_many)
    try:
        return _checked(_msgpack.decode(body), 0)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError) as error:
        # TypeError is what msgspec 0.19 says of a key that isn't hashable.
        raise InvalidMessagePack(str(error)) from error


def to_msgpack(value: Any) -> bytes:
    """`value` as MessagePack: plain values, msgspec Structs, NumPy arrays at the leaves."""
    return _msgpack_encoder.encode(value)


def _checked(value: Any, depth: int) -> Any:
    """`value` with its arrays made; what JSON has no counterpart of is refused."""
    if type(value) in _PLAIN:
        return value
    if depth >= DEEPEST:
        raise InvalidMessagePack(f"the body is nested more than {DEEPEST} levels deep")
    if isinstance(value, dict):
        if value.keys() == _ARRAY and isinstance(value["data"], bytes):
            return _array(**value)
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidMessagePack(f"a map's key is {shown(key)}, not a string")
            value[key] = _checked(item, depth + 1)
        return value
    if isinstance(value, list):
        for index, item in enumerate(value):
            if type(item) not in _PLAIN:  # a list may have millions that are
                value[index] = _checked(item, depth + 1)
        return value
    kind = {"bytes": "binary data", "datetime": "a timestamp"}.get(type(value).__name__)
    raise InvalidMessagePack(f"{kind or 'an extension'} stands outside of an array")


def _array(dtype: Any, shape: Any, data: bytes) -> np.ndarray:
    """As lists, (2**40, 0) and the like would fill the memory: nobody makes lists of an array that
    a caller sent before its shape is checked."""
    kind = _dtype_of(dtype) if isinstance(dtype, str) and len(dtype) < 4 else None
    if kind is None:
        raise InvalidMessagePack(f"{shown(dtype)} is no dtype of numbers, such as '<f4' or '|u1'")
    if not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS:
        raise InvalidMessagePack(f"{shown(shape)} is no array's shape")
    for size in shape:
        if type(size) is not int or size < 0:
            raise InvalidMessagePack(f"{shown(shape)} is no array's shape")
    if math.prod(shape) * kind.itemsize != len(data):
        raise InvalidMessagePack(
            f"an array of {dtype} {shown(shape)} doesn't have {len(data)} bytes"
        )
    if 0 in shape and max(shape) > _LONGEST_OF_NOTHING:
        raise InvalidMessagePack(f"{shown(shape)} claims much and holds nothing")
    try:
        array = np.frombuffer(data, kind).reshape(shape).copy()  # one may be written to
    except ValueError as error:  # (0, 2**62, 2**62), say
        raise InvalidMessagePack(f"{shown(shape)} is no array's shape: {error}") from error
    if kind.kind == "b" and not (array.view(np.uint8) <= 1).all():
        raise InvalidMessagePack("a boolean is neither 0 nor 1")
    return array


def _msgpack_leaf(value: Any) -> Any:
    if isinstance(value, np.generic):
        return _carried(np.asarray(value)).item()
    if isinstance(value, np.ndarray):
        value = np.asarray(value)  # a subclass has its own idea of what its data are
        carried = _carried_as(value.dtype)
        if carried is None:
            return value.tolist()  # strings, say: lists, as in JSON
        dtype, name = carried
        if dtype is not value.dtype:
            value = value.astype(dtype)
        if value.nbytes < _SMALL or not value.flags.c_contiguous:
            data: Any = value.tobytes()  # in C order, whatever the order in memory
        else:
            data = value.data  # without another copy
        return {"dtype": name, "shape": value.shape, "data": data}
    raise TypeError(f"nothing encodes a {type(value).__name__}")


@lru_cache(maxsize=256)
def _carried_as(dtype: np.dtype) -> tuple[np.dtype, str] | None:
    """(the dtype that arrays of this one are carried in, its name); None: these aren't numbers."""
    if dtype.kind not in "biuf":
        return None
    if dtype.kind == "f" and dtype.itemsize > 8:
        dtype = np.dtype(np.float64)
    elif dtype.str[0] == ">":
        dtype = dtype.newbyteorder("<")
    return dtype, dtype.str


@lru_cache(maxsize=256)
def _dtype_of(name: str) -> np.dtype | None:
    """The dtype of numbers of that name; None where it is none."""
    return np.dtype(name) if _DTYPE.fullmatch(name) else None


def _carried(array: np.ndarray) -> np.ndarray:
    """`array`, a long double of which as a double: no other machine reads the former."""
    is_long = array.dtype.kind == "f" and array.dtype.itemsize > 8
    return array.astype(np.float64) if is_long else array


_json_encoder = msgspec.json.Encoder(enc_hook=_json_text)
_msgpack_encoder = msgspec.msgpack.Encoder(enc_hook=_msgpack_leaf)
