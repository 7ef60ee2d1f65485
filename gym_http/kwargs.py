"""What a client may hand to an environment's constructor: plain values, within reason, and paths
only to where clients may read."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from gym_http.errors import BadValue, ForbiddenDirectory, shown
from gym_http.roots import Roots

MOST_VALUES = 100_000
MOST_TEXT = 1024 * 1024  # characters, in all
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1  # what MessagePack carries, and so a snapshot


def checked(kwargs: dict[str, Any], roots: Roots) -> dict[str, Any]:
    """`kwargs` with lists in place of arrays. Raises BadValue, ForbiddenDirectory."""
    walk = _Walk(roots)
    return {walk.text("kwargs", key): walk.value(f"kwargs.{key}", kwargs[key]) for key in kwargs}


class _Walk:
    """Through one client's values, which are counted."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._values = 0
        self._characters = 0

    def value(self, where: str, value: Any) -> Any:
        """where: what a refusal calls it."""
        self._count(where, 1)
        if value is None or isinstance(value, (bool, float)):
            return value
        if isinstance(value, int):
            if not _SMALLEST <= value <= _LARGEST:
                raise BadValue(f"{_cut(where)}: an integer has 64 bits, got {shown(value)}")
            return value
        if isinstance(value, str):
            return self._named(where, self.text(where, value))
        if isinstance(value, np.ndarray):
            if not value.size and value.ndim > 1:  # as lists, (65536, 65536, 0) would be many
                raise BadValue(f"{_cut(where)}: an array of {shown(value.shape)} holds nothing")
            self._count(where, value.size)
            return value.tolist()
        if isinstance(value, dict):
            return {
                self.text(where, key): self.value(f"{where}.{key}", value[key]) for key in value
            }
        if isinstance(value, (list, tuple)):
            items = [self.value(where, one) for one in value]
            return items if isinstance(value, list) else tuple(items)
        raise BadValue(f"{_cut(where)}: expected what JSON has, got {shown(value)}")

    def text(self, where: str, text: Any) -> str:
        if not isinstance(text, str):
            raise BadValue(f"{_cut(where)}: a name is a string, got {shown(text)}")
        self._characters += len(text)
        if self._characters > MOST_TEXT:
            raise BadValue(f"{_cut(where)}: kwargs have more than {MOST_TEXT} characters")
        return text

    def _count(self, where: str, more: int) -> None:
        self._values += more
        if self._values > MOST_VALUES:
            raise BadValue(f"{_cut(where)}: kwargs have more than {MOST_VALUES} values")

    def _named(self, where: str, text: str) -> str:
        """`text`, unless an environment may read a file by it that clients may not.

        A relative name is that of something in the environment's own package, or of a file under
        the working directory; it may not lead up, nor out by a link.
        """
        leads_up = ".." in (text.replace("\\", "/") if os.sep == "\\" else text).split("/")
        is_whole = os.path.isabs(text) or text.startswith("~")
        if leads_up and (not is_whole or os.path.realpath(text) != _without_dots(text)):
            raise ForbiddenDirectory(
                f"{_cut(where)}: {shown(text)} leads up; name what is under a --data-root of this "
                "server by its whole path"
            )
        if is_whole or text.startswith("./") or (_could_be_one(text) and os.path.lexists(text)):
            try:
                self._roots.admitted(text)
            except ForbiddenDirectory as error:
                raise ForbiddenDirectory(f"{_cut(where)}: {error.message}") from None
        return text


def _without_dots(text: str) -> str:
    """Where it leads when `..` is taken by the name alone, which isn't so behind a link."""
    return os.path.realpath(os.path.abspath(text))


def _could_be_one(text: str) -> bool:
    return 0 < len(text) < 4096 and "\0" not in text


def _cut(where: str) -> str:
    return where if len(where) <= 80 else where[:79] + "…"
