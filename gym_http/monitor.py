"""The beginning of a recording on a leased instance."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gym_http.errors import NotRenderable, RecordingOpen
from gym_http.frames import MOST_FRAMES, present_frames
from gym_http.instance import Instance
from gym_http.progress import MONITOR
from gym_http.recording.recorder import Recorder, Subject, never
from gym_http.recording.video import require_encoder

log = logging.getLogger(__name__)


def start(
    instance: Instance,
    directory: Path,
    film: Callable[[int], bool],
    *,
    clock: Callable[[], float],
    force: bool,
    resume: bool,
) -> None:
    """Record every episode from the next reset on. film: which episodes to film.

    directory: as `roots` admitted it. Raises BadDirectory, RecordingExists, RecordingOpen,
    NotRenderable, DependencyMissing.
    """
    if film is not never:
        require_encoder(instance.facts.render_mode)
        if (instance.facts.num_envs or 1) > MOST_FRAMES:
            raise NotRenderable(f"at most {MOST_FRAMES} environments at once are filmed")
    if instance.recorder is not None:
        raise RecordingOpen(
            f"a monitor is already recording {instance.instance_id} into "
            f"{instance.recorder.directory}; close it first"
        )
    facts = instance.facts
    subject = Subject(
        env_info={
            "gym_version": facts.engine_version,
            "env_id": facts.env_id,
            "engine": facts.engine,
            # Such a form may be another task, as that of the Atari games is.
            **({"vectorization": "native"} if facts.vectorization == "native" else {}),
        },
        fps=facts.fps,
        frames=partial(present_frames, instance.env, facts.num_envs),
        num_envs=facts.num_envs or 1,
    )
    instance.recorder = Recorder(directory, subject, film, clock, force=force, resume=resume)
    if instance.progress.was_reset:
        instance.progress.stop(MONITOR)  # a recorded episode has a beginning
    log.info("recording", extra={"instance_id": instance.instance_id, "directory": directory})
