"""What an environment tells beside its observation: any Python value, made fit for the wire."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np

DEEPEST = 32  # a cycle ends here too


class Told(dict[str, Any]):
    """An info as wire values already, and the paths of what had to be left out."""

    def __init__(self, told: dict[str, Any], dropped: list[str]) -> None:
        super().__init__(told)
        self.dropped = dropped

    def __reduce__(self) -> Any:
        return Told, (dict(self), self.dropped)


def owned(told: Any) -> Any:
    """Wire values with arrays of their own."""
    kind = type(told)
    if kind is dict or kind is Told:
        return {name: owned(value) for name, value in told.items()}
    if kind is list:
        return [owned(value) for value in told]
    return told.copy() if kind is np.ndarray else told


class _Unfit(Exception):
    """This value can't be carried."""


def wire_info(info: object) -> tuple[dict[str, Any], list[str]]:
    """(info as wire values, the paths of what had to be left out).

    Arrays stay arrays; tuples and sets become lists; keys become strings. A float that JSON
    can't say becomes NumPy's, which lets the encoding decide.
    """
    if info is None:
        return {}, []
    if not isinstance(info, Mapping):
        return {}, ["."]
    dropped: list[str] = []
    return _mapping(info, "", dropped, 0), dropped


def _mapping(value: Mapping[Any, Any], path: str, dropped: list[str], depth: int) -> dict[str, Any]:
    wire = {}
    for key, item in value.items():
        name = key if isinstance(key, str) else str(key)
        where = f"{path}.{name}" if path else name
        try:
            if name in wire:  # 1 and "1" are one key
                raise _Unfit
            wire[_text(name)] = _value(item, where, dropped, depth + 1)
        except _Unfit:
            dropped.append(where.encode("utf-8", "replace").decode())
    return wire


def _list(values: Iterable[Any], path: str, dropped: list[str], depth: int) -> list[Any]:
    wire = []
    for index, item in enumerate(values):
        where = f"{path}[{index}]"
        try:
            wire.append(_value(item, where, dropped, depth + 1))
        except _Unfit:  # null keeps its neighbours' places
            dropped.append(where)
            wire.append(None)
    return wire


def _value(value: Any, path: str, dropped: list[str], depth: int) -> Any:
    if depth > DEEPEST:
        raise _Unfit
    if isinstance(value, np.generic):
        value = float(value) if isinstance(value, np.floating) else value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise _Unfit
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else np.float64(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "biuf":
            return np.array(value)  # a copy: the environment may go on writing into its own
        return _value(value.tolist(), path, dropped, depth + 1)  # a list, or a 0-d array's element
    if isinstance(value, Mapping):
        return _mapping(value, path, dropped, depth)
    if isinstance(value, (list, tuple)):
        return _list(value, path, dropped, depth)
    if isinstance(value, (set, frozenset)):
        by = None if all(isinstance(item, Real) for item in value) else repr  # 10 comes after 9
        return _list(sorted(value, key=by), path, dropped, depth)
    raise _Unfit


def _text(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _Unfit from None
    return str(text)
