"""What can be done with any space: one row a Space class, three columns.

A subclass is served by its parent's row. A space that has none can be given one:

    @describe.register
    def _(space: MySpace): return {"name": "MySpace", "size": space.size}

    @decode.register
    def _(space: MySpace, wire, strict=True): ...

    @encode.register
    def _(space: MySpace, value): ...

in a module that the server imports (`--import`), and by `description.builder` where a client
shall rebuild it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, singledispatch
from typing import Any

from gymnasium import Space

from gym_http.errors import BadValue, UnsupportedSpace, shown


@singledispatch
def describe(space: Space[Any]) -> dict[str, Any]:
    """The space as plain values with arrays at the leaves: `name` and all that
    `space_from_description` needs. v1's keys are pinned: name, n of Discrete, shape, low, high
    (flat) of Box."""
    if is_text(space):
        return TEXT_LIKE
    raise _unsupported(space)


@singledispatch
def decode(space: Space[Any], wire: Any, strict: bool = True) -> Any:
    """The element of `space` that `wire` stands for. Raises BadValue, which says what was wrong.

    strict: whether it has to lie in the space. Environments return what lies outside; a client
    that reads an observation takes it as it is, an array with the dtype that it came with.
    """
    if is_text(space):
        return text_of(space, wire, strict)
    raise _unsupported(space)


@singledispatch
def encode(space: Space[Any], value: Any) -> Any:
    """`value` as wire values, arrays at the leaves. Raises TypeError, ValueError or LookupError
    where an environment returned what isn't of its space's kind."""
    if is_text(space):
        return encoded_text(value)
    raise _unsupported(space)


@lru_cache(maxsize=256)
def row(verb: Any, kind: type) -> Callable[..., Any]:
    """What `verb` does for the spaces of a class. For who asks at each step: singledispatch looks
    it up in as much time as using it takes."""
    return verb.dispatch(kind)


def contains(space: Space[Any], wire: Any) -> bool:
    """Whether `wire` stands for an element of `space`."""
    try:
        decode(space, wire)
    except BadValue:
        return False
    return True


def is_text(space: Any) -> bool:
    """Whether the elements are strings, as those of MiniGrid's MissionSpace, which is no Text."""
    return getattr(getattr(space, "dtype", None), "kind", None) == "U"


# What a client is told of a space of strings that isn't described by its characters.
TEXT_LIKE = {"name": "Text", "min_length": 0, "max_length": 1024, "charset": None}


def text_of(space: Any, wire: Any, strict: bool) -> str:
    if not isinstance(wire, str):
        raise BadValue(f"expected a string, got {shown(wire)}")
    if strict and not space.contains(wire):
        raise BadValue(f"{shown(wire)} is not an element of {shown(space)}")
    return wire


def encoded_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a string, got {shown(value)}")
    value.encode("utf-8")  # half a letter has no wire form
    return str(value)


def _unsupported(space: Any) -> UnsupportedSpace:
    return UnsupportedSpace(
        f"{type(space).__name__} spaces have no wire form; see gym_http.spaces for how to add one"
    )
