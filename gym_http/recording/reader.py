"""A directory of recordings -> the episodes in it, merged as Gym merges them."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gym_http.errors import BadDirectory, NoRecording, RecordingOpen
from gym_http.recording import files, journal, opening
from gym_http.recording.form import Manifest, Stats

log = logging.getLogger(__name__)

LONGEST_ENV_ID, LONGEST_ENGINE = 255, 12  # as the scoreboard has room
MOST_CONTAINERS = 1_000_000  # lists and objects of a file, of which an empty one takes 60 bytes


@dataclass(frozen=True)
class Recording:
    """Episodes in the order of their ends. The five lists are of one length."""

    env_info: dict[str, Any]
    initial_reset_timestamp: float  # epoch seconds of the first reset of all
    timestamps: list[float]  # epoch seconds of each episode's end
    episode_lengths: list[int]
    episode_rewards: list[float]
    episode_types: list[str]
    data_sources: list[int]  # which stats file the episode came from
    videos: list[tuple[Path, Path]]


def load(directory: Path) -> Recording:
    """All recordings in `directory` as one. Raises BadDirectory, NoRecording, RecordingOpen.

    Only complete episodes count. Recordings that a killed server left are folded first.
    """
    try:
        with files.held(directory):
            files.require_readable(directory)
            sources = _sources(directory)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadDirectory(f"there is no directory {directory}") from error
    except OSError as error:
        raise BadDirectory(f"{directory} can't be read: {error.strerror}") from error
    if not sources:
        raise NoRecording(f"there is no recording in {directory}")
    return _merge(directory, sources)


def env_infos(directory: Path) -> list[dict[str, Any]]:
    """What each recording in `directory` is of. The caller holds the directory."""
    return [manifest.env_info for _, manifest in _read_all(directory)]


def _sources(directory: Path) -> list[tuple[Stats, Manifest]]:
    """(stats, manifest) of every recording in `directory`, which the caller holds."""
    if any(journal.is_open(path) for path in files.journals(directory)):
        raise RecordingOpen(f"a monitor is still recording into {directory}; close it first")
    try:
        journal.recover(directory)
    except OSError as error:  # a directory that can only be read is read all the same
        log.info("the journals in %s stay as they are: %s", directory, error)
    return _read_all(directory)


def _read_all(directory: Path) -> list[tuple[Stats, Manifest]]:
    sources = []
    journals = files.journals(directory)
    folded_later = {files.infix_of(path) for path in journals}
    for path in files.manifests(directory):
        if files.infix_of(path) in folded_later:
            continue
        try:
            manifest = _checked(path, Manifest)
            stats = _checked(directory / Path(manifest.stats).name, Stats)
        except (OSError, ValueError, OverflowError, RecursionError) as error:
            raise NoRecording(f"{path.name} can't be read: {_told(error)}") from error
        sources.append((_whole(stats, path), manifest))
    for path in journals:
        stats, manifest = journal.read(path)
        if manifest.env_info:
            sources.append((stats, manifest))
    return sources


def _checked(path: Path, form: Any) -> Any:
    """The JSON file as `form`. Raises OSError, ValueError (as msgspec's is), OverflowError,
    RecursionError. (Gym writes NaN, so it's Python's reader.)"""
    text = opening.content(path)
    if text.count(b"[") + text.count(b"{") > MOST_CONTAINERS:
        raise ValueError(f"more than {MOST_CONTAINERS} lists and objects")
    return msgspec.convert(json.loads(text), form)


def _told(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _whole(stats: Stats, path: Path) -> Stats:
    """`stats` with as many types as there are ended episodes. Raises NoRecording."""
    ended = len(stats.timestamps)
    stats.episode_types = (stats.episode_types or ["t"] * ended)[:ended]
    for name in ("episode_lengths", "episode_rewards", "episode_types"):
        if len(getattr(stats, name)) != ended:
            raise NoRecording(f"{path.name}: its {name} are not as many as its timestamps")
    if ended and stats.initial_reset_timestamp is None:
        raise NoRecording(f"{path.name}: initial_reset_timestamp is missing")
    return stats


def _merge(directory: Path, sources: list[tuple[Stats, Manifest]]) -> Recording:
    env_info = sources[0][1].env_info
    if any(manifest.env_info != env_info for _, manifest in sources):
        raise NoRecording(f"the recordings in {directory} are of different environments")
    names = env_info.get("env_id"), env_info.get("engine") or "gym"  # Gym's own files name none
    for name, longest in zip(names, (LONGEST_ENV_ID, LONGEST_ENGINE), strict=True):
        if not isinstance(name, str) or not 0 < len(name) <= longest or not name.isprintable():
            raise NoRecording(f"the recordings in {directory} don't say of which environment")
    episodes = []
    for number, (stats, _) in enumerate(sources):
        columns = (
            stats.timestamps,
            stats.episode_lengths,
            stats.episode_rewards,
            stats.episode_types,
        )
        episodes += [(*row, number) for row in zip(*columns, strict=True)]
    if not episodes:
        raise NoRecording(f"no episode was finished in {directory}")
    episodes.sort(key=lambda row: row[0])
    timestamps, lengths, rewards, types, data_sources = map(list, zip(*episodes, strict=True))
    resets = [stats.initial_reset_timestamp for stats, _ in sources if stats.timestamps]
    first = min((reset for reset in resets if reset is not None), default=timestamps[0])
    videos = [
        (directory / Path(video).name, directory / Path(meta).name)
        for _, manifest in sources
        for video, meta in manifest.videos
    ]
    return Recording(env_info, first, timestamps, lengths, rewards, types, data_sources, videos)
