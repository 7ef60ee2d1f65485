"""An environment's plain attributes as values that msgpack carries exactly, and back.

A list is {"list": [..]}, a tuple {"tuple": [..]}, a dict {"dict": [[key, value], ..]}, a NumPy
scalar {"scalar": array}, an integer beyond 64 bits {"integer": text}; numbers, strings, None and
arrays of numbers are as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gym_http.errors import BadValue, shown

_AS_IT_IS = {bool, float, str, type(None)}
_DEEPEST = 32
_PLACES = ("scalar", "list", "tuple", "dict", "integer", "member")


class NotPlain(Exception):
    """Has a value that isn't."""


def plain(value: Any, depth: int = 0) -> Any:
    """Raises NotPlain."""
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**63 else {"integer": str(value)}
    if depth >= _DEEPEST:
        raise NotPlain("it is nested too deep")
    if kind is np.ndarray and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        return value.copy()
    if isinstance(value, np.generic) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        return {"scalar": np.asarray(value)}
    if kind is list or kind is tuple:
        return {kind.__name__: [plain(item, depth + 1) for item in value]}
    if kind is dict:
        pairs = [[plain(key, depth + 1), plain(item, depth + 1)] for key, item in value.items()]
        return {"dict": pairs}
    if _is_member(value):
        return {"member": str(value)}
    raise NotPlain(f"a {kind.__module__}.{kind.__name__}")


def _is_member(value: Any) -> bool:
    """Of an enumeration, Python's or one of a C++ library's (pybind11)."""
    return hasattr(type(value), "__members__")


def unplain(told: Any, present: Any, depth: int = 0) -> Any:
    """The value again. present: what stands in its place in an environment made anew; a member of
    an enumeration can only stay what it is. Raises BadValue for what `plain` wouldn't say."""
    kind = type(told)
    if kind in _AS_IT_IS or kind is int:
        return told
    if kind is np.ndarray:
        return told
    if kind is not dict or len(told) != 1 or depth >= _DEEPEST:
        raise BadValue(f"no attribute's value: {shown(told)}")
    ((name, inner),) = told.items()
    if name not in _PLACES:
        raise BadValue(f"no attribute's value: {shown(told)}")
    if name == "scalar" and isinstance(inner, np.ndarray) and inner.shape == ():
        return inner[()]
    if name == "integer" and isinstance(inner, str) and len(inner) <= 100:
        try:
            return int(inner)
        except ValueError as error:
            raise BadValue(f"no integer: {shown(inner)}") from error
    if name == "member" and _is_member(present) and str(present) == inner:
        return present
    if name in ("list", "tuple") and isinstance(inner, list):
        there = list(present) if isinstance(present, (list, tuple)) else []
        there += [None] * (len(inner) - len(there))
        items = [unplain(one, at, depth + 1) for one, at in zip(inner, there, strict=False)]
        return items if name == "list" else tuple(items)
    if name == "dict" and isinstance(inner, list):
        return _dict(inner, present if isinstance(present, dict) else {}, depth)
    raise BadValue(f"no attribute's value: {shown(told)}")


def _dict(pairs: list[Any], present: dict[Any, Any], depth: int) -> dict[Any, Any]:
    made = {}
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise BadValue(f"no key and value: {shown(pair)}")
        key = unplain(pair[0], None, depth + 1)
        try:
            made[key] = unplain(pair[1], present.get(key), depth + 1)
        except TypeError as error:  # a list as a key
            raise BadValue(f"no key: {shown(pair[0])}") from error
    return made
