"""Opening what others may have put there: no link is followed, no pipe waited for, and what is
made is new. A shared directory, such as the system's temporary one, has others in it."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

MOST_BYTES = 256 * 1024 * 1024  # of the recordings in one directory that are read

# Windows has none of these.
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
_SEARCH = getattr(os, "O_PATH", os.O_RDONLY)


def made(path: Path) -> int:
    """A new file, open to be written; what had its name, perhaps a link that somebody laid, is no
    more. Raises OSError."""
    path.unlink(missing_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o644)


def opened(path: Path) -> int:
    """A file to be read. Raises OSError, also where it is a link, or a pipe or a device, which may
    keep a reader waiting for ever."""
    fd = os.open(path, os.O_RDONLY | _NO_LINK | _NO_WAIT)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return fd


def content(path: Path) -> bytes:
    """Raises OSError, also where it is too large."""
    with os.fdopen(opened(path), "rb") as file:
        found = file.read(MOST_BYTES + 1)
    if len(found) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"larger than {MOST_BYTES} bytes", str(path))
    return found


def directory(path: Path, *, make: bool = False) -> int:
    """The directory, reached without following any link. make: what is missing of it.

    Raises OSError. `path` has had its links followed (`roots`); one that was laid since then
    isn't. Where the system can't open one directory in another, the last one is all that is seen.
    """
    if os.open not in os.supports_dir_fd or not _DIRECTORY:
        if make:
            path.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDONLY | _NO_LINK)
    fd = os.open(path.anchor or ".", _SEARCH | _DIRECTORY)
    try:
        for part in path.parts[bool(path.anchor) :]:
            if make:
                _make(part, fd)
            last, fd = fd, os.open(part, _SEARCH | _DIRECTORY | _NO_LINK, dir_fd=fd)
            os.close(last)
        return os.open(".", os.O_RDONLY | _DIRECTORY | _NO_LINK, dir_fd=fd)
    finally:
        os.close(fd)


def _make(name: str, parent: int) -> None:
    try:
        os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another monitor's, made meanwhile
            os.mkdir(name, dir_fd=parent)
