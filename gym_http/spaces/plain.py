"""The spaces that hold no others: Discrete, Text, and those of arrays."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from gymnasium import spaces

from gym_http.errors import BadValue, shown
from gym_http.spaces.verbs import decode, describe, encode, encoded_text, text_of
from gym_http.wire import numbers

# Those of which a batch is one array.
NUMBERS = (spaces.Discrete, spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)


# Of a dtype's kind, what needs no look at each number.
_PLAIN_TYPES: dict[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}}


# ---- Discrete: an integer


@describe.register
def _(space: spaces.Discrete) -> dict[str, Any]:
    return {
        "name": "Discrete",
        "n": int(space.n),
        "start": int(space.start),
        "dtype": str(space.dtype),
    }


@decode.register
def _(space: spaces.Discrete, wire: Any, strict: bool = True) -> Any:
    number = wire if type(wire) is int else _integer(_only(wire))
    first, last = int(space.start), int(space.start) + int(space.n) - 1
    if number is None or (strict and not first <= number <= last):
        raise BadValue(f"expected an integer from {first} to {last}, got {shown(wire)}")
    element = space.dtype.type(number)
    if strict and type(space) is not spaces.Discrete and not space.contains(element):
        # A subclass may leave some out.
        raise BadValue(f"{number} is not an element of the space")
    return element


@encode.register
def _(space: spaces.Discrete, value: Any) -> int:
    native = value.item() if isinstance(value, (np.ndarray, np.generic)) else value
    number = int(native) if isinstance(native, bool) else _integer(native)
    if number is None:
        raise TypeError(f"expected an integer, got {shown(value)}")
    return number


# ---- Text: a string


@describe.register
def _(space: spaces.Text) -> dict[str, Any]:
    return {
        "name": "Text",
        "min_length": space.min_length,
        "max_length": space.max_length,
        "charset": "".join(space.character_list),  # in the order that its samples depend on
    }


@decode.register
def _(space: spaces.Text, wire: Any, strict: bool = True) -> str:
    return text_of(space, wire, strict)


@encode.register
def _(space: spaces.Text, value: Any) -> str:
    return encoded_text(value)


# ---- Box, MultiDiscrete, MultiBinary: an array, or nested lists


@describe.register
def _(space: spaces.Box) -> dict[str, Any]:
    return {
        "name": "Box",
        "shape": list(space.shape),
        "low": space.low.ravel(),
        "high": space.high.ravel(),
        "dtype": str(space.dtype),
    }


@describe.register
def _(space: spaces.MultiDiscrete) -> dict[str, Any]:
    return {
        "name": "MultiDiscrete",
        "shape": list(space.shape),
        "nvec": space.nvec,
        "start": space.start,
        "dtype": str(space.dtype),
    }


@describe.register
def _(space: spaces.MultiBinary) -> dict[str, Any]:
    n = space.n if isinstance(space.n, int) else list(space.shape)
    return {
        "name": "MultiBinary",
        "shape": list(space.shape),
        "n": n,
        "dtype": str(space.dtype),
    }


@decode.register(spaces.Box)
@decode.register(spaces.MultiDiscrete)
@decode.register(spaces.MultiBinary)
def _(space: Any, wire: Any, strict: bool = True) -> np.ndarray:
    if isinstance(wire, (np.ndarray, np.generic)):
        if not strict:
            return np.asarray(wire)
        array = _cast(space, np.asarray(wire), space.shape)
    else:
        array = _gathered(space, wire)
    if array is None or (strict and not _lies_in(space, array)):
        raise BadValue(f"expected {_bounds(space)}, got {shown(wire)}")
    return array


@encode.register(spaces.Box)
@encode.register(spaces.MultiDiscrete)
@encode.register(spaces.MultiBinary)
def _(space: Any, value: Any) -> np.ndarray:
    array = np.array(value)  # a copy: the environment's next step may write into its own
    if array.shape == space.shape and array.dtype.kind in "iuf":
        return array
    if array.dtype.kind not in "biuf":
        raise TypeError(f"expected an array of numbers, got {shown(value)}")
    if array.dtype.kind == "b" and space.dtype.kind != "b":
        array = array.astype(space.dtype)
    if array.shape != space.shape:
        if array.size != math.prod(space.shape):
            raise ValueError(f"expected shape {list(space.shape)}, got {list(array.shape)}")
        array = array.reshape(space.shape)
    return array


# ---- what the rows share


def _only(wire: Any) -> Any:
    """What is in an array, or in a list, of one: R and Matlab have no scalars."""
    if isinstance(wire, (np.ndarray, np.generic)) and wire.size == 1 and wire.ndim < 2:
        wire = wire.item()
    return wire[0] if isinstance(wire, list) and len(wire) == 1 else wire


def _integer(wire: Any) -> int | None:
    """1 and 1.0 are integers on the wire; true, "1" and 0.5 are not."""
    if isinstance(wire, bool):
        return None
    if isinstance(wire, float) and wire.is_integer():
        return int(wire)
    try:
        return operator.index(wire)
    except TypeError:
        return None


def _cast(space: Any, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """`array` in the space's dtype; None where an integer one can't hold its numbers."""
    if shape == (1,) and array.shape == ():
        array = array.reshape(1)
    if array.shape != shape:
        raise BadValue(f"expected an array of shape {list(shape)}, got {list(array.shape)}")
    if (array.dtype.kind == "b") != (space.dtype.kind == "b"):
        raise BadValue(f"expected {_noun(space.dtype.kind)}, got an array of {array.dtype}")
    if array.dtype == space.dtype:
        return array
    with np.errstate(all="ignore"):
        cast = array.astype(space.dtype)
    if space.dtype.kind != "f" and not np.array_equal(cast, array):
        return None
    return cast


def decode_rows(space: Any, array: np.ndarray) -> np.ndarray:
    """(steps, …) array of as many elements. Raises BadValue where one isn't."""
    rows = _cast(space, array, (len(array), *space.shape))
    if rows is None or not _lies_in(space, rows):
        raise BadValue(f"expected elements of {shown(space)}")
    return rows


def _lies_in(space: Any, array: np.ndarray) -> bool:
    """`space.contains` of an array that has its shape and dtype, or of one with as many rows of
    those, in a third of the time."""
    kind = type(space)
    if kind is spaces.Box:
        inside = (space.low <= array) & (array <= space.high)
    elif kind is spaces.MultiDiscrete:
        # Below its start a number is, without a sign, beyond all others; overflows come out right.
        unsigned = f"u{space.dtype.itemsize}"
        nvec = space.nvec.astype(space.dtype, copy=False).view(unsigned)
        inside = (array - space.start).view(unsigned) < nvec
    elif kind is spaces.MultiBinary:
        inside = (array == 0) | (array == 1)
    elif kind is spaces.Discrete:
        inside = (int(space.start) <= array) & (array < int(space.start) + int(space.n))
    else:
        return bool(space.contains(array))
    return np.count_nonzero(inside) == array.size


def _gathered(space: Any, wire: Any) -> np.ndarray | None:
    """Nested lists as an array of the space; None where its dtype can't hold their numbers."""
    if space.shape == (1,) and not isinstance(wire, list):
        wire = [wire]  # languages without one-element arrays
    flat: list[Any] = []
    _flatten(wire, space.shape, space.dtype.kind, flat, space.shape)
    try:
        with np.errstate(over="ignore"):
            return np.array(flat, dtype=space.dtype).reshape(space.shape)
    except OverflowError:
        return None


def _flatten(
    wire: Any, rest: tuple[int, ...], kind: str, flat: list[Any], shape: tuple[int, ...]
) -> None:
    """Append the numbers of a nested list of shape `rest` to `flat`, each checked for `kind`."""
    if isinstance(wire, np.ndarray) and wire.shape == rest:  # one of several, in a list
        wire = wire.tolist()
    if rest:
        if not isinstance(wire, list) or len(wire) != rest[0]:
            raise BadValue(f"expected an array of shape {list(shape)}, got {shown(wire)}")
        if len(rest) == 1 and set(map(type, wire)) <= _PLAIN_TYPES[kind]:
            flat.extend(wire)
            return
        for item in wire:
            _flatten(item, rest[1:], kind, flat, shape)
        return
    number: float | None
    if kind == "b":
        number = wire if isinstance(wire, bool) else None
    elif kind == "f" and isinstance(wire, float):
        number = wire
    else:
        number = _integer(wire)
    if number is None:
        raise BadValue(
            f"expected {_noun(kind)} in an array of shape {list(shape)}, got {shown(wire)}"
        )
    flat.append(number)


def _noun(kind: str) -> str:
    return {"b": "booleans", "f": "numbers"}.get(kind, "integers")


def _bounds(space: Any) -> str:
    if isinstance(space, spaces.Box):
        low, high = space.low.ravel(), space.high.ravel()
        shown_low, shown_high = shown(numbers(low)), shown(numbers(high))
        if low.size and (low == low[0]).all() and (high == high[0]).all():
            shown_low, shown_high = low[0].item(), high[0].item()
        return f"numbers from {shown_low} to {shown_high}"
    if isinstance(space, spaces.MultiDiscrete):
        last = space.start + space.nvec - 1
        return f"integers from {shown(space.start.tolist())} to {shown(last.tolist())}"
    return "0 or 1 in each place"
