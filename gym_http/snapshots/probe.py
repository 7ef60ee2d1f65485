"""Whether what was captured of an environment behaves as the environment: tried on a twin.

A copy that only looks like the environment is worse than none. So a twin is made by the same
recipe and played for some dozen steps, captured, and played on; what is restored has to bring the
same, bit for bit, twice. That is done once for each recipe and kind in a process.
"""

from __future__ import annotations

import copy
import logging
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from gym_http import randomness, spaces
from gym_http.catalogue import Policy
from gym_http.environments import Made, Recipe, make
from gym_http.errors import GymHTTPError, Unsupported
from gym_http.info import wire_info
from gym_http.snapshots.history import Captured, History, Log, Reset
from gym_http.snapshots.replay import begin
from gym_http.vectors import autoreset_of
from gym_http.wire import to_msgpack

log = logging.getLogger(__name__)

STEPS = 24  # of each part
LONGEST_S = 2.0  # of each part, for environments that take their time
LEAST_STEPS = 3
REPLAYS = ("replay", "whole replay")  # of an episode, of all since it was made

_SEED = 20160427
_MOST_KNOWN = 1000

Capture = Callable[[str, Any], Captured]
Restore = Callable[[Captured, Log, Recipe, Policy], Made]
Told = dict[str, bytes]  # what of a call -> its value

_known: OrderedDict[tuple[str, bytes], str] = OrderedDict()
_lock = threading.Lock()


def doubt(kind: str, recipe: Recipe, policy: Policy, capture: Capture, restore: Restore) -> str:
    """Why that kind doesn't do for that recipe; "" where it does."""
    key = kind, to_msgpack(asdict(recipe))
    with _lock:
        if key in _known:
            _known.move_to_end(key)
            return _known[key]
    begun = time.monotonic()
    # On a thread of its own, for OpenGL's sake: the twin's would be in the way of the user's.
    with randomness.shared_kept(), ThreadPoolExecutor(1) as thread:
        tried = thread.submit(_try, kind, _small(kind, recipe), policy, capture, restore)
        error = tried.exception()
    found = ""
    if isinstance(error, GymHTTPError):
        found = error.message
    elif error is not None:  # of the environment's own code
        found = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    took_s = time.monotonic() - begun
    log.info("%s by %s: %s (%.1f s)", recipe.env_id, kind, found or "does", took_s)
    if error is not None and not isinstance(error, Unsupported):
        return found  # memory was short, say: it may do the next time
    with _lock:
        _known[key] = found
        while len(_known) > _MOST_KNOWN:
            _known.popitem(last=False)
    return found


def _small(kind: str, recipe: Recipe) -> Recipe:
    """One that takes less to make: what two environments do, many do."""
    if recipe.num_envs is None:
        return recipe
    few = replace(recipe, num_envs=min(2, recipe.num_envs))
    if recipe.vectorization == "async" and kind in REPLAYS:  # the same steps, in one process
        return replace(few, vectorization="sync")
    return few


def _try(kind: str, recipe: Recipe, policy: Policy, capture: Capture, restore: Restore) -> None:
    """Raises Unsupported, and whatever the environment raises."""
    twin = make(recipe, policy)
    try:
        history = History(twin.env.action_space)
        player = _Player(twin.env, history)
        actions = player.warm_up()
        player.frame()
        player.reset()  # what an episode begins with may come from the one before
        player.play(actions)
        player.frame()  # which is in no history, and so may change nothing
        captured, over = capture(kind, twin.env), player.over
        kept = history.log(kind == REPLAYS[1])
        told = _look(player, actions)
    finally:
        _close(twin)
    for _ in range(2):
        made = restore(captured, kept, recipe, policy)
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
