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

from gym_http.errors import BadDirectory, RecordingOpen
from gym_http.recording import opening

try:
    import fcntl
except ImportError:  # Windows: a journal that is still written can't be told from a stale one
    fcntl = None  # type: ignore[assignment]

PREFIX = "openaigym"
LONGEST_HOLD_S = 5.0
MOST_ENTRIES = 1_000_000  # of a directory that is looked through
MOST_RECORDINGS = 10_000

# All names that a monitor writes; its second half may be any text in files of Gym's own.
_INFIX = r"\d+\..+"
_NAMES = re.compile(
    rf"{PREFIX}\.(?:manifest\.{_INFIX}\.manifest\.json"
    rf"|episode_batch\.{_INFIX}\.(?:stats\.json|journal\.jsonl)"
    rf"|video\.{_INFIX}\.video\d+\.(?:mp4|json|meta\.json))(?:\.part)?",
    re.DOTALL,
)
_MANIFEST = re.compile(rf"{PREFIX}\.manifest\.(.+)\.manifest\.json", re.DOTALL)
_JOURNAL = re.compile(rf"{PREFIX}\.episode_batch\.(.+)\.journal\.jsonl", re.DOTALL)

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
    return _regular(directory, _MANIFEST)


def journals(directory: Path) -> list[Path]:
    return _regular(directory, _JOURNAL)


def infix_of(path: Path) -> str:
    """`{monitor_id}.{pid}`, which all files of one recording share."""
    found = _MANIFEST.fullmatch(path.name) or _JOURNAL.fullmatch(path.name)
    assert found is not None, path.name
    return found.group(1)


def new_infix(directory: Path) -> str:
    """An infix that no file in `directory` has: a container's process ids come again."""
    taken = [entry.name for entry in _entries(directory) if entry.name.startswith(PREFIX)]
    while True:
        infix = f"{next(_monitor_ids)}.{os.getpid()}"
        if not any(f".{infix}." in name for name in taken):
            return infix


def delete_recordings(directory: Path) -> None:
    """Delete what a monitor wrote into `directory`, and nothing else; of a link, the link."""
    for entry in _entries(directory):
        if _NAMES.fullmatch(entry.name) and not entry.is_dir(follow_symlinks=False):
            Path(entry.path).unlink(missing_ok=True)


def delete_unfinished(directory: Path, infix: str) -> None:
    """Delete what a killed recorder left half written."""
    for entry in _entries(directory):
        ours = f".{infix}." in entry.name and entry.name.endswith(".part")
        if ours and _NAMES.fullmatch(entry.name) and not entry.is_dir(follow_symlinks=False):
            Path(entry.path).unlink(missing_ok=True)


def write_whole(path: Path, content: Any) -> None:
    """Write `content` as JSON so that a reader sees the old file or the new one, never a part."""
    part = path.with_name(path.name + ".part")
    with os.fdopen(opening.made(part), "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(part, path)  # in place of a link as well


def require_readable(directory: Path) -> None:
    """Raises BadDirectory where there is more in `directory` than anybody recorded."""
    count = size = 0
    for entry in _entries(directory):
        if _NAMES.fullmatch(entry.name) and entry.name.endswith((".json", ".jsonl")):
            count += entry.name.endswith((".manifest.json", ".jsonl"))
            size += 0 if ".video." in entry.name else entry.stat(follow_symlinks=False).st_size
    if count > MOST_RECORDINGS or size > opening.MOST_BYTES:
        raise BadDirectory(
            f"{directory} has {count} recordings of {size} bytes; at most {MOST_RECORDINGS} of "
            f"{opening.MOST_BYTES} are read"
        )


@contextmanager
def held(directory: Path, *, make: bool = False) -> Iterator[None]:
    """Keep every other monitor and reader, of this process and of others, out of `directory`.

    For looking at what is there and acting on it, which takes no time; not for the time of a
    recording. The lock is the directory's own, so that no file is left for it. make: it, where
    there is none. Raises RecordingOpen where another process keeps it, and OSError.
    """
    fd = opening.directory(directory, make=make)
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


def _regular(directory: Path, name: re.Pattern[str]) -> list[Path]:
    return sorted(
        Path(entry.path)
        for entry in _entries(directory)
        if name.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
    )


def _entries(directory: Path) -> Iterator[os.DirEntry[str]]:
    """Raises BadDirectory where there are too many to look through."""
    with os.scandir(directory) as found:
        for number, entry in enumerate(found):
            if number >= MOST_ENTRIES:
                raise BadDirectory(f"{directory} has more than {MOST_ENTRIES} files")
            yield entry
