"""Space <-> wire values, and the description of a space. One row a Space class, three columns.

`describe` is what GET …_space/ answers, `decode` turns a wire value into an element of the space
or raises BadValue, `encode` does the reverse. Elements keep their arrays: `wire` writes them as
the caller's encoding wants. A subclass is served by its parent's row; a space without a row
raises UnsupportedSpace.
"""

from __future__ import annotations

import math
import operator
from functools import singledispatch
from typing import Any

import numpy as np
from gymnasium import Space, spaces

from gym_http.errors import BadValue, UnsupportedSpace, shown
from gym_http.wire import numbers


@singledispatch
def describe(space: Space[Any]) -> dict[str, Any]:
    """The space as JSON. v1's keys are pinned: name, n of Discrete, shape, low, high of Box."""
    raise UnsupportedSpace(f"{type(space).__name__} spaces have no wire form yet")


@singledispatch
def decode(space: Space[Any], wire: Any) -> Any:
    """The element of `space` that `wire` stands for. Raises BadValue, which says what was wrong."""
    raise UnsupportedSpace(f"{type(space).__name__} spaces have no wire form yet")


@singledispatch
def encode(space: Space[Any], value: Any) -> Any:
    """`value` as wire values, arrays at the leaves. Raises TypeError, ValueError or LookupError
    where an environment returned what isn't of its space's kind."""
    raise UnsupportedSpace(f"{type(space).__name__} spaces have no wire form yet")


def contains(space: Space[Any], wire: Any) -> bool:
    """Whether `wire` stands for an element of `space`."""
    try:
        decode(space, wire)
    except BadValue:
        return False
    return True


# ---- Discrete: an integer


@describe.register
def _(space: spaces.Discrete) -> dict[str, Any]:
    return {"name": "Discrete", "n": int(space.n), "start": int(space.start)}


@decode.register
def _(space: spaces.Discrete, wire: Any) -> Any:
    if isinstance(wire, list) and len(wire) == 1:  # R and Matlab have no scalars
        wire = wire[0]
    number = _integer(wire)
    first, last = int(space.start), int(space.start + space.n) - 1
    if number is None or not first <= number <= last:
        raise BadValue(f"expected an integer from {first} to {last}, got {shown(wire)}")
    element = space.dtype.type(number)
    if not space.contains(element):  # a subclass may leave some out
        raise BadValue(f"{number} is not an element of the space")
    return element


@encode.register
def _(space: spaces.Discrete, value: Any) -> int:
    native = value.item() if isinstance(value, (np.ndarray, np.generic)) else value
    number = int(native) if isinstance(native, bool) else _integer(native)
    if number is None:
        raise TypeError(f"expected an integer, got {shown(value)}")
    return number


# ---- Box, MultiDiscrete, MultiBinary: an array, as nested lists


@describe.register
def _(space: spaces.Box) -> dict[str, Any]:
    return {
        "name": "Box",
        "shape": list(space.shape),
        "low": numbers(space.low.ravel()),
        "high": numbers(space.high.ravel()),
        "dtype": str(space.dtype),
    }


@describe.register
def _(space: spaces.MultiDiscrete) -> dict[str, Any]:
    return {
        "name": "MultiDiscrete",
        "shape": list(space.shape),
        "nvec": space.nvec.tolist(),
        "start": space.start.tolist(),
        "dtype": str(space.dtype),
    }


@describe.register
def _(space: spaces.MultiBinary) -> dict[str, Any]:
    n = space.n if isinstance(space.n, int) else list(space.shape)
    return {"name": "MultiBinary", "shape": list(space.shape), "n": n}


@decode.register(spaces.Box)
@decode.register(spaces.MultiDiscrete)
@decode.register(spaces.MultiBinary)
def _(space: Any, wire: Any) -> np.ndarray:
    if space.shape == (1,) and not isinstance(wire, (list, np.ndarray)):
        wire = [wire]  # languages without one-element arrays
    flat: list[Any] = []
    _flatten(wire, space.shape, space.dtype.kind, flat, space.shape)
    try:
        array = np.array(flat, dtype=space.dtype).reshape(space.shape)
    except OverflowError:
        array = None
    if array is None or not space.contains(array):
        raise BadValue(f"expected {_bounds(space)}, got {shown(wire)}")
    return array


@encode.register(spaces.Box)
@encode.register(spaces.MultiDiscrete)
@encode.register(spaces.MultiBinary)
def _(space: Any, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"expected an array of numbers, got {shown(value)}")
    if array.dtype.kind == "b" and space.dtype.kind != "b":
        array = array.astype(space.dtype)
    if array.shape != space.shape:
        if array.size != math.prod(space.shape):
            raise ValueError(f"expected shape {list(space.shape)}, got {list(array.shape)}")
        array = array.reshape(space.shape)
    return array


# ---- Tuple and Dict: of other spaces


@describe.register
def _(space: spaces.Tuple) -> dict[str, Any]:
    return {"name": "Tuple", "spaces": [describe(part) for part in space.spaces]}


@decode.register
def _(space: spaces.Tuple, wire: Any) -> tuple[Any, ...]:
    parts = space.spaces
    if not isinstance(wire, list) or len(wire) != len(parts):
        raise BadValue(f"expected a list of {len(parts)} values, got {shown(wire)}")
    return tuple(
        _decode_part(f"[{index}]", part, item)
        for index, (part, item) in enumerate(zip(parts, wire, strict=True))
    )


@encode.register
def _(space: spaces.Tuple, value: Any) -> list[Any]:
    return [encode(part, item) for part, item in zip(space.spaces, value, strict=True)]


@describe.register
def _(space: spaces.Dict) -> dict[str, Any]:
    parts = {str(key): describe(part) for key, part in space.spaces.items()}
    if len(parts) < len(space.spaces):
        raise UnsupportedSpace(f"keys that are one in JSON: {shown(list(space.spaces))}")
    return {"name": "Dict", "keys": list(parts), "spaces": parts}


@decode.register
def _(space: spaces.Dict, wire: Any) -> dict[Any, Any]:
    parts = space.spaces
    names = {str(key) for key in parts}
    if not names and wire == []:  # Lua's empty table
        wire = {}
    if not isinstance(wire, dict) or wire.keys() != names:
        raise BadValue(f"expected an object with the keys {sorted(names)}, got {shown(wire)}")
    return {key: _decode_part(f".{key}", part, wire[str(key)]) for key, part in parts.items()}


@encode.register
def _(space: spaces.Dict, value: Any) -> dict[str, Any]:
    return {str(key): encode(part, value[key]) for key, part in space.spaces.items()}


# ---- what the rows share


def _decode_part(where: str, space: Space[Any], wire: Any) -> Any:
    try:
        return decode(space, wire)
    except BadValue as error:
        separator = "" if error.message.startswith(("[", ".")) else ": "
        raise BadValue(f"{where}{separator}{error.message}") from error


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


def _flatten(
    wire: Any, rest: tuple[int, ...], kind: str, flat: list[Any], shape: tuple[int, ...]
) -> None:
    """Append the numbers of a nested list of shape `rest` to `flat`, each checked for `kind`."""
    if rest:
        if isinstance(wire, np.ndarray):
            wire = wire.tolist()
        if not isinstance(wire, (list, tuple)) or len(wire) != rest[0]:
            raise BadValue(f"expected an array of shape {list(shape)}, got {shown(wire)}")
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
        noun = {"b": "booleans", "f": "numbers"}.get(kind, "integers")
        raise BadValue(f"expected {noun} in an array of shape {list(shape)}, got {shown(wire)}")
    flat.append(number)


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
