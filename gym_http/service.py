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
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gym_http import __version__, catalogue, keeping, kwargs, monitor, playing, reviving, spaces
from gym_http.blame import environments_own_code
from gym_http.catalogue import Registered
from gym_http.ending import close_all, close_quietly, condemn, end, end_recording
from gym_http.environments import Recipe
from gym_http.errors import BadValue, GymHTTPError, NotRenderable, NotStoppable, UnknownSnapshot
from gym_http.frames import present_frames
from gym_http.ledger import Ledger
from gym_http.making import make_instance
from gym_http.metrics import Metrics
from gym_http.outcomes import Created, Observed, Rollout, SpaceDescription, Taken, Transition
from gym_http.reaper import Reaper
from gym_http.recording import reader
from gym_http.recording.recorder import never
from gym_http.registry import Lease, Registry
from gym_http.rollout import rollout
from gym_http.roots import Roots
from gym_http.scoreboard.score import score
from gym_http.scoreboard.store import Scoreboard
from gym_http.settings import Settings
from gym_http.snapshots.form import Parsed, read
from gym_http.snapshots.store import Snapshot, Snapshots
from gym_http.tape import Plan
from gym_http.terms import Terms
from gym_http.trials import Trials

log = logging.getLogger(__name__)


class Service:
    """Every environment of one server. Each method may be called from any thread."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        ledger: Ledger | None = None,
    ) -> None:
        self._settings = settings or Settings()
        self._policy = catalogue.Policy(
            self._settings.imports, self._settings.strict_ids, self._settings.max_num_envs
        )
        catalogue.import_modules(self._settings.imports)
        self._clock = clock
        self._registry = Registry(
            clock, self._settings.busy_timeout_s, ledger, monotonic, self._settings.max_instances
        )
        self._registry.condemn = partial(condemn, self._registry)
        self.numbers = Metrics(self._registry)
        self.reaper = Reaper(self._registry)
        self._scoreboard = Scoreboard(
            self._settings.data_dir,
            self._settings.scoreboard_url,
            self._settings.scoreboard_password_file,
        )
        self._snapshots = Snapshots(self._settings.max_snapshots, self._settings.max_snapshot_bytes)
        self._roots = Roots(self._settings.data_roots)
        self._trials = Trials(self._policy, self._settings)
        self._closing = threading.Lock()
        self._ending = threading.Event()
        self.on_shutdown: Callable[[], None] | None = None  # set by who serves

    # ---- instances

    def create(
        self, recipe: Recipe, seed: int | None = None, terms: Terms | None = None
    ) -> Created:
        """Build an environment, or many that are stepped as one.

        seed: for its first reset and for its action space's samples.

        Raises MalformedEnvId, BadValue, MakeFailed, DependencyMissing, UnsupportedSpace, TimedOut,
        BackendLost, TooManyInstances, ServerStopping.
        """
        return self._create(recipe, seed, terms)

    def create_from(
        self,
        snapshot_id: str | None,
        form: Any = None,
        seed: int | None = None,
        terms: Terms | None = None,
    ) -> Created:
        """Build an environment in the state of a snapshot: of one that this server keeps, or of
        one in the form that `snapshot_form` gives.

        Raises UnknownSnapshot, Unsupported, BadValue, and what `create` raises.
        """
        if (snapshot_id is None) == (form is None):
            raise BadValue("give either snapshot_id or snapshot")
        kept = read(form) if snapshot_id is None else self._snapshots.get(snapshot_id)
        return self._create(kept.recipe, seed, terms, kept)

    def _create(
        self,
        recipe: Recipe,
        seed: int | None,
        terms: Terms | None,
        kept: Snapshot | Parsed | None = None,
    ) -> Created:
        settings, policy, now = self._settings, self._policy, self._clock()
        terms = (terms or Terms()).settled(settings)
        recipe = replace(recipe, kwargs=kwargs.checked(recipe.kwargs, self._roots))
        with self._registry.places.one() as place:
            instance = make_instance(recipe, seed, terms, policy, settings, now, kept)
            reviving.prepare(instance, policy, settings, self._registry)
            try:
                self._registry.add(instance, place)
            except GymHTTPError:
                close_quietly(instance.env)
                raise
        self.reaper.watch(instance.idle_s)
        return Created(instance.instance_id, instance.env_id, instance.facts.warning)

    def instances(self) -> dict[str, str]:
        """instance_id -> the environment id that it was asked for by."""
        return self._registry.requested_ids()

    def describe(self, instance_id: str) -> dict[str, Any]:
        """What there is to know of an instance, also while a call on it is under way. Times are
        epoch seconds. Raises UnknownInstance."""
        return self._registry.peek(instance_id).described()

    def close(self, instance_id: str) -> None:
        """End an instance, and the recording on it; or hear no more of one that has ended by
        itself. Raises UnknownInstance."""
        if self._registry.forget(instance_id):
            return
        with self._registry.lease(instance_id) as instance:
            end(instance, self._registry)

    def close_all(self) -> None:
        """End every instance. Each has its turn, whatever the others do: recordings first, then
        environments side by side, for as long as a stopping server waits."""
        self._ending.set()
        with self._closing:  # who comes second, such as the process's end, waits for the first
            deadline = time.monotonic() + 0.8 * self._settings.shutdown_timeout_s
            with self._registry.places.stopping():
                close_all(self._registry, deadline)
                self.reaper.stop(deadline)
            self._scoreboard.close()
        self._ending.clear()

    def lease(self, instance_id: str) -> Lease:
        """The instance, for what goes together with a verb. Raises UnknownInstance, Busy."""
        return self._registry.lease(instance_id)

    # ---- an environment's life

    def reset(
        self, instance_id: str, seed: Any = None, options: dict[str, Any] | None = None
    ) -> Observed:
        """Begin an episode, also in the middle of one.

        seed: an integer; for a vector environment also a list of num_envs. The seed given at
        create serves the first reset without one.
        options: the environment's own; "reset_mask" says which of a vector's are reset.
        Raises UnknownInstance, Busy, BadValue, EnvFailed. Source: gymnasium.Env.reset.
        """
        with self._registry.lease(instance_id) as instance:
            return playing.reset(instance, seed, options)

    def step(self, instance_id: str, action: Any, render: bool = False) -> Transition:
        """Advance an environment by one step.

        action: one element of the action space (docs/protocol.md, values); of a vector
        environment, of the space of all its actions together.
        render: a wish to be seen. Frames are taken from `render` and by a monitor; a server has
        no window, so nothing is drawn for it.
        Raises UnknownInstance, Busy, ResetNeeded, BadValue, EnvFailed.
        Source: gymnasium.Env.step.
        """
        with self._registry.lease(instance_id) as instance:
            return playing.step(instance, action)

    def rollout(self, instance_id: str, plan: Plan) -> Rollout:
        """Make many steps, of actions given or drawn, until an episode ends or through such ends.

        Raises UnknownInstance, Busy, ResetNeeded, BadValue, EnvFailed.
        """
        with self._registry.lease(instance_id) as instance:
            return rollout(instance, plan, self._settings.max_rollout_steps, self._ending)

    def render(self, instance_id: str) -> Sequence[Any]:
        """A list of the present frame of each environment, or a tuple of the one where it is
        single: (height, width, 3) uint8, or a string of a text renderer.

        Raises UnknownInstance, NotRenderable, ResetNeeded, EnvFailed. Source: gymnasium.Env.render.
        """
        with self._registry.lease(instance_id) as instance:
            if not instance.progress.was_reset:
                playing.require_running(instance)
            with environments_own_code(instance.env_id, "render"):
                frames = present_frames(instance.env, instance.facts.num_envs)
            if any(frame is None for frame in frames):
                raise NotRenderable(f"{instance.env_id} draws nothing in its render_mode")
            return frames

    # ---- snapshots

    def snapshot(self, instance_id: str) -> Taken:
        """Keep the state that an instance is in, for `create_from`.

        Raises UnknownInstance, Busy, ResetNeeded, Unsupported, EnvFailed.
        """
        with self._registry.lease(instance_id) as instance:
            taken = keeping.take(instance, self._trials)
        return Taken(self._snapshots.add(taken), taken.captured.kind)

    def snapshot_form(self, instance_id: str, snapshot_id: str) -> dict[str, Any]:
        """A snapshot of an instance, which may have ended, as plain values with arrays at the
        leaves. Raises UnknownSnapshot, UnknownInstance, Unsupported."""
        try:
            kept = self._snapshots.get(snapshot_id, instance_id)
        except UnknownSnapshot:
            self._registry.peek(instance_id)
            raise
        return keeping.portable(kept, self._trials, self._policy, self._settings)

    # ---- spaces

    def action_space(self, instance_id: str) -> SpaceDescription:
        with self._registry.lease(instance_id) as instance:
            return _described(instance.env, "action_space")

    def observation_space(self, instance_id: str) -> SpaceDescription:
        with self._registry.lease(instance_id) as instance:
            return _described(instance.env, "observation_space")

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

        film: which episodes to film. Raises UnknownInstance, ForbiddenDirectory, BadDirectory,
        RecordingExists, RecordingOpen, DependencyMissing.
        """
        with self._registry.lease(instance_id) as instance:
            place, clock = self._roots.admitted(directory), self._clock
            monitor.start(instance, place, film, clock=clock, force=force, resume=resume)

    def monitor_close(self, instance_id: str) -> None:
        """End the recording, if there is one; the environment goes on. Raises StorageFailed."""
        with self._registry.lease(instance_id) as instance:
            end_recording(instance)

    def upload(self, directory: Path, api_key: str, algorithm_id: str | None = None) -> None:
        """Score the recordings in `directory` and keep the result on the scoreboard.

        api_key: names the uploader; only its hash is kept.
        Raises ForbiddenDirectory, BadDirectory, NoRecording, RecordingOpen, StorageFailed.
        """
        recording = reader.load(self._roots.admitted(directory))
        env_id = recording.env_info["env_id"]
        engine = str(recording.env_info.get("engine") or "gym")  # Gym's own files name none
        threshold, trials = catalogue.reward_threshold_and_trials(env_id, engine)
        result = score(recording, trials, threshold)
        if recording.env_info.get("vectorization") == "native":
            engine += ", native vector form"
        self._scoreboard.add(env_id, engine, algorithm_id, api_key, result)
        fields = {"directory": directory, "env_id": env_id, "mean": result.mean}
        log.info("uploaded", extra=fields)

    def scoreboard(self, env_id: str | None = None) -> list[dict[str, Any]]:
        """The entries of each environment, best first. Raises StorageFailed."""
        return self._scoreboard.ranked(env_id)

    # ---- the server

    def registry(self, engine: str | None = None) -> list[Registered]:
        """The environments that the engines know. Raises BadValue, DependencyMissing."""
        return catalogue.registered(engine)

    def health(self) -> dict[str, Any]:
        """That the server is there, and how many instances live on it. exactly_once tells clients
        that they may repeat a numbered call."""
        return {
            "status": "ok",
            "version": __version__,
            "instances": len(self.instances()),
            "exactly_once": True,
        }

    def tokens(self) -> tuple[bool, bool]:
        """Whether callers have to send one, and whether there is one for watching alone."""
        told = self._settings
        return bool(told.token or told.token_file), bool(told.read_token or told.read_token_file)

    def metrics(self, accept: str = "") -> tuple[bytes, str]:
        """The server's numbers for Prometheus, and their content type. accept: as in HTTP."""
        return self.numbers.exposition(accept)

    def answered(self, error: GymHTTPError, instance_id: str | None = None) -> None:
        """What calls this service has told its own caller of this error. It is counted, and shown
        as the instance's last_error."""
        self._registry.answered(error, instance_id)

    def shutdown(self) -> None:
        """End the server, as soon as this call is answered. Raises NotStoppable."""
        if self.on_shutdown is None:
            raise NotStoppable("this server was started by something else, which has to stop it")
        log.info("shutdown was asked for")
        self.on_shutdown()


def _described(env: Any, which: str) -> SpaceDescription:
    single = getattr(env, f"single_{which}", None)
    return SpaceDescription(
        spaces.describe(getattr(env, which)), None if single is None else spaces.describe(single)
    )
