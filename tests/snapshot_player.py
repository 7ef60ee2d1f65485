"""Plays an environment the way an instance does, with its history, and tells what comes of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gym_http import environments, randomness, snapshots, spaces
from gym_http.backends.one_thread import OneThread
from gym_http.catalogue import Policy
from gym_http.environments import Made, Recipe
from gym_http.info import wire_info
from gym_http.settings import Settings
from gym_http.snapshots import Captured, History
from gym_http.terms import Terms
from gym_http.trials import Trials
from gym_http.wire import to_msgpack

POLICY = Policy()
TERMS = Terms("local").settled(Settings())
TRIALS = Trials(POLICY, Settings())


class Player:
    """Each has its environment on a thread of its own, for OpenGL's sake."""

    def __init__(self, recipe: Recipe, made: Made | None = None, seen: bool = True) -> None:
        """seen: whether frames are taken."""
        self.recipe = recipe
        self.seen = seen
        self.env, self.facts = made or environments.make(recipe, POLICY)
        self._thread = OneThread(recipe.env_id)
        self._thread.make(lambda: (self.env, None), None)
        self.history = History(self.env.action_space)
        self.over: Any = False
        self._closed = False

    def there(self, call: Any, *arguments: Any) -> Any:
        return self._thread.apply(lambda _: call(*arguments))

    def reset(self, seed: Any = None, options: dict[str, Any] | None = None) -> bytes:
        random = None
        if History.needs_random_state(options):
            random = self.there(randomness.random_state, self.env)
        value, info = self._thread.reset(seed=seed, options=options and {**options})
        observation = spaces.encode(self.env.observation_space, value)
        self.history.reset(seed, options, random)
        self.history.last = (observation,)
        self.over = False
        return to_msgpack([observation, wire_info(info)])

    def play(self, steps: int) -> list[bytes]:
        """Steps of drawn actions, with a reset without a seed after each end."""
        told = []
        for number in range(steps):
            if np.any(self.over):
                waits = self.facts.num_envs is not None
                told.append(self.reset(None, {"reset_mask": self.over} if waits else None))
            action = self.env.action_space.sample()
            value, reward, terminated, truncated, info = self._thread.step(action)
            observation = spaces.encode(self.env.observation_space, value)
            self.history.note(action)
            self.history.last = observation, reward, terminated, truncated
            if self.facts.autoreset in (None, "disabled"):
                self.over = np.logical_or(terminated, truncated)
            told.append(to_msgpack([observation, reward, terminated, truncated, wire_info(info)]))
            if number % 50 == 0:
                told.append(self.frame())
        return told

    def frame(self) -> bytes:
        return to_msgpack(self._thread.render() if self.seen and self.facts.render_mode else None)

    def future(self) -> list[bytes]:
        """What comes, into the next episodes."""
        return [
            self.frame(),
            *self.play(200),
            self.reset(),
            *self.play(20),
            self.reset(seed=5),
            *self.play(5),
        ]

    def capture(self) -> Captured:
        return TRIALS.captured(
            lambda kind: self.there(snapshots.capture, self.env, kind), self.recipe, TERMS
        )

    def restored(self, captured: Captured) -> Player:
        """Another, where this one stood when that was captured, and stands now."""
        if captured.kind == "replay":
            made = snapshots.make_again(self.history.log(captured.whole), self.recipe, POLICY)
        else:
            made = snapshots.restore(captured, self.recipe, POLICY)
        return self.twin(made)

    def again(self) -> Player:
        """Another, made again from the history alone."""
        way = TRIALS.replay(self.recipe, TERMS)
        log = self.history.log(way.whole)
        return self.twin(snapshots.make_again(log, self.recipe, POLICY))

    def twin(self, made: Made) -> Player:
        other = Player(self.recipe, made, self.seen)
        other.over = self.over
        state = randomness.space_state(self.env.action_space)
        randomness.set_space_state(other.env.action_space, state)
        return other

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._thread.close()
