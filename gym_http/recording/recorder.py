"""The monitor: watches one instance's resets and steps, and records its episodes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gym_http.errors import BadDirectory, RecordingExists, RecordingOpen, StorageFailed
from gym_http.progress import Stepped
from gym_http.recording import files, journal, reader
from gym_http.recording.video import Video

log = logging.getLogger(__name__)

MOST_FILMS = 8  # at a time, of one vector environment; an encoder takes 15 MB


@dataclass(frozen=True)
class Subject:
    """What a recorder has to know of the instance that it watches."""

    env_info: dict[str, Any]  # gym_version, env_id, engine
    fps: float
    frames: Callable[[], Sequence[Any]]  # of each environment
    num_envs: int = 1


@dataclass
class Track:
    """One environment's running episode."""

    length: int = 0
    reward: float = 0.0
    video: Video | None = None


def never(episode: int) -> bool:
    return False


def gyms_schedule(episode: int) -> bool:
    """The cubes below 1000, then every 1000th."""
    if episode < 1000:
        return round(episode ** (1 / 3)) ** 3 == episode
    return episode % 1000 == 0


def every(n: int) -> Callable[[int], bool]:
    return lambda episode: episode % n == 0


class Recorder:
    """Records until closed. The disk's failures are kept for `close`: an agent's step that the
    environment made is answered, whatever happens to its recording."""

    def __init__(
        self,
        directory: Path,
        subject: Subject,
        film: Callable[[int], bool],
        clock: Callable[[], float],
        *,
        force: bool = False,
        resume: bool = False,
    ) -> None:
        """film: whether to film the episode of that number, counted from 0 at each reset.

        Raises BadDirectory, RecordingExists, RecordingOpen, NoRecording.
        """
        self.directory = directory
        self._subject = subject
        self._film = film
        self.films = film is not never  # so that each step's frame has to be seen as it is made
        self._clock = clock
        self._tracks = [Track() for _ in range(subject.num_envs)]
        self._episodes = 0  # begun
        self._shot: Sequence[Any] | None = None  # what the environments show now
        self._failure: OSError | None = None
        try:
            with files.held(directory, make=True):
                _make_room(directory, subject.env_info, force=force, resume=resume)
                self._infix = files.new_infix(directory)
                self._journal = journal.Journal(directory, self._infix, subject.env_info)
        except OSError as error:
            raise BadDirectory(f"can't record into {directory}: {error.strerror}") from error

    def reset(self, begun: Iterable[int] = (0,)) -> None:
        """New episodes have begun, of the environments of these numbers; one that was running
        there is not counted."""
        self._shot = None
        if not self._episodes:
            self._keep(lambda: self._journal.first_reset(self._clock()))
        for which in begun:
            self._begin(which)

    def step(self, made: Stepped) -> None:
        """A step has been made."""
        self._shot = None
        begun = made.begun()
        for which, reward, done in made.each():
            track = self._tracks[which]
            track.length += 1
            track.reward += reward
            if done:  # the episode first: no trouble with its last frame may cost it
                self._finish(track)
            if track.video is not None and which not in begun:  # else it shows the next one
                track.video.add()
            if done:
                self._end_video(track)
        for which in begun:
            self._begin(which)

    def close(self) -> None:
        """Write Gym's files. Raises StorageFailed where the disk lost something."""
        for track in self._tracks:
            self._end_video(track)
        self._keep(self._journal.close)
        if self._failure is not None:
            raise StorageFailed(
                f"the recording in {self.directory} is incomplete: {self._failure.strerror}"
            )

    def _begin(self, which: int) -> None:
        track = self._tracks[which]
        self._end_video(track)
        episode = self._episodes
        self._episodes += 1
        track.length, track.reward = 0, 0.0
        if self._film(episode) and sum(one.video is not None for one in self._tracks) < MOST_FILMS:
            frame = partial(self._frame, which)
            track.video = Video(self.directory, self._infix, episode, self._subject.fps, frame)
            track.video.add()

    def _finish(self, track: Track) -> None:
        end = self._clock()
        self._keep(lambda: self._journal.episode(end, track.length, track.reward))

    def _frame(self, which: int) -> Any:
        """What that environment shows now; all are drawn once a step, if any is filmed."""
        if self._shot is None:
            self._shot = self._subject.frames()
        return self._shot[which]

    def _end_video(self, track: Track) -> None:
        if track.video is None:
            return
        names = track.video.close()
        track.video = None
        if names is not None:
            video, meta = names
            self._keep(lambda: self._journal.video(video, meta))

    def _keep(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if self._failure is None:
                log.error("recording into %s fails: %s", self.directory, error)
            self._failure = self._failure or error


def _make_room(directory: Path, env_info: dict[str, Any], *, force: bool, resume: bool) -> None:
    """Apply `force` and `resume` to what `directory`, which the caller holds, has already."""
    for path in files.journals(directory):
        if (force or not resume) and journal.is_open(path):
            raise RecordingOpen(f"another monitor is recording into {directory}")
    if force:
        files.delete_recordings(directory)
    elif resume:
        journal.recover(directory)
        if any(other != env_info for other in reader.env_infos(directory)):
            raise RecordingExists(
                f"{directory} holds a recording of another environment, or of another version of "
                "its engine; only force, which deletes it, can record there"
            )
    elif files.manifests(directory) or files.journals(directory):
        raise RecordingExists(f"{directory} holds a recording; force deletes it, resume adds to it")
