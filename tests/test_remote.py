"""gym_http.remote: an environment on a server is used as any other of Gymnasium."""

import pickle
import subprocess
import sys
import warnings
from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import FrameStackObservation, RecordEpisodeStatistics, vector
from nose2.tools import params

from gym_http.remote import ENV_ID, RemoteEnv, RemoteVectorEnv
from gym_http.remote.connection import MessagePackClient
from tests.support import ROOT, ServerCase, get
from tests.test_trajectories import ENVIRONMENTS, Known, bits

CARTPOLE = Known("CartPole-v1")
DRAWN = [known for known in ENVIRONMENTS if known.package in ("gymnasium", "ale_py", "minigrid")]


class RemoteCase(ServerCase):
    """Whatever a test makes is closed after it."""

    def setUp(self):
        super().setUp()
        self.url = self.server.url
        self.cartpole = {"url": self.url, "env_id": "CartPole-v1"}
        self.client = self.closed_later(MessagePackClient(self.url))
        self.instances = self.client.env_list_all

    def closed_later(self, env: Any) -> Any:
        self.addCleanup(env.close)
        return env

    def make(self, env_id: str = "CartPole-v1", **more: Any) -> gymnasium.Env:
        return self.closed_later(gymnasium.make(ENV_ID, url=self.url, env_id=env_id, **more))

    def make_vec(self, env_id: str = "CartPole-v1", **more: Any) -> Any:
        more = {"url": self.url, "env_id": env_id, **more}
        return self.closed_later(gymnasium.make_vec(ENV_ID, 3, **more))

    def direct(self, env_id: str = "CartPole-v1", **more: Any) -> RemoteEnv:
        return self.closed_later(RemoteEnv(self.url, env_id, **more))

    def here(self, known: Known = CARTPOLE, **more: Any) -> gymnasium.Env:
        return self.closed_later(known.needed(self).in_process(**more))

    def here_vec(self) -> Any:
        return self.closed_later(gymnasium.make_vec("CartPole-v1", 3, "sync"))

    def same(self, got: Any, wanted: Any) -> None:
        self.assertEqual(bits(got), bits(wanted))

    def same_beginning(self, there: Any, here: Any) -> None:
        self.same(there.reset(seed=4), here.reset(seed=4))
        self.same(there.step([0, 1, 1]), here.step([0, 1, 1]))


class Making(RemoteCase):
    def test_without_an_import(self):
        code = (
            "import gymnasium as g\n"
            f"name, more = 'gym_http.remote:{ENV_ID}', {self.cartpole}\n"
            "for env in (g.make(name, **more), g.make_vec(name, 2, **more)):\n"
            "    print(env.reset(seed=4)[0].tolist()), env.close()\n"
        )
        ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        four, five = (self.here().reset(seed=seed)[0].tolist() for seed in (4, 5))
        self.assertEqual(ran.stdout, f"{four}\n{[four, five]}\n", ran.stderr)

    @params((None, RemoteVectorEnv), ("sync", SyncVectorEnv))
    def test_make_vec(self, mode, kind):
        """The server's vector environment, or one here of three there."""
        there, here = self.make_vec(vectorization_mode=mode), self.here_vec()
        self.assertIsInstance(there, kind)
        self.assertEqual(there.num_envs, 3)
        self.assertIs(there.metadata["autoreset_mode"], AutoresetMode.NEXT_STEP)
        for which in ("action_space", "observation_space", "single_action_space"):
            self.assertEqual(getattr(there, which), getattr(here, which))
        self.assertEqual(there.single_observation_space, here.single_observation_space)
        self.same_beginning(there, here)

    @params(None, "spawn")
    def test_in_processes_of_their_own(self, context):
        """What makes one is pickled on its way to where it is made."""
        name, given, before = f"gym_http.remote:{ENV_ID}", self.cartpole, self.instances()
        build = [lambda: gymnasium.make(name, **given)] * 3
        there, here = self.closed_later(AsyncVectorEnv(build, context=context)), self.here_vec()
        self.same_beginning(there, here)
        self.assertEqual(len(self.instances()), len(before) + 3)
        there.close()
        self.assertEqual(self.instances(), before)

    def test_arguments_and_options(self):
        env = self.make("FrozenLake-v1", kwargs={"is_slippery": False, "map_name": "8x8"})
        self.assertEqual(env.observation_space, gymnasium.spaces.Discrete(64))
        env.reset(seed=0)
        self.assertEqual([env.step(2)[0] for _ in range(4)], [1, 2, 3, 4])  # on ice it would slip
        here, there, options = self.here(), self.make(), {"low": 0.01, "high": 0.02}
        self.same(there.reset(seed=1, options=options), here.reset(seed=1, options=options))

    @params("direct", "make", "make_vec")
    def test_terms(self, how):
        terms = {
            "backend": "process",
            "step_timeout_s": 7.0,
            "make_timeout_s": 8.0,
            "lease_s": 90.0,
        }
        env = getattr(self, how)(**terms)
        self.assertEqual({name: env.unwrapped.remote[name] for name in terms}, terms)
        env.reset(seed=1)
        self.assertEqual({name: env.unwrapped.spec.kwargs[name] for name in terms}, terms)

    @params("direct", "make", "make_vec")
    def test_time_limits(self, how):
        env = getattr(self, how)(max_episode_steps=3)
        env.reset(seed=0)
        ends = [env.step(env.action_space.sample())[3] for _ in range(3)]
        self.assertEqual([bool(np.all(end)) for end in ends], [False, False, True])


class Likeness(RemoteCase):
    """To the environment in process, and to what Gymnasium asks of any."""

    @params(*ENVIRONMENTS)
    def test_spaces(self, known):
        here, there = self.here(known), self.direct(known.env_id, engine=known.engine)
        if known.package == "minigrid":  # of its missions only the length is known
            mission = there.observation_space["mission"]
            self.assertIn(here.reset(seed=1)[0]["mission"], mission)
            self.assertNotIn(7, mission)
            here.observation_space.spaces["mission"] = deepcopy(mission)
        for which in ("action_space", "observation_space"):
            ours, theirs = getattr(there, which), getattr(here, which)
            self.assertEqual(ours, theirs)
            ours.seed(5), theirs.seed(5)
            self.same(ours.sample(), theirs.sample())

    @params(*((known, how) for known in DRAWN for how in ("make", "direct")))
    def test_check_env(self, known, how):
        here = self.here(known, render_mode="rgb_array").unwrapped
        there, before = getattr(self, how)(known.env_id).unwrapped, self.instances()
        self.assertLessEqual(self.warned(there), self.warned(here, skip_render_check=True))
        self.assertEqual(self.instances(), before)

    def warned(self, env: gymnasium.Env, **more: Any) -> set[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            check_env(env, **more)
        return {str(warning.message) for warning in caught}

    @params(*DRAWN)
    def test_render(self, known):
        here, there = self.here(known, render_mode="rgb_array"), self.make(known.env_id)
        fps = here.metadata["render_fps"]
        self.assertEqual(there.metadata, {"render_modes": ["rgb_array"], "render_fps": fps})
        self.assertEqual(there.render_mode, "rgb_array")
        for seed in (2, None):
            here.reset(seed=seed), there.reset(seed=seed)
            self.same(there.render(), here.render())
            action = here.action_space.sample()
            here.step(action), there.step(action)

    def test_render_of_other_kinds(self):
        here = self.here(Known("FrozenLake-v1"), render_mode="ansi")
        text = self.make("FrozenLake-v1", render_mode="ansi")
        self.assertEqual((text.render_mode, text.metadata["render_modes"]), ("ansi", ["ansi"]))
        here.reset(seed=2), text.reset(seed=2)
        self.assertEqual(text.render(), here.render())
        nothing = self.direct("CustomOdd-v0")
        self.assertEqual((nothing.render_mode, nothing.render()), (None, None))
        frames = self.make(render_mode="rgb_array_list")
        frames.reset(seed=2), frames.step(0)
        self.assertEqual([frame.shape for frame in frames.render()], [(400, 600, 3)] * 2)

    def test_render_of_many(self):
        envs, here = self.make_vec(), self.here(render_mode="rgb_array")
        envs.reset(seed=2)
        frames = envs.render()
        self.assertEqual((type(frames), envs.spec.reward_threshold), (tuple, 475.0))
        for which, frame in enumerate(frames):
            here.reset(seed=2 + which)
            self.same(frame, here.render())

    def test_spec(self):
        given = {"url": self.url, "env_id": "FrozenLake-v1", "kwargs": {"is_slippery": False}}
        spec = self.closed_later(gymnasium.make(ENV_ID, **given)).spec
        self.assertEqual((spec.id, spec.kwargs), (ENV_ID, given))
        self.assertEqual(spec.reward_threshold, gymnasium.spec("FrozenLake-v1").reward_threshold)
        for source in (spec, spec.from_json(spec.to_json())):
            another = self.closed_later(gymnasium.make(source))
            self.assertIsInstance(another.unwrapped, RemoteEnv)
            another.reset(seed=0)
            self.assertEqual(another.step(2)[0], 1)

    def test_the_spec_of_one_made_directly(self):
        given = {"render_mode": "ansi", "time_limit": 3, "timeout": 9.0, "compress": True}
        env = self.direct("FrozenLake-v1", token="secret", **given)
        another = self.closed_later(gymnasium.make(env.spec)).unwrapped
        self.assertEqual((another.render_mode, another.remote["max_episode_steps"]), ("ansi", 3))
        self.assertLessEqual({"token": "secret", **given}.items(), another.spec.kwargs.items())
        envs = self.closed_later(RemoteVectorEnv(self.url, "CartPole-v1", 2, max_episode_steps=3))
        others = self.closed_later(gymnasium.make_vec(envs.spec))
        self.assertEqual((others.num_envs, others.remote["max_episode_steps"]), (2, 3))


class Wrappers(RemoteCase):
    @params(RecordEpisodeStatistics, lambda env: FrameStackObservation(env, 3))
    def test_single(self, wrap):
        here, there = wrap(self.here()), wrap(self.make())
        self.same(there.reset(seed=1), here.reset(seed=1))
        done = False
        while not done:
            wanted, got = here.step(0), there.step(0)
            for info in (wanted[4], got[4]):
                info.get("episode", {}).pop("t", None)  # the time that it took
            self.same(got, wanted)
            done = wanted[2]
        self.assertEqual(there.spec.additional_wrappers, here.spec.additional_wrappers)

    @params("next_step", "same_step", "disabled")
    def test_statistics_of_many(self, autoreset):
        remote = self.make_vec(max_episode_steps=5, autoreset=autoreset)
        mode = remote.metadata["autoreset_mode"]
        local = [lambda: gymnasium.make("CartPole-v1", max_episode_steps=5)] * 3
        told = []
        for envs in (remote, gymnasium.vector.SyncVectorEnv(local, autoreset_mode=mode)):
            counted = vector.RecordEpisodeStatistics(envs)
            counted.reset(seed=1)
            for call in range(12):
                ended = counted.step(np.array([call % 2] * 3))[3]
                if autoreset == "disabled" and ended.any():
                    counted.reset(options={"reset_mask": ended})
            told.append([*counted.length_queue, *counted.return_queue])
        self.assertEqual(told[0], told[1])
        self.assertEqual(len(told[0]), 12)


class Ends(RemoteCase):
    def test_a_time_limit_through_make(self):
        env = self.make(time_limit=3)
        env.reset(seed=1)
        self.assertEqual([env.step(0)[3] for _ in range(3)], [False, False, True])
        self.assertEqual(env.spec.max_episode_steps, 3)

    def test_gymnasiums_own_name_for_an_autoreset(self):
        envs = self.make_vec(autoreset=gymnasium.vector.AutoresetMode.SAME_STEP)
        self.assertEqual(envs.remote["autoreset"], "same_step")

    def test_one_that_nobody_closes(self):
        code = (
            "import gymnasium, gym_http.remote, sys\n"
            f"make = lambda f, *n: f('{ENV_ID}', *n, url='{self.url}', env_id='Acrobot-v1')\n"
            "one, two = make(gymnasium.make), make(gymnasium.make_vec, 2)\n"
        )
        others = self.alive()
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertLessEqual(self.alive(), others)

    def alive(self):
        return set(get(self.server, "/v1/envs/")[2]["envs"])

    def test_copies(self):
        env = self.direct()
        for copying in (deepcopy, pickle.dumps):
            with self.assertRaisesRegex(TypeError, "no copies"):
                copying(env)


class Observations(RemoteCase):
    @params("CartPole-v1", "CustomNested-v0")
    def test_are_the_callers_own(self, env_id):
        """Arrays to write to, which no later call changes."""
        env = self.direct(env_id)
        first, _ = env.reset(seed=1)
        before = bits(first)
        second = env.step(env.action_space.sample())[0]
        self.assertEqual(bits(first), before)
        self.assertNotEqual(bits(second), before)
        (second["grid"] if isinstance(second, dict) else second)[0] += 1

    def test_numbers_that_json_lacks(self):
        env = self.direct("CustomUnruly-v0")
        observation, info = env.reset()
        self.same(observation, np.array([np.nan, np.inf, -np.inf]))
        self.same(info.pop("array"), np.array([1.5, np.nan]))
        nested = {"tuple": [1, 2], "set": [3], "4": "int key"}
        self.assertEqual(info, {"scalar": 0.5, "flag": True, "nested": nested, "inf": np.inf})
        self.assertEqual(env.step(0)[1], np.inf)
