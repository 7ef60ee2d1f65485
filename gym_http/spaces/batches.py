"""Several encoded elements as one value, the way Gymnasium's batches are made: arrays for spaces of
numbers, for a Dict and a Tuple the batch of each part, and lists for the rest.

Source: gymnasium.vector.utils.batch_space.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import Space, spaces

from gym_http.errors import BadValue
from gym_http.spaces.composite import decode_batch, decode_list
from gym_http.spaces.plain import NUMBERS, decode_rows


def decode_each(name: str, space: Space[Any], wire: Any) -> Sequence[Any] | np.ndarray:
    """The elements of `space` in `wire`, a list of them or an array; one array where they are of
    numbers. Raises BadValue, which names the first that is none: `name[57]: …`."""
    if type(space) not in NUMBERS:
        return decode_list(name, space, wire, True)
    try:
        if isinstance(wire, np.ndarray):
            rows = decode_rows(space, wire)
        else:
            rows = decode_batch(name, space, wire, True)
        if space.shape or isinstance(space, spaces.Discrete):
            return rows
        return list(map(np.asarray, rows))  # of a Box without dimensions: arrays, not scalars
    except BadValue:
        return decode_list(name, space, wire, True)


def stacked(space: Space[Any], elements: Sequence[Any]) -> Any:
    """Encoded elements as one; a list where one of them, None, isn't known."""
    if any(element is None for element in elements):
        return list(elements)
    if isinstance(space, spaces.Dict):
        return {
            str(key): stacked(part, [element[str(key)] for element in elements])
            for key, part in space.spaces.items()
        }
    if isinstance(space, spaces.Tuple):
        return [
            stacked(part, [element[index] for element in elements])
            for index, part in enumerate(space.spaces)
        ]
    if not isinstance(space, NUMBERS):
        return list(elements)
    if not elements:
        return np.zeros((0, *(space.shape or ())), space.dtype)
    return np.array(elements)


def listed(space: Space[Any], elements: Sequence[Any]) -> Any:
    """Encoded elements as `decode_each` takes them: an array of numbers, else a list."""
    return stacked(space, elements) if isinstance(space, NUMBERS) else list(elements)


def element(space: Space[Any], batch: Any, index: int) -> Any:
    """The element of `space` that has that place in a batch."""
    if isinstance(space, spaces.Dict):
        return {
            str(key): element(part, batch[str(key)], index) for key, part in space.spaces.items()
        }
    if isinstance(space, spaces.Tuple):
        return [element(part, one, index) for part, one in zip(space.spaces, batch, strict=True)]
    return batch[index]


def is_sized(space: Space[Any]) -> bool:
    """Whether all its elements have the size that `size_of` tells."""
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        parts = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        return all(map(is_sized, parts))
    return isinstance(space, NUMBERS)


def size_of(space: Space[Any]) -> int:
    """The bytes of an element's arrays; what else it has isn't counted."""
    if isinstance(space, spaces.Dict):
        return sum(map(size_of, space.spaces.values()))
    if isinstance(space, spaces.Tuple):
        return sum(map(size_of, space.spaces))
    if not isinstance(space, NUMBERS) or space.dtype is None:
        return 0
    return math.prod(space.shape or ()) * space.dtype.itemsize
