"""Stable-Baselines3's PPO on a real server, by the functions of benchmarks/train_ppo.py."""

import importlib.util
import io
import unittest
from contextlib import closing, redirect_stdout

import gymnasium
import numpy as np

from gym_http.remote import RemoteVectorEnv
from tests.support import shared_server

HAS_SB3 = importlib.util.find_spec("stable_baselines3") is not None
if HAS_SB3:
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv

    from benchmarks.train_ppo import ENV_ID, SB3VecEnv, train

RANDOM_POLICYS_RETURN = 22  # on average
SEED = 0


@unittest.skipUnless(HAS_SB3, "stable-baselines3 is not installed")
class PPO(unittest.TestCase):
    def remote(self, num_envs, **options):
        url = shared_server().url
        return SB3VecEnv(RemoteVectorEnv(url, ENV_ID, num_envs, autoreset="same_step", **options))

    def trained(self, until):
        with closing(self.remote(8)) as envs, redirect_stdout(io.StringIO()):
            return train(envs, total_steps=15_000, until=until, seed=SEED)

    def assert_same_steps(self, num_envs, steps, max_episode_steps):
        """Step the remote environments and SB3's own alike; returns how many episodes
        (terminated, were cut off)."""

        def local():
            return Monitor(gymnasium.make(ENV_ID, max_episode_steps=max_episode_steps))

        random = np.random.default_rng(SEED)
        terminated = cut_off = 0
        with (
            closing(DummyVecEnv([local] * num_envs)) as expected,
            closing(self.remote(num_envs, max_episode_steps=max_episode_steps)) as envs,
        ):
            self.assertEqual(envs.observation_space, expected.observation_space)
            self.assertEqual(envs.action_space, expected.action_space)
            self.assertEqual(envs.seed(SEED), expected.seed(SEED))
            np.testing.assert_array_equal(envs.reset(), expected.reset(), strict=True)
            for _ in range(steps):
                actions = random.integers(2, size=num_envs)
                *got, infos = envs.step(actions)
                *wanted, wanted_infos = expected.step(actions)
                for mine, theirs in zip(got, wanted, strict=True):  # observations, rewards, dones
                    np.testing.assert_array_equal(mine, theirs, strict=True)
                for done, mine, theirs in zip(got[2], infos, wanted_infos, strict=True):
                    self.assertEqual(mine.keys(), theirs.keys())
                    self.assertIs(mine["TimeLimit.truncated"], theirs["TimeLimit.truncated"])
                    if not done:
                        continue
                    np.testing.assert_array_equal(
                        mine["terminal_observation"], theirs["terminal_observation"], strict=True
                    )
                    self.assertEqual(mine["episode"].keys(), theirs["episode"].keys())
                    for key in ("r", "l"):
                        self.assertEqual(mine["episode"][key], theirs["episode"][key])
                    cut_off += mine["TimeLimit.truncated"]
                    terminated += not mine["TimeLimit.truncated"]
        return terminated, cut_off

    def test_steps_as_sb3s_own(self):
        terminated, cut_off = self.assert_same_steps(3, 300, max_episode_steps=None)
        self.assertGreater(terminated, 20)
        self.assertEqual(cut_off, 0)

    def test_episodes_that_are_cut_off(self):
        terminated, cut_off = self.assert_same_steps(3, 300, max_episode_steps=15)
        self.assertGreater(terminated, 0)
        self.assertGreater(cut_off, 20)

    def test_a_reset_in_the_middle_of_episodes(self):
        with closing(self.remote(2, max_episode_steps=5)) as envs:
            envs.reset()
            envs.step(np.array([0, 1]))
            envs.reset()
            for _ in range(5):
                _, _, dones, infos = envs.step(np.array([0, 1]))
            self.assertEqual(dones.tolist(), [True, True])
            self.assertEqual([info["episode"]["r"] for info in infos], [5.0, 5.0])
            self.assertEqual([info["episode"]["l"] for info in infos], [5, 5])

    def test_it_learns(self):
        curve = self.trained(until=400.0)
        self.assertGreater(len(curve.returns), 100)
        self.assertLess(np.mean(curve.returns[:20]), 2 * RANDOM_POLICYS_RETURN)
        self.assertGreater(curve.mean(), 3 * RANDOM_POLICYS_RETURN, str(curve))

    def test_it_ends_at_its_goal(self):
        curve = self.trained(until=15.0)
        self.assertTrue(curve.reached())
        self.assertLess(curve.num_timesteps, 10_000)
        self.assertEqual(curve.ends[-1], curve.num_timesteps)
        self.assertEqual(curve.ends, sorted(curve.ends))
        self.assertEqual(len(curve.ends), len(curve.returns))
