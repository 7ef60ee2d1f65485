"""gym_http.remote: an environment on a server is used as any other of Gymnasium."""

import os
import subprocess
import sys
import tempfile
import unittest
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import error
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import FrameStackObservation, RecordEpisodeStatistics, vector
from nose2.tools import params

from gym_http.remote import ENV_ID, RemoteEnv, RemoteVectorEnv
from gym_http.remote.connection import MessagePackClient
from tests.support import ROOT, ServerProcess, get, shared_server
from tests.test_trajectories import ENVIRONMENTS, Known, bits

CHECKED = (
    Known("CartPole-v1"),
    Known("Pendulum-v1"),
    Known("FrozenLake-v1"),
    Known("Blackjack-v1"),
    Known("MiniGrid-Empty-5x5-v0", "minigrid"),
)
DRAWN = (*CHECKED, Known("ALE/Pong-v5", "ale_py"))

# What the owner of a server may bring: a space that clients have no builder for.
OWN_SPACE = """
import gymnasium
from gym_http.spaces import describe
from tests.custom_envs import Odd

class Own(gymnasium.spaces.Discrete): ...

@describe.register
def _(space: Own): return {"name": "Own"}

class OwnEnv(Odd):
    observation_space = Own(1000)

gymnasium.register("OwnSpace-v0", entry_point=OwnEnv)
"""


class RemoteCase(unittest.TestCase):
    """Of the shared server; whatever a test makes is closed after it."""

    def setUp(self):
        self.url = shared_server().url
        self.client = MessagePackClient(self.url)
        self.addCleanup(self.client.close)

    def closed_later(self, env: Any) -> Any:
        self.addCleanup(env.close)
        return env

    def make(self, env_id: str = "CartPole-v1", **more: Any) -> gymnasium.Env:
        return self.closed_later(gymnasium.make(ENV_ID, url=self.url, env_id=env_id, **more))

    def make_vec(self, env_id: str = "CartPole-v1", num_envs: int = 3, **more: Any) -> Any:
        return self.closed_later(
            gymnasium.make_vec(ENV_ID, num_envs, url=self.url, env_id=env_id, **more)
        )

    def direct(self, env_id: str = "CartPole-v1", **more: Any) -> RemoteEnv:
        return self.closed_later(RemoteEnv(self.url, env_id, **more))

    def here(self, known: Known, **more: Any) -> gymnasium.Env:
        return self.closed_later(known.needed(self).in_process(**more))


class Making(RemoteCase):
    @params(ENV_ID, f"gym_http.remote:{ENV_ID}")
    def test_make(self, name):
        env = self.closed_later(gymnasium.make(name, url=self.url, env_id="CartPole-v1"))
        self.assertIsInstance(env.unwrapped, RemoteEnv)
        here = self.here(Known("CartPole-v1"))
        self.assertEqual(bits(env.reset(seed=4)), bits(here.reset(seed=4)))
        self.assertEqual(bits(env.step(1)), bits(here.step(1)))

    def test_without_an_import(self):
        code = (
            "import gymnasium\n"
            f"more = dict(url={self.url!r}, env_id='CartPole-v1')\n"
            f"name = 'gym_http.remote:{ENV_ID}'\n"
            "for env in (gymnasium.make(name, **more), gymnasium.make_vec(name, 2, **more)):\n"
            "    print(env.reset(seed=4)[0].tolist())\n"
            "    env.close()\n"
        )
        ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        here = self.here(Known("CartPole-v1"))
        seeded = [here.reset(seed=seed)[0].tolist() for seed in (4, 4, 5)]
        self.assertEqual(ran.stdout, f"{seeded[0]}\n{seeded[1:]}\n")

    @params((None, RemoteVectorEnv), ("sync", SyncVectorEnv))
    def test_make_vec(self, mode, kind):
        """The server's vector environment, or one here of three there."""
        envs = self.make_vec(vectorization_mode=mode)
        self.assertIsInstance(envs, kind)
        here = self.closed_later(gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="sync"))
        for both in ("single_action_space", "action_space", "single_observation_space"):
            self.assertEqual(getattr(envs, both), getattr(here, both))
        self.assertEqual(envs.observation_space, here.observation_space)
        self.assertEqual(envs.num_envs, 3)
        self.assertEqual(bits(envs.reset(seed=4)), bits(here.reset(seed=4)))
        actions = np.array([0, 1, 1])
        self.assertEqual(bits(envs.step(actions)), bits(here.step(actions)))

    @params(None, "spawn")
    def test_many_processes(self, context):
        """What makes one is carried to where it lives."""
        url = self.url
        make = lambda: gymnasium.make(f"gym_http.remote:{ENV_ID}", url=url, env_id="CartPole-v1")  # noqa: E731
        before = self.client.env_list_all()
        envs = self.closed_later(AsyncVectorEnv([make, make], context=context))
        here = self.closed_later(gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync"))
        self.assertEqual(bits(envs.reset(seed=4)), bits(here.reset(seed=4)))
        self.assertEqual(bits(envs.step(np.array([0, 1]))), bits(here.step(np.array([0, 1]))))
        self.assertEqual(len(self.client.env_list_all()), len(before) + 2)
        envs.close()
        self.assertEqual(self.client.env_list_all(), before)

    def test_arguments(self):
        env = self.make("FrozenLake-v1", kwargs={"is_slippery": False, "map_name": "8x8"})
        self.assertEqual(env.observation_space, gymnasium.spaces.Discrete(64))
        env.reset(seed=0)
        for place in range(1, 5):  # on ice it would slip
            self.assertEqual(env.step(2)[0], place)

    def test_options(self):
        here, there = self.here(Known("CartPole-v1")), self.make()
        given = {"low": 0.01, "high": 0.02}
        wanted = here.reset(seed=1, options=given)
        self.assertEqual(bits(there.reset(seed=1, options=given)), bits(wanted))
        self.assertNotEqual(bits(there.reset(seed=1)), bits(wanted))

    def test_time_limits(self):
        """The server's own; Gymnasium's make and make_vec take one, too."""
        self.assertEqual(self.ends(self.direct(max_episode_steps=3)), 3)
        self.assertEqual(self.ends(self.make(max_episode_steps=3)), 3)
        envs = self.make_vec(max_episode_steps=3)
        envs.reset(seed=0)
        truncated = [envs.step(np.array([call % 2] * 3))[3].all() for call in range(3)]
        self.assertEqual(truncated, [False, False, True])

    def ends(self, env: gymnasium.Env) -> int:
        """How many steps it takes until the episode is truncated."""
        env.reset(seed=0)
        return next(step for step in range(1, 20) if env.step(step % 2)[3])


class Likeness(RemoteCase):
    """To the environment in process, and to what Gymnasium asks of any."""

    @params(*ENVIRONMENTS)
    def test_spaces(self, known):
        here, there = self.here(known), self.direct(known.env_id, engine=known.engine)
        self.assertEqual(there.action_space, here.action_space)
        if known.package == "minigrid":  # of its missions only the length is known
            mission = there.observation_space["mission"]
            self.assertIn(here.reset(seed=1)[0]["mission"], mission)
            self.assertNotIn(7, mission)
            here.observation_space.spaces["mission"] = mission
        self.assertEqual(there.observation_space, here.observation_space)
        for which in ("action_space", "observation_space"):
            samples = []
            for env in (here, there):
                getattr(env, which).seed(5)
                samples.append(bits(getattr(env, which).sample()))
            self.assertEqual(samples[1], samples[0])

    @params(*((known, how) for known in CHECKED for how in ("make", "direct")))
    def test_check_env(self, known, how):
        here = self.here(known, render_mode="rgb_array").unwrapped
        env = getattr(self, how)(known.env_id).unwrapped
        self.assertLessEqual(self.warned(env), self.warned(here, skip_render_check=True))

    def warned(self, env: gymnasium.Env, **more: Any) -> set[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            check_env(env, **more)
        return {str(warning.message) for warning in caught}

    @params(*DRAWN)
    def test_render(self, known):
        here = self.here(known, render_mode="rgb_array")
        there = self.make(known.env_id)
        self.assertEqual(there.render_mode, "rgb_array")
        self.assertEqual(there.metadata["render_modes"], ["rgb_array"])
        self.assertEqual(there.metadata["render_fps"], here.metadata["render_fps"])
        for env in (here, there):
            env.reset(seed=2)
        for _ in range(2):
            self.assertEqual(bits(there.render()), bits(here.render()))
            action = here.action_space.sample()
            here.step(action), there.step(action)

    def test_render_of_others(self):
        here = self.here(Known("FrozenLake-v1"), render_mode="ansi")
        text = self.make("FrozenLake-v1", render_mode="ansi")
        self.assertEqual((text.render_mode, text.metadata["render_modes"]), ("ansi", ["ansi"]))
        here.reset(seed=2), text.reset(seed=2)
        self.assertEqual(text.render(), here.render())
        self.assertIsInstance(text.render(), str)
        nothing = self.direct("CustomOdd-v0")
        nothing.reset()
        self.assertEqual((nothing.render_mode, nothing.render()), (None, None))
        frames = self.make("CartPole-v1", render_mode="rgb_array_list")
        frames.reset(seed=2), frames.step(0)
        self.assertEqual([frame.shape for frame in frames.render()], [(400, 600, 3)] * 2)

    def test_render_of_many(self):
        envs = self.make_vec()
        envs.reset(seed=2)
        frames = envs.render()
        self.assertIsInstance(frames, tuple)
        for which, frame in enumerate(frames):
            here = self.here(Known("CartPole-v1"), render_mode="rgb_array")
            here.reset(seed=2 + which)
            self.assertEqual(bits(frame), bits(here.render()))

    def test_spec(self):
        given = {"url": self.url, "env_id": "FrozenLake-v1", "kwargs": {"is_slippery": False}}
        spec = self.closed_later(gymnasium.make(ENV_ID, **given)).spec
        self.assertEqual((spec.id, spec.kwargs), (ENV_ID, given))
        self.assertEqual(spec.reward_threshold, gymnasium.spec("FrozenLake-v1").reward_threshold)
        before = self.client.env_list_all()
        another = self.closed_later(gymnasium.make(EnvSpec.from_json(spec.to_json())))
        self.assertEqual(len(self.client.env_list_all()), len(before) + 1)
        another.reset(seed=0)
        self.assertEqual(another.step(2)[0], 1)

    def test_a_direct_ones_spec_makes_its_like(self):
        env = self.direct("FrozenLake-v1", max_episode_steps=3, render_mode="ansi", timeout=9.0)
        self.assertEqual(env.spec.reward_threshold, 0.7)
        another = self.closed_later(gymnasium.make(env.spec)).unwrapped
        self.assertEqual(another.render_mode, "ansi")
        self.assertEqual(
            (another.remote["max_episode_steps"], another.spec.kwargs["timeout"]), (3, 9)
        )
        envs = self.closed_later(RemoteVectorEnv(self.url, "CartPole-v1", 2, autoreset="disabled"))
        others = self.closed_later(gymnasium.make_vec(envs.spec))
        self.assertEqual((others.num_envs, others.remote["autoreset"]), (2, "disabled"))

    def test_metadata_of_many(self):
        for name, mode in (("same_step", AutoresetMode.SAME_STEP), (None, AutoresetMode.NEXT_STEP)):
            envs = self.make_vec(autoreset=name)
            self.assertIs(envs.metadata["autoreset_mode"], mode)
            self.assertEqual(envs.spec.reward_threshold, 475.0)


class Wrappers(RemoteCase):
    @params(RecordEpisodeStatistics, lambda env: FrameStackObservation(env, 3))
    def test_single(self, wrap):
        here, there = wrap(self.here(Known("CartPole-v1"))), wrap(self.make())
        self.assertEqual(bits(there.reset(seed=1)), bits(here.reset(seed=1)))
        done = False
        while not done:
            one, other = here.step(0), there.step(0)
            for info in (one[4], other[4]):
                info.get("episode", {}).pop("t", None)  # the time that it took
            self.assertEqual(bits(other), bits(one))
            done = one[2]
        self.assertEqual(there.spec.additional_wrappers, here.spec.additional_wrappers)

    @params("next_step", "same_step", "disabled")
    def test_statistics_of_many(self, autoreset):
        envs = vector.RecordEpisodeStatistics(
            self.make_vec(max_episode_steps=5, autoreset=autoreset)
        )
        envs.reset(seed=1)
        for call in range(12):
            _, _, _, truncated, _ = envs.step(np.array([call % 2] * 3))
            if autoreset == "disabled" and truncated.any():
                envs.reset(options={"reset_mask": truncated})
        self.assertEqual(list(envs.length_queue), [5] * 6)
        self.assertEqual(list(envs.return_queue), [5.0] * 6)


class Observations(RemoteCase):
    @params("CartPole-v1", "CustomNested-v0")
    def test_are_the_callers_own(self, env_id):
        """Arrays to write to, which no later call changes."""
        env = self.direct(env_id)
        first, _ = env.reset(seed=1)
        before = bits(first)
        env.action_space.seed(1)
        second = env.step(env.action_space.sample())[0]
        self.assertEqual(bits(first), before)
        self.assertNotEqual(bits(second), before)
        array = second if isinstance(second, np.ndarray) else second["grid"]
        array += 1

    def test_infos_and_numbers_that_json_lacks(self):
        env = self.direct("CustomUnruly-v0")
        observation, info = env.reset()
        np.testing.assert_array_equal(observation, [np.nan, np.inf, -np.inf])
        np.testing.assert_array_equal(info["array"], [1.5, np.nan])
        self.assertEqual(info["inf"], np.inf)
        self.assertIs(info["flag"], True)
        self.assertEqual(info["nested"], {"tuple": [1, 2], "set": [3], "4": "int key"})
        self.assertEqual(env.step(0)[1], np.inf)

    @params("CartPole-v1", "Blackjack-v1")
    def test_last_observations_of_many(self, env_id):
        envs = self.make_vec(env_id, autoreset="same_step")
        envs.reset(seed=1)
        infos, which = {}, []
        while len(which) in (0, envs.num_envs):  # until some end, and others don't
            *_, infos = envs.step(envs.action_space.sample())
            which = np.flatnonzero(infos.get("_final_obs", []))
        self.assertEqual((infos["final_obs"].dtype, infos["final_obs"].shape), (object, (3,)))
        self.assertEqual(infos["_final_obs"].dtype, np.bool_)
        for index, last in enumerate(infos["final_obs"]):
            if index in which:
                self.assertIn(last, envs.single_observation_space)
            else:
                self.assertIsNone(last)


class Errors(RemoteCase):
    """They are Gymnasium's own, and nothing stays on the server when making fails."""

    @params(
        ({"env_id": "Nope-v9"}, error.UnregisteredEnv, "Nope"),
        ({"kwargs": {"colour": 1}}, error.Error, "colour"),
        ({"env_id": "CustomFaulty-v0", "kwargs": {"how": "make error"}}, error.Error, "no end"),
        ({"env_id": "CustomUnheard-v0"}, error.Error, "Shape"),
        ({"render_mode": "ansi"}, error.Error, "rgb_array"),
        ({"engine": "unity"}, error.Error, "gymnasium, gym"),
        ({"url": "http://127.0.0.1:9"}, error.Error, "did not answer"),
    )
    def test_making(self, given, kind, message):
        before = self.client.env_list_all()
        for make in (RemoteEnv, RemoteVectorEnv):
            with self.assertRaisesRegex(kind, message) as caught:
                make(**{"url": self.url, "env_id": "CartPole-v1", **given})
            self.assertIsNotNone(caught.exception.__cause__)
        self.assertEqual(self.client.env_list_all(), before)

    def test_dependencies(self):
        _, _, known = get(shared_server(), "/v1/registry/?engine=gymnasium")
        lacking = [one for one in known["unavailable"] if one["missing"].startswith("pip")]
        if not lacking:
            self.skipTest("everything that an environment of Gymnasium needs is installed")
        with self.assertRaises(error.DependencyNotInstalled):
            self.direct(lacking[0]["env_id"])

    def test_order(self):
        for env in (self.direct(), self.make()):
            for call in (lambda env=env: env.step(0), env.render):
                with self.assertRaises(error.ResetNeeded):
                    call()
        envs = self.make_vec()
        with self.assertRaises(error.ResetNeeded):
            envs.step(np.array([0, 0, 0]))

    @params(7, -1, 0.5, "x", None, [0, 1], object())
    def test_actions(self, action):
        env = self.direct()
        env.reset(seed=1)
        with self.assertRaises(error.InvalidAction):
            env.step(action)
        env.step(0)  # it is as it was
        envs = self.make_vec()
        envs.reset(seed=1)
        with self.assertRaises(error.InvalidAction):
            envs.step([0, action, 0])

    def test_refused_options(self):
        with self.assertRaisesRegex(error.Error, "no options here"):
            self.direct("CustomRaises-v0").reset(options={"any": 1})

    def test_an_environment_that_raises(self):
        env = self.direct("CustomRaises-v0")
        env.reset()
        with self.assertRaisesRegex(error.Error, "ZeroDivisionError"):
            env.step(1)
        with self.assertRaises(error.ResetNeeded):
            env.step(0)
        env.reset()
        self.assertEqual(env.step(0)[0], 1)

    def test_closing(self):
        before = self.client.env_list_all()
        for env in (self.make(), self.direct(), self.make_vec(), self.make_vec("Taxi-v4")):
            self.assertEqual(len(self.client.env_list_all()), len(before) + 1)
            env.close()
            self.assertEqual(self.client.env_list_all(), before)
            env.close()
            for call in (env.unwrapped.reset, lambda env=env: env.unwrapped.step(0)):
                with self.assertRaises(error.ClosedEnvironmentError):
                    call()

    def test_closed_by_somebody_else(self):
        env = self.direct()
        self.client.env_close(env.remote["instance_id"])
        with self.assertRaises(error.ClosedEnvironmentError):
            env.reset()
        with self.assertWarnsRegex(UserWarning, "unknown"):
            env.close()

    def test_a_server_of_ones_own(self):
        """A space that can't be rebuilt here, and a server that is gone."""
        scratch = self.enterContext(tempfile.TemporaryDirectory())
        Path(scratch, "own_space.py").write_text(OWN_SPACE)
        path = {"PYTHONPATH": f"{ROOT}{os.pathsep}{scratch}"}
        with ServerProcess("--import", "own_space", environ=path) as server:
            for make in (RemoteEnv, RemoteVectorEnv):
                with self.assertRaisesRegex(error.Error, "Own"):
                    make(server.url, "OwnSpace-v0")
            self.assertEqual(MessagePackClient(server.url).env_list_all(), {})
            env = RemoteEnv(server.url, "CartPole-v1")
            env.reset()
        for call in (env.reset, env.render, lambda: env.step(0)):
            with self.assertRaisesRegex(error.Error, "did not answer"):
                call()
        with self.assertWarns(UserWarning):
            env.close()
        env.close()
