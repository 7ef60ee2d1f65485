"""What a rollout was asked for, and what its steps bring."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event
from typing import Any

import numpy as np
from msgspec import Struct

from gym_http import playing, spaces
from gym_http.blame import environments_own_code, raise_blamed
from gym_http.info import wire_info
from gym_http.outcomes import Rollout
from gym_http.registry import Instance
from gym_http.spaces import batches
from gym_http.vectors import with_last_encoded

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

    def draw(self) -> Any:
        """A native action, of the sequence that create's seed determines. Raises EnvFailed."""
        with environments_own_code(self.instance.env_id, "sample", self.instance.progress):
            return self.instance.env.action_space.sample()

    def play(self, count: int, actions: Actions, ending: Event) -> None:
        """Make so many steps, or fewer if an episode's end is to stop them, or the server ends.

        Raises EnvFailed.
        """
        for index in range(count):
            if index and ending.is_set():
                break
            ended = self._step(self.draw() if actions is None else actions[index])
            if ended and self.plan.on_done == STOP:
                break

    def _step(self, action: Any) -> bool:
        """Returns whether an episode ended."""
        instance, env, wanted = self.instance, self.instance.env, self.wanted
        try:
            self.note(action)
            value, reward, terminated, truncated, info = env.step(action)
            reward, terminated, truncated = instance.progress.outcome(reward, terminated, truncated)
            observation = instance.encode(value)
            done = terminated | truncated
            ended = done if isinstance(done, bool) else bool(done.any())
            if ended and wanted["final_observations"]:
                self._final += self._last_observations(observation, done, info)
            if wanted["infos"]:
                self._tell(info)
        except BaseException as error:
            raise_blamed(error, instance.env_id, "step", instance.progress)
        self.steps += 1
        self._outcomes.append((reward, terminated, truncated, done))
        stepped = instance.progress.step(reward, done)
        if instance.recorder is not None:
            instance.recorder.step(stepped)
        if ended and self.plan.on_done == RESET:
            observation = self._begin_anew(observation, done)
        if wanted["observations"]:
            self._observations.append(observation)
        return ended

    def note(self, action: Any) -> None:
        if self.wanted["actions"]:
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
        return Rollout(self.steps, fields, self._dropped)

    def _begin_anew(self, observation: Any, done: Any) -> Any:
        """The first observation of the next episode, which some vector environments begin by
        themselves. Raises EnvFailed."""
        autoreset = self.instance.facts.autoreset
        if autoreset is None:
            return playing.reset(self.instance, None, None).observation
        if autoreset == "disabled":
            return playing.reset(self.instance, None, {"reset_mask": done}).observation
        return observation

    def _last_observations(self, observation: Any, done: Any, info: Any) -> Sequence[Any]:
        """Those of the episodes that ended in this step, encoded."""
        if isinstance(done, bool):
            return [observation]
        space = single_space(self.instance.env)
        ended = done.nonzero()[0].tolist()
        if self.instance.facts.autoreset == "same_step":
            last = info.get("final_obs")  # which not every native form tells
            if last is None:
                return [None] * len(ended)
            return [spaces.encode(space, last[which]) for which in ended]
        return [batches.row(space, observation, which) for which in ended]

    def _tell(self, info: Any) -> None:
        told, dropped = wire_info(with_last_encoded(self.instance.env, info))
        where = f"[{self.steps}]"
        self._dropped += [where if path == "." else f"{where}.{path}" for path in dropped]
        self._infos.append(told)


def single_space(env: Any) -> Any:
    """Of one environment's observations."""
    return getattr(env, "single_observation_space", None) or env.observation_space
