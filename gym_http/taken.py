"""Values of an object that a client sent, each checked. A refusal names it as `where.name`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gym_http.errors import BadValue, shown

_LARGEST = 2**1023  # that an integer may be to become a float


def flag(where: str, told: dict[str, Any], name: str) -> bool:
    """Raises BadValue, as the others do."""
    value = told.get(name)
    if not isinstance(value, bool):
        raise BadValue(f"{where}.{name}: expected a boolean, got {shown(value)}")
    return value


def count(where: str, told: dict[str, Any], name: str) -> int:
    """An integer from 0, which may come as 1.0."""
    value = told.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or not 0 <= value < 2**53:
        raise BadValue(f"{where}.{name}: expected an integer from 0, got {shown(value)}")
    return value


def number(where: str, told: dict[str, Any], name: str) -> float:
    """NaN may come as null, as JSON has it."""
    value = told.get(name)
    if value is None:
        return math.nan
    is_huge = isinstance(value, int) and abs(value) > _LARGEST
    if isinstance(value, bool) or not isinstance(value, (int, float)) or is_huge:
        raise BadValue(f"{where}.{name}: expected a number, got {shown(value)}")
    return float(value)


def column(where: str, told: dict[str, Any], name: str, length: int, kinds: str) -> np.ndarray:
    """An array of so many, of one of these kinds of dtype; or a list, with null for NaN."""
    value = told.get(name)
    if isinstance(value, list) and len(value) == length:
        flat = all(one is None or isinstance(one, (bool, int, float)) for one in value)
        value = np.array([np.nan if one is None else one for one in value]) if flat else None
    array = value if isinstance(value, np.ndarray) else np.array(None)
    if array.shape != (length,) or array.dtype.kind not in kinds:
        raise BadValue(f"{where}.{name}: expected {length}, got {shown(value)}")
    return array
