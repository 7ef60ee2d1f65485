"""Whether what was captured of an environment behaves as the environment: tried on a twin.

A copy that only looks like the environment is worse than none. So a twin is made by the same
recipe and played for some dozen steps, captured, and played on; what is restored has to bring the
same, bit for bit, twice.

These are called in a place that may crash or hang: a twin gets actions that no user has sent
(`trials`).
"""

from __future__ import annotations

import copy
import logging
import sys
import time
from dataclasses import replace
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from gym_http import randomness, spaces
from gym_http.catalogue import Policy
from gym_http.environments import Facts, Made, Recipe, make
from gym_http.errors import GymHTTPError, MakeFailed, Unsupported
from gym_http.info import wire_info
from gym_http.raised import brief
from gym_http.snapshots.capture import REPLAYS, capture, check, restored
from gym_http.snapshots.history import History, Reset
from gym_http.snapshots.replay import begin
from gym_http.vectors import autoreset_of
from gym_http.wire import to_msgpack

log = logging.getLogger(__name__)

STEPS = 24  # of each part
LONGEST_S = 2.0  # of each part, for environments that take their time
LEAST_STEPS = 3

_SEED = 20160427

Told = dict[str, bytes]  # what of a call -> its value


class _Nobody(gymnasium.Env[Any, Any]):
    """Holds a place for trials: a backend is made with an environment in it."""

    action_space = gymnasium.spaces.Discrete(1)
    observation_space = gymnasium.spaces.Discrete(1)


def nobody(recipe: Recipe, policy: Policy) -> Made:
    """In place of `environments.make`."""
    return Made(_Nobody(), Facts(recipe.env_id, "", ""))


class Doubt(NamedTuple):
    """Why a kind doesn't do; "" where it does. lasts: it isn't an error of the moment, perhaps."""

    why: str
    lasts: bool


def doubt(nobody: Any, kind: str, recipe: Recipe, policy: Policy) -> Doubt:
    """Whether that kind does for that recipe. Raises what making the twin raises."""
    with randomness.shared_kept():
        return _doubt(kind, _small(kind, recipe), policy)


def _doubt(kind: str, recipe: Recipe, policy: Policy) -> Doubt:
    try:
        twin = make(recipe, policy)
    except GymHTTPError as error:
        if isinstance(error.__cause__, MemoryError):  # which is for who limits it to tell
            raise error.__cause__ from None
        raise
    except MemoryError:
        raise
    except BaseException as error:  # nobody presses Ctrl-C here
        raise MakeFailed(f"{recipe.env_id} could not be made: {brief(error)}") from error
    try:
        _try(twin, kind, recipe, policy)
    except MemoryError:
        raise
    except GymHTTPError as error:
        return Doubt(error.message, isinstance(error, Unsupported))
    except BaseException as error:  # of the environment's own code
        text = " ".join(str(error).split())[:300]
        return Doubt(f"{type(error).__name__}: {text}", False)
    return Doubt("", True)


def _small(kind: str, recipe: Recipe) -> Recipe:
    """One that takes less to make: what two environments do, many do."""
    if recipe.num_envs is None:
        return recipe
    few = replace(recipe, num_envs=min(2, recipe.num_envs))
    if recipe.vectorization == "async" and kind in REPLAYS:  # the same steps, in one process
        return replace(few, vectorization="sync")
    return few


def _try(twin: Made, kind: str, recipe: Recipe, policy: Policy) -> None:
    """Raises Unsupported, and whatever the environment raises."""
    try:
        check(twin.env, kind)
        history = History(twin.env.action_space)
        player = _Player(twin.env, history)
        actions = player.warm_up()
        player.frame()
        player.reset()  # what an episode begins with may come from the one before
        player.play(actions)
        player.frame()  # which is in no history, and so may change nothing
        captured, over = capture(twin.env, kind), player.over
        kept = history.log(kind == REPLAYS[1])
        told = _look(player, actions)
    finally:
        _close(twin)
    for _ in range(2):
        made = restored(captured, kept, recipe, policy)
        try:
            again = _look(_Player(made.env, None, over), actions)
            # Steps made again are made unseen, and some pictures remember the ones before.
            _compare(told, again, but="frame" if kind in REPLAYS else "")
        finally:
            _close(made)


def _look(player: _Player, actions: list[Any]) -> list[Told]:
    """What comes of an environment from where it stands, into the next episode."""
    return [
        player.frame(),
        *player.play(actions),
        player.frame(),
        player.reset(),
        *player.play(actions),
        player.frame(),
        player.reset(_SEED + 1),
        *player.play(actions[:LEAST_STEPS]),
    ]


class _Player:
    """Who plays a twin and tells what comes of it. over: whether the episode has ended; of a
    vector environment, of which ones."""

    def __init__(self, env: Any, history: History | None, over: Any = False) -> None:
        self.history = history
        self.over = over
        self._env = env

    def warm_up(self) -> list[Any]:
        """Make the first steps. Returns their actions, as many as there is time for."""
        # The space may be its class's, and then the twin's is that of the user's environment.
        space = copy.deepcopy(self._env.action_space)
        space.seed(_SEED)
        self.reset()  # no seed, as nobody need have given one
        actions: list[Any] = []
        deadline = time.monotonic() + LONGEST_S
        while len(actions) < STEPS:
            actions.append(space.sample())
            self.play(actions[-1:])
            if len(actions) >= LEAST_STEPS and time.monotonic() > deadline:
                break
        return actions

    def play(self, actions: list[Any]) -> list[Told]:
        """Make the steps, with resets where an episode has ended."""
        told = []
        for action in actions:
            if np.any(self.over):
                told.append(self._begin_anew())
            told.append(self._step(copy.deepcopy(action)))  # some write into theirs
        return told

    def frame(self) -> Told:
        if getattr(self._env, "render_mode", None) is None:
            return {}
        return {"frame": to_msgpack(self._env.render())}

    def reset(self, seed: Any = None, options: dict[str, Any] | None = None) -> Told:
        history = self.history
        random = None
        if history is not None and history.needs_random_state(options):
            random = randomness.random_state(self._env)
        observation, info = begin(self._env, Reset(seed, options))
        self.over = False
        encoded = spaces.encode(self._env.observation_space, observation)
        if history is not None:
            history.reset(seed, options, random)
            history.last = (encoded,)
        return {"observation": to_msgpack(encoded), "info": to_msgpack(wire_info(info))}

    def _step(self, action: Any) -> Told:
        observation, reward, terminated, truncated, info = self._env.step(action)
        encoded = spaces.encode(self._env.observation_space, observation)
        if self.history is not None:
            self.history.note(action)
            self.history.last = encoded, reward, terminated, truncated
        if getattr(self._env, "num_envs", None) is None or self._waits():
            self.over = np.logical_or(terminated, truncated)
        return {
            "observation": to_msgpack(encoded),
            "reward": to_msgpack(reward),
            "ends": to_msgpack([terminated, truncated]),
            "info": to_msgpack(wire_info(info)),
        }

    def _waits(self) -> bool:
        """Whether it is a vector environment that doesn't begin episodes by itself."""
        return autoreset_of(self._env) == "disabled"

    def _begin_anew(self) -> Told:
        single = getattr(self._env, "num_envs", None) is None
        return self.reset(None, None if single else {"reset_mask": np.array(self.over)})


def _close(made: Made) -> None:
    """Close a twin. Many quit pygame for all of the process, the user's environment included."""
    pygame: Any = sys.modules.get("pygame")
    was_ready = pygame is not None and pygame.get_init()
    try:
        made.env.close()
    except Exception as error:
        log.debug("a twin didn't close", exc_info=error)
    if was_ready:
        pygame.init()


def _compare(told: list[Told], again: list[Told], but: str) -> None:
    for first, second in zip(told, again, strict=True):
        for part, value in first.items():
            if part != but and second.get(part) != value:
                raise Unsupported(f"a twin that was restored told another {part}")
