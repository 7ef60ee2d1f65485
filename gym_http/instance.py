"""One environment, and what the server knows of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any

from gym_http import spaces
from gym_http.backends.contract import Backend, Foreseeing
from gym_http.environments import Facts, Recipe
from gym_http.errors import GymHTTPError
from gym_http.progress import Progress
from gym_http.recording.recorder import Recorder
from gym_http.sequence import Sequence
from gym_http.snapshots import History
from gym_http.tally import Tally
from gym_http.terms import Terms

_NO_RECIPE = Recipe("")
_NO_ENV: Any = None  # of one that has ended


@dataclass(slots=True)
class Instance:
    """Touched under a lease only."""

    requested_id: str  # as the caller wrote it
    env: Backend
    facts: Facts
    created: float  # epoch seconds
    last_used: float
    progress: Progress = field(default_factory=Progress)
    instance_id: str = ""
    terms: Terms = field(default_factory=Terms)
    idle_s: float = 0.0  # without a call, after which it is ended; 0 is never
    renewed: float = 0.0  # when a call on it last ended; monotonic seconds
    pending_seed: int | None = None  # given at create, for the first reset
    recorder: Recorder | None = None
    recipe: Recipe = _NO_RECIPE
    history: History = field(default_factory=History)
    sequence: Sequence = field(default_factory=Sequence)
    last_error: tuple[GymHTTPError, float] | None = None  # and when, in epoch seconds
    tally: Tally = field(default_factory=Tally)
    foresees: bool = field(init=False)  # whether its backend does
    survives: bool = False  # crashes of what it lives in
    restored: int = 0  # how often its backend had been, when a reply last said so
    lock: Any = field(default_factory=threading.RLock)
    waiting: int = 0
    watched: bool = False  # whether who has the lease may only watch
    closed: bool = False

    def __post_init__(self) -> None:
        self.foresees = isinstance(self.env, Foreseeing)

    @property
    def env_id(self) -> str:
        return self.facts.env_id

    @property
    def backend(self) -> str:
        return self.terms.backend or "local"

    def names(self) -> dict[str, str]:
        """What the log calls it by."""
        return {
            "instance_id": self.instance_id,
            "env_id": self.env_id,
            "backend": self.backend,
        }

    def told_restored(self) -> bool:
        """Whether its environment has come back from a crash since this was last asked."""
        before, self.restored = self.restored, getattr(self.env, "restored", 0)
        return self.restored > before

    def decode(self, action: Any) -> Any:
        """The element of the action space that it stands for. Raises BadValue."""
        space = self.env.action_space
        return spaces.row(spaces.decode, space.__class__)(space, action)

    def encode(self, observation: Any) -> Any:
        """As wire values. Raises TypeError, ValueError, LookupError for what is none."""
        space = self.env.observation_space
        return spaces.row(spaces.encode, space.__class__)(space, observation)

    def described(self) -> dict[str, Any]:
        """What there is to know of it. Times are epoch seconds."""
        facts, progress, terms, recorder = self.facts, self.progress, self.terms, self.recorder
        return {
            "instance_id": self.instance_id,
            "env_id": facts.env_id,
            "engine": facts.engine,
            "render_mode": facts.render_mode,
            "render_fps": facts.fps,
            "max_episode_steps": facts.max_episode_steps,
            "reward_threshold": facts.reward_threshold,
            "nondeterministic": facts.nondeterministic,
            "num_envs": facts.num_envs,
            "vectorization": facts.vectorization,
            "autoreset": facts.autoreset,
            "created": self.created,
            "last_used": self.last_used,
            "steps": progress.steps,
            "episodes": progress.episodes,
            "last_episode_return": progress.last_return,
            "last_episode_length": progress.last_length,
            "monitor": str(recorder.directory) if recorder else None,
            "backend": terms.backend,
            "step_timeout_s": terms.step_timeout_s,
            "make_timeout_s": terms.make_timeout_s,
            "lease_s": terms.lease_s,
            "last_error": self.last_error,
            "restored": getattr(self.env, "restored", self.restored),
        }

    def remembered(self) -> Instance:
        """What can be told of it when it has ended, without anything large: ten thousand of them
        are kept."""
        return replace(
            self,
            env=_NO_ENV,
            recorder=None,
            restored=getattr(self.env, "restored", 0),
            recipe=_NO_RECIPE,
            history=History(),
            progress=self.progress.totals(),
            terms=replace(self.terms, resources={}),
            closed=True,
        )
