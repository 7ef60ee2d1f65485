"""The spaces made of others: Tuple, Dict, OneOf, Sequence, Graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import Space, spaces
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from gym_http.errors import BadValue, UnsupportedSpace, shown
from gym_http.spaces.plain import NUMBERS
from gym_http.spaces.verbs import decode, describe, encode

GRAPH_PARTS = ("nodes", "edges", "edge_links")


# ---- Tuple: a list with an element of each


@describe.register
def _(space: spaces.Tuple) -> dict[str, Any]:
    return {"name": "Tuple", "spaces": [describe(part) for part in space.spaces]}


@decode.register
def _(space: spaces.Tuple, wire: Any, strict: bool = True) -> tuple[Any, ...]:
    parts = space.spaces
    if isinstance(wire, np.ndarray) and wire.shape[:1] == (len(parts),):
        wire = list(wire)
    if not isinstance(wire, list) or len(wire) != len(parts):
        raise BadValue(f"expected a list of {len(parts)} values, got {shown(wire)}")
    return tuple(
        _decode_part(f"[{index}]", part, item, strict)
        for index, (part, item) in enumerate(zip(parts, wire, strict=True))
    )


@encode.register
def _(space: spaces.Tuple, value: Any) -> list[Any]:
    return [encode(part, item) for part, item in zip(space.spaces, value, strict=True)]


# ---- Dict: an object with an element for each key


@describe.register
def _(space: spaces.Dict) -> dict[str, Any]:
    parts = {str(key): describe(part) for key, part in space.spaces.items()}
    if len(parts) < len(space.spaces):
        raise UnsupportedSpace(f"keys that are one in JSON: {shown(list(space.spaces))}")
    return {"name": "Dict", "keys": list(parts), "spaces": parts}


@decode.register
def _(space: spaces.Dict, wire: Any, strict: bool = True) -> dict[Any, Any]:
    parts = space.spaces
    names = {str(key) for key in parts}
    if not names and isinstance(wire, list) and not wire:  # Lua's empty table
        wire = {}
    if not isinstance(wire, dict) or wire.keys() != names:
        raise BadValue(f"expected an object with the keys {sorted(names)}, got {shown(wire)}")
    return {
        key: _decode_part(f".{key}", part, wire[str(key)], strict) for key, part in parts.items()
    }


@encode.register
def _(space: spaces.Dict, value: Any) -> dict[str, Any]:
    return {str(key): encode(part, value[key]) for key, part in space.spaces.items()}


# ---- OneOf: [which space, its element]


@describe.register
def _(space: spaces.OneOf) -> dict[str, Any]:
    return {"name": "OneOf", "spaces": [describe(part) for part in space.spaces]}


@decode.register
def _(space: spaces.OneOf, wire: Any, strict: bool = True) -> tuple[Any, Any]:
    if not isinstance(wire, list) or len(wire) != 2:
        raise BadValue(f"expected [which space, its element], got {shown(wire)}")
    which = _decode_part("[0]", spaces.Discrete(len(space.spaces)), wire[0], True)
    return which, _decode_part("[1]", space.spaces[which], wire[1], strict)


@encode.register
def _(space: spaces.OneOf, value: Any) -> list[Any]:
    which, element = value
    return [int(which), encode(space.spaces[int(which)], element)]


# ---- Sequence: a list of elements; stacked, one array where the elements are numbers


@describe.register
def _(space: spaces.Sequence) -> dict[str, Any]:
    return {"name": "Sequence", "space": describe(space.feature_space), "stack": space.stack}


@decode.register
def _(space: spaces.Sequence, wire: Any, strict: bool = True) -> Any:
    if space.stack:
        return decode_batch("", space.feature_space, wire, strict)
    return tuple(decode_list("", space.feature_space, wire, strict))


@encode.register
def _(space: spaces.Sequence, value: Any) -> Any:
    if space.stack:
        return _encode_batch(space.feature_space, value)
    return [encode(space.feature_space, item) for item in value]


# ---- Graph: {nodes, edges, edge_links}, the last two null where there are none


@describe.register
def _(space: spaces.Graph) -> dict[str, Any]:
    edges = None if space.edge_space is None else describe(space.edge_space)
    return {"name": "Graph", "node_space": describe(space.node_space), "edge_space": edges}


@decode.register
def _(space: spaces.Graph, wire: Any, strict: bool = True) -> spaces.GraphInstance:
    if not isinstance(wire, dict) or wire.keys() != set(GRAPH_PARTS):
        raise BadValue(f"expected an object with the keys {list(GRAPH_PARTS)}, got {shown(wire)}")
    nodes = decode_batch(".nodes", space.node_space, wire["nodes"], strict)
    if wire["edges"] is None and wire["edge_links"] is None:
        return spaces.GraphInstance(nodes, None, None)
    if space.edge_space is None:
        raise BadValue(f".edges: expected null, got {shown(wire['edges'])}")
    edges = decode_batch(".edges", space.edge_space, wire["edges"], strict)
    pairs = spaces.Box(0, max(len(wire["nodes"]) - 1, 0), (len(wire["edges"]), 2), np.int32)
    links = _decode_part(".edge_links", pairs, wire["edge_links"], strict)
    if strict and not len(wire["nodes"]) and len(wire["edges"]):
        raise BadValue(".edge_links: there are no nodes")
    return spaces.GraphInstance(nodes, edges, links)


@encode.register
def _(space: spaces.Graph, value: Any) -> dict[str, Any]:
    nodes = _encode_batch(space.node_space, value.nodes)
    if value.edges is None:
        return {"nodes": nodes, "edges": None, "edge_links": None}
    if space.edge_space is None:
        raise ValueError("expected a graph without edges")
    edges, links = _encode_batch(space.edge_space, value.edges), np.array(value.edge_links)
    if links.dtype.kind not in "iu":
        raise TypeError(f"expected edge links, pairs of node numbers, got {shown(links)}")
    return {"nodes": nodes, "edges": edges, "edge_links": links}


# ---- what the rows share


def _decode_part(where: str, space: Space[Any], wire: Any, strict: bool) -> Any:
    try:
        return decode(space, wire, strict)
    except BadValue as error:
        separator = "" if error.message.startswith(("[", ".")) or not where else ": "
        raise BadValue(f"{where}{separator}{error.message}") from error


def decode_list(where: str, space: Space[Any], wire: Any, strict: bool) -> list[Any]:
    _check_list(where, wire)
    return [
        _decode_part(f"{where}[{index}]", space, item, strict) for index, item in enumerate(wire)
    ]


def _check_sizes(where: str, shape: tuple[int, ...], wire: Any) -> None:
    """That each item has the shape, before room is made for them all."""
    for index, item in enumerate(wire):
        inner: Any = item
        for size in shape:
            if not _is_list(inner) or len(inner) != size:
                raise BadValue(
                    f"{where}[{index}]: expected an array of shape {list(shape)}, got {shown(item)}"
                )
            if not size:
                break
            inner = inner[0]


def _is_list(wire: Any) -> bool:
    return isinstance(wire, list) or (isinstance(wire, np.ndarray) and wire.ndim > 0)


def _check_list(where: str, wire: Any) -> None:
    if not _is_list(wire):
        raise BadValue(f"{where}: expected a list, got {shown(wire)}".removeprefix(": "))


def decode_batch(where: str, space: Space[Any], wire: Any, strict: bool) -> Any:
    """Several elements of `space`, as its batches are: stacked where they are numbers."""
    _check_list(where, wire)
    if type(space) in NUMBERS and len(wire):
        # A batch's bounds are as large as the batch: first its elements have to be of a size.
        _check_sizes(where, space.shape or (), wire)
        return _decode_part(where, batch_space(space, len(wire)), wire, strict)
    items = decode_list(where, space, wire, strict)
    room: Any = create_empty_array(space, len(items))
    return concatenate(space, items, room) if items else room


def _encode_batch(space: Space[Any], batch: Any) -> Any:
    """A batch of elements: one array where they are numbers, else a list of them."""
    if isinstance(space, NUMBERS):
        return encode(batch_space(space, len(batch)), batch)
    return [encode(space, item) for item in iterate(batch_space(space, 1), batch)]
