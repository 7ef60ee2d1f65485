"""A directory of recordings -> the episodes in it, merged as Gym merges them."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gym_http.errors import BadDirectory, NoRecording, RecordingOpen
from gym_http.recording import files, journal

log = logging.getLogger(__name__)


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
        if not directory.is_dir():
            raise BadDirectory(f"there is no directory {directory}")
    except (OSError, ValueError) as error:
        raise BadDirectory(f"{directory} can't be read: {error}") from error
    if any(journal.is_open(path) for path in files.journals(directory)):
        raise RecordingOpen(f"a monitor is still recording into {directory}; close it first")
    try:
        journal.recover(directory)
    except OSError as error:  # a directory that can only be read is read all the same
        log.info("the journals in %s stay as they are: %s", directory, error)
    except (ValueError, KeyError) as error:
        raise NoRecording(f"a journal in {directory} can't be read: {error}") from error
    sources = _sources(directory)
    if not sources:
        raise NoRecording(f"there is no recording in {directory}")
    return _merge(directory, sources)


def _sources(directory: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(stats, manifest) of every recording in `directory`."""
    sources = []
    journals = files.journals(directory)
    folded_later = {files.infix_of(path) for path in journals}
    for path in files.manifests(directory):
        try:
            if files.infix_of(path) in folded_later:
                continue
            manifest = json.loads(path.read_bytes())
            stats = json.loads((directory / Path(manifest["stats"]).name).read_bytes())
            sources.append((_checked(stats), manifest))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NoRecording(f"{path.name} can't be read: {error}") from error
    for path in journals:
        stats, manifest = journal.read(path)
        if manifest["env_info"]:
            sources.append((stats, manifest))
    return sources


def _checked(stats: dict[str, Any]) -> dict[str, Any]:
    """`stats` with as many types as there are ended episodes. Raises ValueError."""
    ended = len(stats["timestamps"])
    stats["episode_types"] = (stats.get("episode_types") or ["t"] * ended)[:ended]
    for key in ("episode_lengths", "episode_rewards", "episode_types"):
        if len(stats[key]) != ended:
            raise ValueError(f"{len(stats[key])} {key} for {ended} timestamps")
    if ended and not isinstance(stats.get("initial_reset_timestamp"), (int, float)):
        raise ValueError("initial_reset_timestamp is missing")
    return stats


def _merge(directory: Path, sources: list[tuple[dict[str, Any], dict[str, Any]]]) -> Recording:
    env_info = sources[0][1]["env_info"]
    if any(manifest["env_info"] != env_info for _, manifest in sources):
        raise NoRecording(f"the recordings in {directory} are of different environments")
    episodes = []
    for number, (stats, _) in enumerate(sources):
        columns = (
            stats[key]
            for key in ("timestamps", "episode_lengths", "episode_rewards", "episode_types")
        )
        episodes += [(*row, number) for row in zip(*columns, strict=True)]
    if not episodes:
        raise NoRecording(f"no episode was finished in {directory}")
    episodes.sort(key=lambda row: row[0])
    timestamps, lengths, rewards, types, data_sources = map(list, zip(*episodes, strict=True))
    first = min(stats["initial_reset_timestamp"] for stats, _ in sources if stats["timestamps"])
    videos = [
        (directory / Path(video).name, directory / Path(meta).name)
        for _, manifest in sources
        for video, meta in manifest["videos"]
    ]
    return Recording(env_info, first, timestamps, lengths, rewards, types, data_sources, videos)
