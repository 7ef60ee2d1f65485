"""A description -> a Space equal to the one that it was made of. For clients."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import Space, spaces

from gym_http.errors import shown
from gym_http.wire import JSON_INFINITY

_builders: dict[str, Callable[[Any], Space[Any]]] = {}


def space_from_description(description: dict[str, Any]) -> Space[Any]:
    """The space that `GET …/action_space/` or `…/observation_space/` describes under `info`.

    Raises ValueError for what is no description of a known space.
    """
    try:
        return _builders[description["name"]](description)
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise ValueError(f"no description of a known space: {shown(description)}") from error


def builder(name: str) -> Callable[[Any], Any]:
    """Let the decorated function rebuild the spaces of that name, from their descriptions."""

    def register(build: Callable[[Any], Space[Any]]) -> Any:
        _builders[name] = build
        return build

    return register


class AnyText(spaces.Text):
    """Strings of which only the length is known: its samples are printable ASCII."""

    def __init__(self, max_length: int, *, min_length: int = 0) -> None:
        super().__init__(max_length, min_length=min_length, charset=string.printable)

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and self.min_length <= len(x) <= self.max_length


@builder("Discrete")
def _discrete(facts: Any) -> Space[Any]:
    return spaces.Discrete(facts["n"], start=facts["start"], dtype=np.dtype(facts["dtype"]))


@builder("Text")
def _text(facts: Any) -> Space[Any]:
    least, most, charset = facts["min_length"], facts["max_length"], facts["charset"]
    if charset is None:
        return AnyText(most, min_length=least)
    return spaces.Text(most, min_length=least, charset=charset)


@builder("Box")
def _box(facts: Any) -> Space[Any]:
    shape, dtype = tuple(facts["shape"]), np.dtype(facts["dtype"])
    low, high = (_bounds(facts[end], dtype).reshape(shape) for end in ("low", "high"))
    return spaces.Box(low, high, shape, dtype)


@builder("MultiDiscrete")
def _multi_discrete(facts: Any) -> Space[Any]:
    dtype = np.dtype(facts["dtype"])
    nvec, start = (np.array(facts[key], dtype) for key in ("nvec", "start"))
    return spaces.MultiDiscrete(nvec, dtype, start=start)


@builder("MultiBinary")
def _multi_binary(facts: Any) -> Space[Any]:
    return spaces.MultiBinary(facts["n"])


@builder("Tuple")
def _tuple(facts: Any) -> Space[Any]:
    return spaces.Tuple([space_from_description(part) for part in facts["spaces"]])


@builder("Dict")
def _dict(facts: Any) -> Space[Any]:
    parts = facts["spaces"]
    return spaces.Dict([(key, space_from_description(parts[key])) for key in facts["keys"]])


@builder("OneOf")
def _one_of(facts: Any) -> Space[Any]:
    return spaces.OneOf([space_from_description(part) for part in facts["spaces"]])


@builder("Sequence")
def _sequence(facts: Any) -> Space[Any]:
    return spaces.Sequence(space_from_description(facts["space"]), stack=facts["stack"])


@builder("Graph")
def _graph(facts: Any) -> Space[Any]:
    edges = facts["edge_space"]
    return spaces.Graph(
        space_from_description(facts["node_space"]),
        None if edges is None else space_from_description(edges),
    )


def _bounds(flat: Any, dtype: np.dtype[Any]) -> np.ndarray:
    """Bounds as JSON (±1e100 for ±Infinity, null for NaN) or MessagePack carries them."""
    if dtype.kind != "f" or isinstance(flat, np.ndarray):
        return np.array(flat, dtype)
    bounds = np.array(flat, np.float64)  # None becomes NaN
    bounds[bounds >= JSON_INFINITY] = np.inf
    bounds[bounds <= -JSON_INFINITY] = -np.inf
    return bounds.astype(dtype)
