"""Which directories of this machine clients may name: where they record, upload from, and what the
files are that an environment's arguments speak of.

A name is looked at twice. As it is written it has to lie under a root, so that what is outside is
not even touched, and nobody learns what is there. With its links followed it has to lie there as
well, so that none leads out.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from gym_http.errors import BadDirectory, ForbiddenDirectory, shown

LONGEST = 4096  # what Linux takes


class Roots:
    """Those of one server: the working directory, the system's temporary one, and what its
    operator named. Found once: a server that changes its directory later keeps them."""

    def __init__(self, named: Iterable[str] = ()) -> None:
        found = [_written(name) for name in named]
        # A service that is started in / (systemd's, a container's) hasn't meant all there is.
        found += [path for path in _usual() if os.path.dirname(os.path.realpath(path)) != path]
        self._real = tuple(dict.fromkeys(os.path.realpath(path) for path in found))
        self._written = tuple(dict.fromkeys([*found, *self._real]))

    def admitted(self, directory: str | os.PathLike[str]) -> Path:
        """The directory, absolute and without links, which need not exist; `~` is the home.

        Raises ForbiddenDirectory, the same whatever there is, and BadDirectory for what can't be
        a name.
        """
        text = os.fspath(directory)
        if "\0" in text or len(text) > LONGEST or not text:
            raise BadDirectory(f"{shown(text)} can't be a directory's name")
        try:
            written = _written(text)
            if _is_under(written, self._written):
                real = os.path.realpath(written)
                if _is_under(real, self._real):
                    return Path(real)
        except (OSError, ValueError) as error:  # no working directory, no text of this system
            raise BadDirectory(f"{shown(text)} can't be a directory's name") from error
        raise ForbiddenDirectory(
            f"{shown(text)} is outside of where clients of this server may read and write: its "
            "working directory, the system's temporary one, and those that it was given with "
            "--data-root"
        )


def require(named: Iterable[str]) -> None:
    """Raises ValueError where one of the operator's roots is no directory."""
    for name in named:
        if not os.path.isdir(_written(name)):
            raise ValueError(f"--data-root {name}: there is no such directory")


def _usual() -> list[str]:
    found = []
    ways: tuple[Callable[[], str], ...] = (os.getcwd, _as_the_shell_has_it, tempfile.gettempdir)
    for way in ways:
        try:
            found.append(_written(way()))
        except OSError:  # a working directory that was deleted, or no temporary one
            continue
    return found


def _as_the_shell_has_it() -> str:
    """The working directory by the links that led there."""
    told, real = os.environ.get("PWD", ""), os.getcwd()
    return told if os.path.isabs(told) and os.path.realpath(told) == real else real


def _written(text: str) -> str:
    """Absolute, without dots; links aren't looked at. Of homes only the server's own is known: a
    name that begins with another's is left, and lies nowhere."""
    if text.startswith("~"):
        if text[1:2] not in ("", "/", os.sep):
            return text
        text = os.path.expanduser(text)
    path = os.path.abspath(text)
    return path[1:] if path.startswith("//") else path  # which POSIX lets stand


def _is_under(path: str, roots: Iterable[str]) -> bool:
    path = os.path.normcase(path)
    for root in map(os.path.normcase, roots):
        if path == root or path.startswith(root.rstrip(os.sep) + os.sep):
            return True
    return False
