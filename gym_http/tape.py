"""What a rollout was asked for, and what its steps bring."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Any

import numpy as np
from msgspec import Struct

from gym_http import playing, spaces
from gym_http.blame import environments_own_code
from gym_http.instance import Instance
from gym_http.outcomes import Rollout, Transition
from gym_http.spaces import batches

STOP, RESET = "stop", "reset"
FIELDS = (
    "observations",
    "rewards",
    "terminated",
    "truncated",
    "done",
    "final_observations",
    "actions",
    "infos",
)

Actions = Sequence[Any] | np.ndarray | None  # native ones; None where they are to be drawn


class Plan(Struct, frozen=True):
    """What a caller asked for. actions or sample is None; fields None: all but infos, and actions
    where the server draws them."""

    actions: Any = None
    sample: int | None = None
    on_done: str = STOP
    fields: Sequence[str] | None = None

    def wants(self, field: str) -> bool:
        if self.fields is not None:
            return field in self.fields
        return field != "infos" and (field != "actions" or self.sample is not None)


class Tape:
    """What the steps of any instance have brought, so far."""

    def __init__(self, instance: Instance, plan: Plan) -> None:
        self.instance = instance
        self.plan = plan
        self.wanted = {field: plan.wants(field) for field in FIELDS}
        self.steps = 0
        self._actions: list[Any] = []
        self._observations: list[Any] = []
        self._outcomes: list[tuple[Any, Any, Any, Any]] = []  # reward, terminated, truncated, done
        self._final: list[Any] = []
        self._infos: list[dict[str, Any]] = []
        self._dropped: list[str] = []
        self._restored = False

    def draw(self) -> Any:
        """A native action, of the sequence that create's seed determines. Raises EnvFailed."""
        with environments_own_code(self.instance.env_id, "sample", self.instance.progress):
            return self.instance.env.action_space.sample()

    def play(self, count: int, actions: Actions, ending: Event) -> None:
        """Make so many steps, or fewer if an episode's end is to stop them, or the server ends.

        Raises EnvFailed.
        """
        with self.foreseen(count, actions):
            for index in range(count):
                if index and ending.is_set():
                    break
                ended = self._step(self.draw() if actions is None else actions[index])
                if ended and self.plan.on_done == STOP:
                    break

    @contextmanager
    def foreseen(self, count: int, actions: Actions) -> Iterator[None]:
        """Tell the backend, where it wants to know, which actions are to come."""
        foresee = getattr(self.instance.env, "foresee", None)
        recorder = self.instance.recorder
        if foresee is None or (recorder is not None and recorder.films):
            yield
            return
        if actions is None:  # those that will be drawn
            with environments_own_code(self.instance.env_id, "sample", self.instance.progress):
                space = copy.deepcopy(self.instance.env.action_space)
                actions = [space.sample() for _ in range(count)]
        resets = self.instance.facts.autoreset in (None, "disabled")
        foresee(actions, resets or self.plan.on_done == STOP)
        try:
            yield
        finally:
            foresee((), False)

    def _step(self, action: Any) -> bool:
        """Returns whether an episode ended."""
        if self.wanted["actions"]:
            self.note(action)
        seen = playing.advance(self.instance, action)
        self._outcomes.append((seen.reward, seen.terminated, seen.truncated, seen.done))
        self._restored |= seen.restored
        ended = seen.done if isinstance(seen.done, bool) else bool(seen.done.any())
        if ended and self.wanted["final_observations"]:
            with environments_own_code(self.instance.env_id, "step", self.instance.progress):
                self._final += self._last_observations(seen)
        if self.wanted["infos"]:
            self._tell(seen)
        self.steps += 1
        anew = ended and self.plan.on_done == RESET
        observation = self._begin_anew(seen) if anew else seen.observation
        if self.wanted["observations"]:
            self._observations.append(observation)
        return ended

    def note(self, action: Any) -> None:
        """Keep an action, for the reply. Raises EnvFailed where the environment drew none."""
        with environments_own_code(self.instance.env_id, "step", self.instance.progress):
            self._actions.append(spaces.encode(self.instance.env.action_space, action))

    def result(self) -> Rollout:
        """What the caller gets."""
        env, fields = self.instance.env, {}
        if self.wanted["observations"]:
            fields["observations"] = batches.stacked(env.observation_space, self._observations)
        for field, column in zip(
            ("rewards", "terminated", "truncated", "done"),
            zip(*self._outcomes, strict=True),
            strict=True,
        ):
            if self.wanted[field]:
                fields[field] = np.array(column)
        if self.wanted["final_observations"]:
            fields["final_observations"] = batches.stacked(single_space(env), self._final)
        if self.wanted["actions"]:
            fields["actions"] = batches.listed(env.action_space, self._actions)
        if self.wanted["infos"]:
            fields["infos"] = self._infos
        return Rollout(self.steps, fields, self._dropped, self._restored)

    def _begin_anew(self, seen: Transition) -> Any:
        """The first observation of the next episode, which some vector environments begin by
        themselves. Raises EnvFailed."""
        autoreset = self.instance.facts.autoreset
        if autoreset is None:
            return self._reset(None)
        if autoreset == "disabled":
            return self._reset({"reset_mask": seen.done})
        return seen.observation

    def _reset(self, options: dict[str, Any] | None) -> Any:
        begun = playing.reset(self.instance, None, options)
        self._restored |= begun.restored
        return begun.observation

    def _last_observations(self, seen: Transition) -> Sequence[Any]:
        """Those of the episodes that ended in this step."""
        if isinstance(seen.done, bool):
            return [seen.observation]
        ended = seen.done.nonzero()[0].tolist()
        if self.instance.facts.autoreset == "same_step":
            last = seen.info.get("final_obs")  # which not every native form tells
            return [None if last is None else last[which] for which in ended]
        space = single_space(self.instance.env)
        return [batches.element(space, seen.observation, which) for which in ended]

    def _tell(self, seen: Transition) -> None:
        where = f"[{self.steps}]"
        for path in seen.info_dropped:
            self._dropped.append(where if path == "." else f"{where}.{path}")
        self._infos.append(seen.info)


def single_space(env: Any) -> Any:
    """Of one environment's observations."""
    return getattr(env, "single_observation_space", None) or env.observation_space
