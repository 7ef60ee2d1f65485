"""The verbs. This is the whole server without HTTP; it runs in a REPL:

    >>> from gym_http.environments import Recipe
    >>> from gym_http.service import Service
    >>> service = Service()
    >>> cart = service.create(Recipe("CartPole-v1")).instance_id
    >>> service.reset(cart, seed=1)
    >>> service.step(cart, 1).reward
    1.0

Values come in as wire values and go out as wire values with arrays at the leaves (`spaces`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from gym_http import __version__, environments, spaces
from gym_http.backends import BACKENDS
from gym_http.blame import environments_own_code, refusal_of
from gym_http.ending import close_all, close_quietly, end, end_recording
from gym_http.environments import Recipe, Registered
from gym_http.errors import (
    GymHTTPError,
    NotRenderable,
    NotStoppable,
    RecordingOpen,
    ResetNeeded,
)
from gym_http.frames import present_frame
from gym_http.info import wire_info
from gym_http.ledger import Ledger
from gym_http.outcomes import Created, Observed, Transition
from gym_http.recording import reader
from gym_http.recording.recorder import Recorder, Subject, never
from gym_http.recording.video import require_encoder
from gym_http.registry import Episode, Instance, Registry
from gym_http.scoreboard.score import score
from gym_http.scoreboard.store import Scoreboard
from gym_http.settings import Settings

log = logging.getLogger(__name__)


class Service:
    """Every environment of one server. Each method may be called from any thread."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        clock: Callable[[], float] = time.time,
        ledger: Ledger | None = None,
    ) -> None:
        self._settings = settings or Settings()
        self._policy = environments.Policy(self._settings.imports, self._settings.strict_ids)
        environments.import_modules(self._settings.imports)
        self._clock = clock
        self._registry = Registry(clock, self._settings.busy_timeout_s, ledger)
        self._scoreboard = Scoreboard(self._settings.data_dir)
        self._closing = threading.Lock()
        self.on_shutdown: Callable[[], None] | None = None  # set by who serves

    # ---- instances

    def create(self, recipe: Recipe, seed: int | None = None) -> Created:
        """Build an environment. seed: for its first reset and for its action space's samples.

        Raises MalformedEnvId, BadValue, MakeFailed, DependencyMissing, UnsupportedSpace.
        """
        opened = BACKENDS["local"](recipe, self._policy)
        env = opened.backend
        try:
            with environments_own_code(opened.env_id, "its spaces"):
                spaces.describe(env.action_space)
                spaces.describe(env.observation_space)
                if seed is not None:
                    env.action_space.seed(seed)
        except GymHTTPError:
            close_quietly(env)
            raise
        now = self._clock()
        instance_id = self._registry.add(
            Instance(
                requested_id=recipe.env_id,
                env_id=opened.env_id,
                engine=opened.engine,
                engine_version=opened.engine_version,
                env=env,
                fps=opened.fps,
                created=now,
                last_used=now,
                pending_seed=seed,
            )
        )
        log.info("created %s: %s (%s)", instance_id, opened.env_id, opened.engine)
        return Created(instance_id, opened.env_id, opened.warning)

    def instances(self) -> dict[str, str]:
        """instance_id -> the environment id that it was asked for by."""
        return self._registry.requested_ids()

    def describe(self, instance_id: str) -> dict[str, Any]:
        """What there is to know of an instance, also while a call on it is under way. Times are
        epoch seconds. Raises UnknownInstance."""
        instance = self._registry.peek(instance_id)
        recorder = instance.recorder
        return {
            "instance_id": instance_id,
            "env_id": instance.env_id,
            "engine": instance.engine,
            "created": instance.created,
            "last_used": instance.last_used,
            "steps": instance.steps,
            "episodes": instance.episodes,
            "last_episode_return": instance.last_return,
            "last_episode_length": instance.last_length,
            "monitor": str(recorder.directory) if recorder else None,
        }

    def close(self, instance_id: str) -> None:
        """End an instance, and the recording on it. Raises UnknownInstance."""
        with self._registry.lease(instance_id) as instance:
            end(instance, self._registry)

    def close_all(self) -> None:
        """End every instance. Each has its turn, whatever the others do: recordings first, then
        environments side by side, for as long as a stopping server waits."""
        with self._closing:  # who comes second, such as the process's end, waits for the first
            deadline = time.monotonic() + 0.8 * self._settings.shutdown_timeout_s
            close_all(self._registry, deadline)
            self._scoreboard.close()

    # ---- an environment's life

    def reset(
        self, instance_id: str, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> Observed:
        """Begin an episode, also in the middle of one. Raises UnknownInstance, Busy, EnvFailed.

        Source: gymnasium.Env.reset. The seed given at create serves the first reset without one.
        """
        with self._registry.lease(instance_id) as instance:
            seed = instance.pending_seed if seed is None else seed
            with environments_own_code(instance.env_id, "reset", instance.episode):
                with refusal_of(options, instance.episode):
                    value, info = instance.env.reset(seed=seed, options=options)
                observation = spaces.encode(instance.env.observation_space, value)
                carried = wire_info(info)
            instance.was_reset = True
            instance.pending_seed = None
            instance.episode = Episode(running=True)
            if instance.recorder is not None:
                instance.recorder.reset()
            return Observed(observation, *carried)

    def step(self, instance_id: str, action: Any, render: bool = False) -> Transition:
        """Advance an environment by one step.

        action: one element of the action space (docs/protocol.md, values).
        render: a wish to be seen. Frames are taken from `render` and by a monitor; a server has
        no window, so nothing is drawn for it.
        Raises UnknownInstance, Busy, ResetNeeded, BadValue, EnvFailed.
        Source: gymnasium.Env.step.
        """
        with self._registry.lease(instance_id) as instance:
            episode = instance.episode
            if not episode.running:
                raise ResetNeeded(_why_reset(instance))
            native = spaces.decode(instance.env.action_space, action)
            with environments_own_code(instance.env_id, "step", episode):
                value, reward, terminated, truncated, info = instance.env.step(native)
                reward, terminated, truncated = float(reward), bool(terminated), bool(truncated)
                observation = spaces.encode(instance.env.observation_space, value)
                carried = wire_info(info)
            done = terminated or truncated
            instance.steps += 1
            episode.length += 1
            episode.reward += reward
            if done:
                episode.running = False
                instance.episodes += 1
                instance.last_return, instance.last_length = episode.reward, episode.length
            if instance.recorder is not None:
                instance.recorder.step(reward, done)
            return Transition(observation, reward, terminated, truncated, *carried)

    def render(self, instance_id: str) -> Any:
        """The present frame: (height, width, 3) uint8, or a string of a text renderer.

        Raises UnknownInstance, NotRenderable, ResetNeeded, EnvFailed. Source: gymnasium.Env.render.
        """
        with self._registry.lease(instance_id) as instance:
            if not instance.was_reset:
                raise ResetNeeded(_why_reset(instance))
            with environments_own_code(instance.env_id, "render"):
                frame = present_frame(instance.env)
            if frame is None:
                raise NotRenderable(f"{instance.env_id} draws nothing in its render_mode")
            return frame

    # ---- spaces

    def action_space(self, instance_id: str) -> dict[str, Any]:
        with self._registry.lease(instance_id) as instance:
            return spaces.describe(instance.env.action_space)

    def observation_space(self, instance_id: str) -> dict[str, Any]:
        with self._registry.lease(instance_id) as instance:
            return spaces.describe(instance.env.observation_space)

    def sample(self, instance_id: str) -> Any:
        """A random action, of the sequence that create's seed determines."""
        with self._registry.lease(instance_id) as instance:
            space = instance.env.action_space
            with environments_own_code(instance.env_id, "sample"):
                return spaces.encode(space, space.sample())

    def action_contains(self, instance_id: str, value: Any) -> bool:
        with self._registry.lease(instance_id) as instance:
            return spaces.contains(instance.env.action_space, value)

    def observation_contains(self, instance_id: str, value: Any) -> bool:
        with self._registry.lease(instance_id) as instance:
            return spaces.contains(instance.env.observation_space, value)

    # ---- recordings and scores

    def monitor_start(
        self,
        instance_id: str,
        directory: Path,
        film: Callable[[int], bool] = never,
        *,
        force: bool = False,
        resume: bool = False,
    ) -> None:
        """Record every episode from the next reset on (docs/recordings.md).

        film: which episodes to film. Raises UnknownInstance, BadDirectory, RecordingExists,
        RecordingOpen, DependencyMissing.
        """
        with self._registry.lease(instance_id) as instance:
            if film is not never:
                require_encoder(getattr(instance.env, "render_mode", None))
            if instance.recorder is not None:
                raise RecordingOpen(
                    f"a monitor is already recording {instance_id} into "
                    f"{instance.recorder.directory}; close it first"
                )
            subject = Subject(
                env_info={
                    "gym_version": instance.engine_version,
                    "env_id": instance.env_id,
                    "engine": instance.engine,
                },
                fps=instance.fps,
                frame=partial(present_frame, instance.env),
            )
            instance.recorder = Recorder(
                directory, subject, film, self._clock, force=force, resume=resume
            )
            instance.episode.running = False  # a recorded episode has a beginning
            log.info("recording %s into %s", instance_id, directory)

    def monitor_close(self, instance_id: str) -> None:
        """End the recording, if there is one; the environment goes on. Raises StorageFailed."""
        with self._registry.lease(instance_id) as instance:
            end_recording(instance)

    def upload(self, directory: Path, api_key: str, algorithm_id: str | None = None) -> None:
        """Score the recordings in `directory` and keep the result on the scoreboard.

        api_key: names the uploader; only its hash is kept.
        Raises BadDirectory, NoRecording, RecordingOpen, StorageFailed.
        """
        recording = reader.load(directory)
        env_id = recording.env_info["env_id"]
        engine = str(recording.env_info.get("engine") or "gym")  # Gym's own files name none
        threshold, trials = environments.reward_threshold_and_trials(env_id, engine)
        result = score(recording, trials, threshold)
        self._scoreboard.add(env_id, engine, algorithm_id, api_key, result)
        log.info("uploaded %s: %s, mean %s", directory, env_id, result.mean)

    def scoreboard(self, env_id: str | None = None) -> list[dict[str, Any]]:
        """The entries of each environment, best first. Raises StorageFailed."""
        return self._scoreboard.ranked(env_id)

    # ---- the server

    def registry(self, engine: str | None = None) -> list[Registered]:
        """The environments that the engines know. Raises BadValue, DependencyMissing."""
        return environments.registered(engine)

    def health(self) -> dict[str, Any]:
        """That the server is there, and how many instances live on it."""
        return {"status": "ok", "version": __version__, "instances": len(self.instances())}

    def shutdown(self) -> None:
        """End the server, as soon as this call is answered. Raises NotStoppable."""
        if self.on_shutdown is None:
            raise NotStoppable("this server was started by something else, which has to stop it")
        log.info("shutdown was asked for")
        self.on_shutdown()


def _why_reset(instance: Instance) -> str:
    if not instance.was_reset:
        reason = "has not been reset yet"
    elif instance.recorder is not None:
        reason = "has ended its episode, or the monitor was started in the middle of it"
    else:
        reason = "has ended its episode"
    return f"Instance_id {instance.instance_id} {reason}: reset it first"
