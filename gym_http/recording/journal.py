"""A recording while it grows: one line an episode, appended to a file.

A line is in the operating system's hands before the episode's last step is answered, so that a
kill -9 takes no finished episode, and its cost doesn't depend on how many there were. Whoever
comes next (the recorder when it closes, or a reader after a crash) folds the journal into Gym's
stats file and manifest, with the directory held.

An open journal is locked. The lock ends with its process, however that ends, so that a journal
which can be locked is one that nobody writes any more.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from gym_http.recording import files, opening
from gym_http.recording.form import Length, Manifest, Stats

log = logging.getLogger(__name__)

LONGEST_LINE = 1024 * 1024  # bytes; our own have a few hundred


class Journal:
    """The one writer of a journal."""

    def __init__(self, directory: Path, infix: str, env_info: dict[str, Any]) -> None:
        """The caller holds the directory. Raises OSError, and then leaves nothing behind."""
        self._path = files.journal_path(directory, infix)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        self._fd = os.open(self._path, flags, 0o644)
        self._size = 0
        try:
            files.lock(self._fd)
            self._write(kind="start", env_info=env_info)
        except OSError:
            self._path.unlink(missing_ok=True)
            os.close(self._fd)
            raise

    def first_reset(self, timestamp: float) -> None:
        self._write(kind="first_reset", timestamp=timestamp)

    def episode(self, timestamp: float, length: int, reward: float) -> None:
        self._write(kind="episode", timestamp=timestamp, length=length, reward=reward, type="t")

    def video(self, video: str, meta: str) -> None:
        self._write(kind="video", video=video, meta=meta)

    def close(self) -> None:
        """Fold the journal into Gym's files and delete it."""
        try:
            with files.held(self._path.parent):
                fold(self._path)
        finally:
            os.close(self._fd)

    def _write(self, **line: Any) -> None:
        """Append a line, whole or not at all. Raises OSError."""
        data = json.dumps(line).encode() + b"\n"
        written = os.write(self._fd, data)
        if written < len(data):
            os.ftruncate(self._fd, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written


def read(path: Path) -> tuple[Stats, Manifest]:
    """What the journal at `path` tells. A line that can't be read is passed over: one torn by a
    kill is the last, and whatever else befell one, the others still hold."""
    stats = Stats()
    manifest = Manifest(stats=files.stats_path(path.parent, files.infix_of(path)).name)
    for text in _lines(path):
        try:
            if len(text) > LONGEST_LINE:
                raise ValueError(f"it has {len(text)} bytes")
            line = msgspec.convert(json.loads(text), _Line)
        except (ValueError, OverflowError, RecursionError) as error:
            log.warning("%s: a line can't be read: %s", path.name, error)
            continue
        if line.kind == "start":
            manifest.env_info = line.env_info
        elif line.kind == "first_reset":
            stats.initial_reset_timestamp = line.timestamp
        elif line.kind == "episode":
            stats.timestamps.append(line.timestamp)
            stats.episode_lengths.append(line.length)
            stats.episode_rewards.append(line.reward)
            stats.episode_types.append(line.type)
        elif line.kind == "video":
            manifest.videos.append((line.video, line.meta))
    return stats, manifest


def _lines(path: Path) -> Iterator[bytes]:
    with os.fdopen(opening.opened(path), "rb") as file:
        for text in file:
            if text.endswith(b"\n"):  # else it is torn
                yield text


class _Line(msgspec.Struct):
    kind: str
    env_info: dict[str, Any] = {}
    timestamp: float = 0.0
    length: Length = 0
    reward: float = 0.0
    type: str = "t"
    video: str = ""
    meta: str = ""


def fold(path: Path) -> None:
    """Write the stats file and then the manifest, whose presence says complete; end the journal."""
    infix = files.infix_of(path)
    stats, manifest = read(path)
    if manifest.env_info:  # else it was killed before its first line was whole
        files.write_whole(files.stats_path(path.parent, infix), msgspec.to_builtins(stats))
        files.write_whole(files.manifest_path(path.parent, infix), msgspec.to_builtins(manifest))
    path.unlink()


def is_open(path: Path) -> bool:
    """Whether some process still writes this journal. The caller holds the directory."""
    fd = opening.opened(path)
    try:
        return not files.lock(fd)
    finally:
        os.close(fd)


def recover(directory: Path) -> None:
    """Fold the journals that killed processes left. The caller holds the directory."""
    for path in files.journals(directory):
        if not is_open(path):
            files.delete_unfinished(directory, files.infix_of(path))
            fold(path)
