"""Whether a value is the one that was expected, as far as languages agree on values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

TOLERANCE = 1e-6  # relative: clients may hold single precision
EXACT_INTEGERS = 2**53  # beyond, languages that have only doubles lose digits
_ODD = {"NaN": math.nan, "Infinity": 1e100, "-Infinity": -1e100}


def differences(
    expected: Any, came: Any, where: str, exact: bool = False
) -> Iterator[tuple[str, str]]:
    """(what was expected, what came), of each place where they differ.

    Languages write 1 and 1.0 for the same number, and one with a single kind of table doesn't tell
    [] from {}. What JSON doesn't have may come as its stand-in (null for NaN, 1e100 for Infinity)
    or as a text, "NaN". exact: numbers have to be the same doubles.
    """
    if _is_number(expected) and _is_number(came):
        if not _same_number(expected, came, exact):
            yield f"{where} = {shown(expected)}", shown(came)
    elif isinstance(expected, list) and isinstance(came, list):
        if len(expected) != len(came):
            yield f"{where} of {len(expected)} items: {shown(expected)}", shown(came)
            return
        for index, (one, other) in enumerate(zip(expected, came, strict=True)):
            yield from differences(one, other, f"{where}[{index}]", exact)
    elif isinstance(expected, dict) and isinstance(came, dict):
        for name in expected:
            if name not in came:
                yield f"{where}.{name} = {shown(expected[name])}", "nothing"
            else:
                yield from differences(expected[name], came[name], f"{where}.{name}", exact)
        for name in came.keys() - expected.keys():
            yield f"{where} without {name}", shown(came[name])
    elif not _same(expected, came):
        yield f"{where} = {shown(expected)}", shown(came)


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return value in _ODD
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same_number(expected: Any, came: Any, exact: bool) -> bool:
    one, other = (_number(value) for value in (expected, came))
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    if one == other:
        return True
    if isinstance(one, int) and abs(one) <= EXACT_INTEGERS:
        return False
    return math.isclose(one, other, rel_tol=1e-15 if exact else TOLERANCE, abs_tol=0)


def _number(value: Any) -> Any:
    if isinstance(value, str):
        return _ODD[value]
    if isinstance(value, float) and math.isinf(value):
        return math.copysign(1e100, value)
    return value


def _same(expected: Any, came: Any) -> bool:
    if expected is None and _is_number(came):
        return math.isnan(_number(came))
    if expected == "NaN" and came is None:
        return True
    if isinstance(expected, (list, dict)) and isinstance(came, (list, dict)):
        return not expected and not came
    return type(expected) is type(came) and expected == came


def shown(value: Any) -> str:
    """As JSON, short."""
    import json

    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else text[:199] + "…"


def plain(value: Any) -> Any:
    """Arrays as lists."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def with_arrays(value: Any) -> Any:
    """A script's value with its arrays, {"$array": dtype, "shape": …, "values": …}, as NumPy's,
    and {"$number": "NaN"} as the number."""
    if isinstance(value, list):
        return [with_arrays(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        dtype = np.dtype(value["$array"])
        numbers = [float(x) if isinstance(x, str) else x for x in value["values"]]
        return np.array(numbers, dtype).reshape(value["shape"])
    if "$number" in value:
        return float(value["$number"])
    return {key: with_arrays(item) for key, item in value.items()}
