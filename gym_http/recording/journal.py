"""A recording while it grows: one line an episode, appended to a file.

A line is in the operating system's hands before the episode's last step is answered, so that a
kill -9 takes no finished episode, and its cost doesn't depend on how many there were. Whoever
comes next (the recorder when it closes, or a reader after a crash) folds the journal into Gym's
stats file and manifest.

An open journal is locked. The lock ends with its process, however that ends, so that a journal
which can be locked is one that nobody writes any more.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from gym_http.recording import files

try:
    import fcntl
except ImportError:  # Windows: a journal that is still written can't be told from a stale one
    fcntl = None  # type: ignore[assignment]


class Journal:
    """The one writer of a journal."""

    def __init__(self, directory: Path, infix: str, env_info: dict[str, Any]) -> None:
        self._path = files.journal_path(directory, infix)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        self._fd = os.open(self._path, flags, 0o644)
        _lock(self._fd)
        self._write(kind="start", env_info=env_info)

    def first_reset(self, timestamp: float) -> None:
        self._write(kind="first_reset", timestamp=timestamp)

    def episode(self, timestamp: float, length: int, reward: float) -> None:
        self._write(kind="episode", timestamp=timestamp, length=length, reward=reward, type="t")

    def video(self, video: str, meta: str) -> None:
        self._write(kind="video", video=video, meta=meta)

    def close(self) -> None:
        """Fold the journal into Gym's files and delete it."""
        try:
            fold(self._path)
        finally:
            os.close(self._fd)

    def _write(self, **line: Any) -> None:
        os.write(self._fd, json.dumps(line).encode() + b"\n")


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(stats, manifest) of the journal at `path`, up to its last whole line."""
    infix = files.infix_of(path)
    stats: dict[str, Any] = {
        "initial_reset_timestamp": None,
        "timestamps": [],
        "episode_lengths": [],
        "episode_rewards": [],
        "episode_types": [],
    }
    manifest: dict[str, Any] = {
        "stats": files.stats_path(path.parent, infix).name,
        "videos": [],
        "env_info": {},
    }
    for text in path.read_bytes().split(b"\n")[:-1]:  # what follows the last newline is torn
        line = json.loads(text)
        if line["kind"] == "start":
            manifest["env_info"] = line["env_info"]
        elif line["kind"] == "first_reset":
            stats["initial_reset_timestamp"] = line["timestamp"]
        elif line["kind"] == "episode":
            stats["timestamps"].append(line["timestamp"])
            stats["episode_lengths"].append(line["length"])
            stats["episode_rewards"].append(line["reward"])
            stats["episode_types"].append(line["type"])
        elif line["kind"] == "video":
            manifest["videos"].append([line["video"], line["meta"]])
    return stats, manifest


def fold(path: Path) -> None:
    """Write the stats file and then the manifest, whose presence says complete; end the journal."""
    infix = files.infix_of(path)
    stats, manifest = read(path)
    if manifest["env_info"]:  # else it was killed before its first line was whole
        files.write_whole(files.stats_path(path.parent, infix), stats)
        files.write_whole(files.manifest_path(path.parent, infix), manifest)
    path.unlink()


def is_open(path: Path) -> bool:
    """Whether some process still writes this journal."""
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _lock(fd)
    finally:
        os.close(fd)


def recover(directory: Path) -> None:
    """Fold the journals that killed processes left in `directory`."""
    for path in files.journals(directory):
        if not is_open(path):
            files.delete_unfinished(directory, files.infix_of(path))
            fold(path)


def _lock(fd: int) -> bool:
    """Take the lock of an open journal; False where another holds it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
