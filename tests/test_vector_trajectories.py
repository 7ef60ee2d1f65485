"""A vector environment on the server is as many single ones, to the last bit."""

import itertools
import unittest
from functools import lru_cache
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import iterate
from nose2.tools import params

from gym_http.remote import RemoteEnv, RemoteVectorEnv
from tests.support import shared_server
from tests.test_trajectories import Known, bits

NUM_ENVS = 3
CALLS = 80  # in which each environment below ends several episodes
SEED = 11
LIMIT = 30  # Pendulum has no other end

ENV_IDS = ("CartPole-v1", "FrozenLake-v1", "Pendulum-v1", "Blackjack-v1")
VECTORIZATIONS = (None, "sync", "async")
AUTORESETS = {
    "next_step": AutoresetMode.NEXT_STEP,
    "same_step": AutoresetMode.SAME_STEP,
    "disabled": AutoresetMode.DISABLED,
}


def remote(env_id: str, **more: Any) -> RemoteVectorEnv:
    url = shared_server().url
    return RemoteVectorEnv(url, env_id, NUM_ENVS, max_episode_steps=LIMIT, **more)


# A track is what one environment went through: (observation,) of each reset, and of each step
# (observation, reward, terminated, truncated).


@lru_cache(maxsize=None)
def single(env_id: str, which: int) -> tuple[list[Any], list[Any]]:
    """(the actions, the track) of a single environment, seeded as the vector's `which`-th."""
    env = RemoteEnv(shared_server().url, env_id, max_episode_steps=LIMIT)
    env.action_space.seed(SEED + which)
    actions = [env.action_space.sample() for _ in range(CALLS)]
    track: list[Any] = [(bits(env.reset(seed=SEED + which)[0]),)]
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        track.append((bits(observation), reward, terminated, truncated))
        if terminated or truncated:
            track.append((bits(env.reset()[0]),))
    env.close()
    return actions, track


def played(envs: RemoteVectorEnv, autoreset: str, actions: list[list[Any]]) -> list[list[Any]]:
    """The track of each. Each takes its own next action at each of its steps, which a call that
    only resets it ("next_step") is not."""
    observations = parts(envs, envs.reset(seed=SEED)[0])
    tracks: list[list[Any]] = [[(one,)] for one in observations]
    steps, ended = [0] * NUM_ENVS, np.zeros(NUM_ENVS, np.bool_)
    for _ in range(CALLS):
        if autoreset == "disabled" and ended.any():
            observations = parts(envs, envs.reset(options={"reset_mask": ended})[0])
            for which in np.flatnonzero(ended):
                tracks[which].append((observations[which],))
        chosen = np.stack([mine[step] for mine, step in zip(actions, steps, strict=True)])
        returned, rewards, terminated, truncated, infos = envs.step(chosen)
        observations, done = parts(envs, returned), terminated | truncated
        for which, track in enumerate(tracks):
            outcome = (float(rewards[which]), bool(terminated[which]), bool(truncated[which]))
            if autoreset == "next_step" and ended[which]:
                assert outcome == (0.0, False, False), outcome
                track.append((observations[which],))
                continue
            steps[which] += 1
            if autoreset == "same_step" and done[which]:
                track.append((bits(infos["final_obs"][which]), *outcome))
                track.append((observations[which],))
            else:
                track.append((observations[which], *outcome))
        ended = done
    return tracks


def parts(envs: RemoteVectorEnv, observations: Any) -> list[Any]:
    """The observation of each."""
    return [bits(one) for one in iterate(envs.observation_space, observations)]


class AsSingleOnes(unittest.TestCase):
    @params(*itertools.product(ENV_IDS, VECTORIZATIONS, AUTORESETS))
    def test_same_seed_same_trajectory(self, env_id, vectorization, autoreset):
        envs = remote(env_id, vectorization=vectorization, autoreset=autoreset)
        self.addCleanup(envs.close)
        self.assertEqual(envs.remote["vectorization"], vectorization or "sync")
        self.assertIs(envs.metadata["autoreset_mode"], AUTORESETS[autoreset])
        alone = [single(env_id, which) for which in range(NUM_ENVS)]
        tracks = played(envs, autoreset, [actions for actions, _ in alone])
        for which, (got, (_, wanted)) in enumerate(zip(tracks, alone, strict=True)):
            self.assertGreaterEqual([len(seen) for seen in got].count(1), 2)  # resets
            for item, (one, other) in enumerate(zip(got, wanted[: len(got)], strict=True)):
                self.assertEqual(one, other, f"environment {which}, item {item}")


class AsInProcess(unittest.TestCase):
    """Whole calls against Gymnasium's own vector environments: infos, masks, final_obs, dtypes."""

    @params(
        *itertools.product(
            ("CartPole-v1", "Blackjack-v1", "Taxi-v4", "FrozenLake-v1", "Pendulum-v1"), AUTORESETS
        ),
        ("MiniGrid-Empty-Random-6x6-v0", "same_step"),
    )
    def test_sync(self, env_id, autoreset):
        Known(env_id, "minigrid" if "MiniGrid" in env_id else "gymnasium").needed(self)

        def make() -> gymnasium.Env:
            return gymnasium.make(env_id, max_episode_steps=LIMIT, disable_env_checker=True)

        here = SyncVectorEnv([make] * NUM_ENVS, autoreset_mode=AUTORESETS[autoreset])
        there = remote(env_id, vectorization="sync", autoreset=autoreset)
        self.compare(here, there, CALLS)

    def test_native(self):
        """Its seeds, its rewards of float32, its time limit."""
        here = gymnasium.make_vec(
            "CartPole-v1",
            NUM_ENVS,
            vectorization_mode="vector_entry_point",
            max_episode_steps=LIMIT,
        )
        there = remote("CartPole-v1", vectorization="native")
        self.assertEqual(there.remote["vectorization"], "native")
        self.compare(here, there, 300)

    def compare(self, here: Any, there: RemoteVectorEnv, calls: int) -> None:
        self.addCleanup(here.close)
        self.addCleanup(there.close)
        self.assertEqual(here.metadata["autoreset_mode"], there.metadata["autoreset_mode"])
        here.action_space.seed(SEED)
        self.assertEqual(bits(there.reset(seed=SEED)), bits(here.reset(seed=SEED)))
        kinds = (type(None), type(there.single_observation_space.sample()))
        ends = 0
        for call in range(calls):
            actions = here.action_space.sample()
            one, other = here.step(actions), there.step(actions)
            if here.spec is None:  # Gymnasium's Sync cuts FrozenLake's to integers, if one is
                for info in (one[4], other[4]):
                    info.pop("prob", None)
            self.assertEqual(bits(other), bits(one), f"call {call}")
            for last in other[4].get("final_obs", ()):
                self.assertIn(type(last), kinds)
            ended = one[2] | one[3]
            ends += ended.sum()
            if here.metadata["autoreset_mode"] is AutoresetMode.DISABLED and ended.any():
                resets = [
                    envs.reset(options={"reset_mask": ended.copy()}) for envs in (here, there)
                ]
                self.assertEqual(bits(resets[1]), bits(resets[0]), f"reset after call {call}")
        self.assertGreater(ends, NUM_ENVS)
