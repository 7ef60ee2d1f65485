"""The names of a recording's files, and the ways of touching them."""

from __future__ import annotations

import itertools
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gym_http.errors import RecordingOpen

try:
    import fcntl
except ImportError:  # Windows: a journal that is still written can't be told from a stale one
    fcntl = None  # type: ignore[assignment]

PREFIX = "openaigym"
LONGEST_HOLD_S = 5.0
_monitor_ids = itertools.count()


def manifest_path(directory: Path, infix: str) -> Path:
    return directory / f"{PREFIX}.manifest.{infix}.manifest.json"


def stats_path(directory: Path, infix: str) -> Path:
    return directory / f"{PREFIX}.episode_batch.{infix}.stats.json"


def journal_path(directory: Path, infix: str) -> Path:
    return directory / f"{PREFIX}.episode_batch.{infix}.journal.jsonl"


def video_path(directory: Path, infix: str, episode: int, suffix: str) -> Path:
    return directory / f"{PREFIX}.video.{infix}.video{episode:06d}{suffix}"


def manifests(directory: Path) -> list[Path]:
    return _regular(directory.glob(f"{PREFIX}.manifest.*.manifest.json"))


def journals(directory: Path) -> list[Path]:
    return _regular(directory.glob(f"{PREFIX}.episode_batch.*.journal.jsonl"))


def infix_of(path: Path) -> str:
    """`{monitor_id}.{pid}`, which all files of one recording share."""
    found = re.match(rf"{PREFIX}\.\w+\.(.+)\.(manifest\.json|journal\.jsonl)$", path.name)
    assert found is not None, path.name
    return found.group(1)


def new_infix(directory: Path) -> str:
    """An infix that no file in `directory` has: a container's process ids come again."""
    while True:
        infix = f"{next(_monitor_ids)}.{os.getpid()}"
        if not any(directory.glob(f"{PREFIX}.*.{infix}.*")):
            return infix


def delete_recordings(directory: Path) -> None:
    """Delete what a monitor wrote into `directory`, and nothing else."""
    for path in directory.glob(f"{PREFIX}.*"):
        if path.is_symlink() or path.is_file():
            path.unlink(missing_ok=True)


def delete_unfinished(directory: Path, infix: str) -> None:
    """Delete what a killed recorder left half written."""
    for path in directory.glob(f"{PREFIX}.*.{infix}.*.part"):
        path.unlink(missing_ok=True)


def write_whole(path: Path, content: Any) -> None:
    """Write `content` as JSON so that a reader sees the old file or the new one, never a part."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content), encoding="utf-8")
    os.replace(part, path)


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Keep every other monitor and reader, of this process and of others, out of `directory`.

    For looking at what is there and acting on it, which takes no time; not for the time of a
    recording. The lock is the directory's own, so that no file is left for it. Raises
    RecordingOpen where another process keeps it.
    """
    fd = os.open(directory, os.O_RDONLY)
    try:
        deadline = time.monotonic() + LONGEST_HOLD_S
        while not lock(fd):
            if time.monotonic() > deadline:
                raise RecordingOpen(f"{directory} is locked by another process")
            time.sleep(0.005)
        yield
    finally:
        os.close(fd)


def lock(fd: int) -> bool:
    """Take the lock of an open file, for as long as it stays open; False where another has it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _regular(paths: Iterator[Path]) -> list[Path]:
    return sorted(path for path in paths if path.is_file())
