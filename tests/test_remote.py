"""gym_http.remote: an environment on a server is used as any other of Gymnasium."""

import os
import subprocess
import sys
import warnings
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
from tests.support import ROOT, ServerCase, ServerProcess, get
from tests.test_trajectories import ENVIRONMENTS, Known, bits

CARTPOLE = Known("CartPole-v1")
CHECKED = (
    CARTPOLE,
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


class RemoteCase(ServerCase):
    """Whatever a test makes is closed after it."""

    def setUp(self):
        super().setUp()
        self.url = self.server.url
        self.client = self.closed_later(MessagePackClient(self.url))
        self.instances = self.client.env_list_all

    def closed_later(self, env: Any) -> Any:
        self.addCleanup(env.close)
        return env

    def make(self, env_id: str = "CartPole-v1", **more: Any) -> gymnasium.Env:
        return self.closed_later(gymnasium.make(ENV_ID, url=self.url, env_id=env_id, **more))

    def make_vec(self, env_id: str = "CartPole-v1", **more: Any) -> Any:
        given = {"num_envs": 3, "url": self.url, "env_id": env_id, **more}
        return self.closed_later(gymnasium.make_vec(ENV_ID, **given))

    def direct(self, env_id: str = "CartPole-v1", **more: Any) -> RemoteEnv:
        return self.closed_later(RemoteEnv(self.url, env_id, **more))

    def here(self, known: Known = CARTPOLE, **more: Any) -> gymnasium.Env:
        return self.closed_later(known.needed(self).in_process(**more))

    def here_vec(self, num_envs: int = 3) -> Any:
        """gymnasium.make_vec's CartPole."""
        return self.closed_later(gymnasium.make_vec("CartPole-v1", num_envs, "sync"))

    def same(self, got: Any, wanted: Any) -> None:
        self.assertEqual(bits(got), bits(wanted))


class Making(RemoteCase):
    @params(ENV_ID, f"gym_http.remote:{ENV_ID}")
    def test_make(self, name):
        there = self.closed_later(gymnasium.make(name, url=self.url, env_id="CartPole-v1"))
        self.assertIsInstance(there.unwrapped, RemoteEnv)
        here = self.here()
        self.same(there.reset(seed=4), here.reset(seed=4))
        self.same(there.step(1), here.step(1))

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
        here = self.here()
        four, five = (here.reset(seed=seed)[0].tolist() for seed in (4, 5))
        self.assertEqual(ran.stdout, f"{four}\n{[four, five]}\n")

    @params((None, RemoteVectorEnv), ("sync", SyncVectorEnv))
    def test_make_vec(self, mode, kind):
        """The server's vector environment, or one here of three there."""
        there, here = self.make_vec(vectorization_mode=mode), self.here_vec()
        self.assertIsInstance(there, kind)
        self.assertEqual(there.num_envs, 3)
        for which in ("action_space", "observation_space"):
            self.assertEqual(getattr(there, which), getattr(here, which))
            self.assertEqual(getattr(there, f"single_{which}"), getattr(here, f"single_{which}"))
        self.same(there.reset(seed=4), here.reset(seed=4))
        self.same(there.step(np.array([0, 1, 1])), here.step(np.array([0, 1, 1])))

    @params(None, "spawn")
    def test_in_processes_of_their_own(self, context):
        """What makes one is pickled on its way to where it is made."""
        name, url, before = f"gym_http.remote:{ENV_ID}", self.url, self.instances()
        build = [lambda: gymnasium.make(name, url=url, env_id="CartPole-v1")] * 2
        there, here = self.closed_later(AsyncVectorEnv(build, context=context)), self.here_vec(2)
        self.same(there.reset(seed=4), here.reset(seed=4))
        self.same(there.step(np.array([0, 1])), here.step(np.array([0, 1])))
        self.assertEqual(len(self.instances()), len(before) + 2)
        there.close()
        self.assertEqual(self.instances(), before)

    def test_arguments(self):
        env = self.make("FrozenLake-v1", kwargs={"is_slippery": False, "map_name": "8x8"})
        self.assertEqual(env.observation_space, gymnasium.spaces.Discrete(64))
        env.reset(seed=0)
        self.assertEqual([env.step(2)[0] for _ in range(4)], [1, 2, 3, 4])  # on ice it would slip

    def test_options(self):
        here, there, given = self.here(), self.make(), {"low": 0.01, "high": 0.02}
        wanted = here.reset(seed=1, options=given)
        self.same(there.reset(seed=1, options=given), wanted)
        self.assertNotEqual(bits(there.reset(seed=1)), bits(wanted))

    @params("direct", "make", "make_vec")
    def test_time_limits(self, how):
        """The server's own; Gymnasium's make applies one as well, and make_vec passes it on."""
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
            here.observation_space.spaces["mission"] = mission
        for which in ("action_space", "observation_space"):
            ours, theirs = getattr(there, which), getattr(here, which)
            self.assertEqual(ours, theirs)
            ours.seed(5), theirs.seed(5)
            self.same(ours.sample(), theirs.sample())

    @params(*((known, how) for known in CHECKED for how in ("make", "direct")))
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
        self.assertEqual(there.render_mode, "rgb_array")
        self.assertEqual(there.metadata["render_modes"], ["rgb_array"])
        self.assertEqual(there.metadata["render_fps"], here.metadata["render_fps"])
        here.reset(seed=2), there.reset(seed=2)
        self.same(there.render(), here.render())
        here.step(here.action_space.sample())
        here.reset(), there.reset()
        self.same(there.render(), here.render())

    def test_render_of_other_kinds(self):
        here = self.here(Known("FrozenLake-v1"), render_mode="ansi")
        text = self.make("FrozenLake-v1", render_mode="ansi")
        self.assertEqual((text.render_mode, text.metadata["render_modes"]), ("ansi", ["ansi"]))
        here.reset(seed=2), text.reset(seed=2)
        self.assertEqual(text.render(), here.render())
        nothing = self.direct("CustomOdd-v0")
        nothing.reset()
        self.assertEqual((nothing.render_mode, nothing.render()), (None, None))
        frames = self.make(render_mode="rgb_array_list")
        frames.reset(seed=2), frames.step(0)
        self.assertEqual([frame.shape for frame in frames.render()], [(400, 600, 3)] * 2)

    def test_render_of_many(self):
        envs, here = self.make_vec(), self.here(render_mode="rgb_array")
        envs.reset(seed=2)
        frames = envs.render()
        self.assertIsInstance(frames, tuple)
        for which, frame in enumerate(frames):
            here.reset(seed=2 + which)
            self.same(frame, here.render())

    def test_spec(self):
        given = {"url": self.url, "env_id": "FrozenLake-v1", "kwargs": {"is_slippery": False}}
        spec = self.closed_later(gymnasium.make(ENV_ID, **given)).spec
        self.assertEqual((spec.id, spec.kwargs), (ENV_ID, given))
        self.assertEqual(spec.reward_threshold, gymnasium.spec("FrozenLake-v1").reward_threshold)
        before = self.instances()
        for source in (spec, EnvSpec.from_json(spec.to_json())):
            another = self.closed_later(gymnasium.make(source))
            another.reset(seed=0)
            self.assertEqual(another.step(2)[0], 1)
        self.assertEqual(len(self.instances()), len(before) + 2)

    def test_the_spec_of_one_made_directly(self):
        given = {"render_mode": "ansi", "max_episode_steps": 3, "timeout": 9.0, "compress": True}
        env = self.direct("FrozenLake-v1", token="secret", **given)
        another = self.closed_later(gymnasium.make(env.spec)).unwrapped
        self.assertEqual((another.render_mode, another.remote["max_episode_steps"]), ("ansi", 3))
        self.assertLessEqual({**given, "token": "secret"}.items(), another.spec.kwargs.items())
        envs = self.closed_later(RemoteVectorEnv(self.url, "CartPole-v1", 2, max_episode_steps=3))
        others = self.closed_later(gymnasium.make_vec(envs.spec))
        self.assertEqual((others.num_envs, others.remote["max_episode_steps"]), (2, 3))

    @params(("same_step", AutoresetMode.SAME_STEP), (None, AutoresetMode.NEXT_STEP))
    def test_what_a_vector_environment_tells(self, autoreset, mode):
        envs = self.make_vec(autoreset=autoreset)
        self.assertIs(envs.metadata["autoreset_mode"], mode)
        self.assertEqual((envs.render_mode, envs.spec.reward_threshold), ("rgb_array", 475.0))


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
        envs = self.make_vec(max_episode_steps=5, autoreset=autoreset)
        counted = vector.RecordEpisodeStatistics(envs)
        counted.reset(seed=1)
        for call in range(12):
            ended = counted.step(np.array([call % 2] * 3))[3]
            if autoreset == "disabled" and ended.any():
                counted.reset(options={"reset_mask": ended})
        self.assertEqual(list(counted.length_queue), [5] * 6)
        self.assertEqual(list(counted.return_queue), [5.0] * 6)


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
        array = second if isinstance(second, np.ndarray) else second["grid"]
        array += 1

    def test_numbers_that_json_lacks(self):
        env = self.direct("CustomUnruly-v0")
        observation, info = env.reset()
        self.same(observation, np.array([np.nan, np.inf, -np.inf]))
        self.same(info.pop("array"), np.array([1.5, np.nan]))
        nested = {"tuple": [1, 2], "set": [3], "4": "int key"}
        self.assertEqual(info, {"scalar": 0.5, "flag": True, "nested": nested, "inf": np.inf})
        self.assertEqual(env.step(0)[1], np.inf)

    @params("CartPole-v1", "Blackjack-v1")
    def test_the_last_ones_of_many(self, env_id):
        envs = self.make_vec(env_id, autoreset="same_step")
        envs.reset(seed=1)
        envs.action_space.seed(1)
        infos, which = {}, []
        while len(which) in (0, 3):  # until some end, and others don't
            infos = envs.step(envs.action_space.sample())[4]
            which = np.flatnonzero(infos.get("_final_obs", []))
        self.assertEqual(infos["_final_obs"].dtype, np.bool_)
        self.assertEqual((infos["final_obs"].dtype, infos["final_obs"].shape), (object, (3,)))
        for index, last in enumerate(infos["final_obs"]):
            self.assertEqual(last in envs.single_observation_space, index in which)
            self.assertEqual(last is None, index not in which)


class Errors(RemoteCase):
    """They are Gymnasium's own, and nothing stays on the server when making fails."""

    @params(
        ({"env_id": "Nope-v9"}, error.UnregisteredEnv, "Nope"),
        ({"kwargs": {"colour": 1}}, error.Error, "colour"),
        ({"env_id": "CustomFaulty-v0", "kwargs": {"how": "make error"}}, error.Error, "no end"),
        ({"env_id": "CustomUnheard-v0"}, error.Error, "Shape"),
        ({"render_mode": "ansi"}, error.Error, "rgb_array"),
        ({"url": "http://127.0.0.1:9"}, error.Error, "did not answer"),
    )
    def test_making(self, given, kind, message):
        before = self.instances()
        for make in (RemoteEnv, RemoteVectorEnv):
            with self.assertRaisesRegex(kind, message) as caught:
                make(**{"url": self.url, "env_id": "CartPole-v1", **given})
            self.assertIsNotNone(caught.exception.__cause__)
        self.assertEqual(self.instances(), before)

    def test_dependencies(self):
        _, _, known = get(self.server, "/v1/registry/?engine=gymnasium")
        lacking = [one for one in known["unavailable"] if one["missing"].startswith("pip")]
        if not lacking:
            self.skipTest("whatever an environment of Gymnasium needs is installed")
        with self.assertRaises(error.DependencyNotInstalled):
            self.direct(lacking[0]["env_id"])

    @params("direct", "make", "make_vec")
    def test_order(self, how):
        env = getattr(self, how)()
        for call in (env.render, lambda: env.step(env.action_space.sample())):
            with self.assertRaises(error.ResetNeeded):
                call()

    @params(7, -1, 0.5, "x", None, [0, 1], {})
    def test_actions(self, action):
        for env, good, bad in ((self.direct(), 0, action), (self.make_vec(), [0] * 3, [0, action])):
            env.reset(seed=1)
            with self.assertRaises(error.InvalidAction):
                env.step(bad)
            env.step(good)  # it is as it was

    def test_an_environment_that_raises(self):
        env = self.direct("CustomRaises-v0")
        env.reset()
        with self.assertRaisesRegex(error.Error, "ZeroDivisionError"):
            env.step(1)
        with self.assertRaises(error.ResetNeeded):
            env.step(0)
        with self.assertRaisesRegex(error.Error, "no options here"):
            env.reset(options={"any": 1})
        env.reset()
        self.assertEqual(env.step(0)[0], 1)

    @params("direct", "make", "make_vec")
    def test_closing(self, how):
        before = self.instances()
        env = getattr(self, how)()
        self.assertEqual(len(self.instances()), len(before) + 1)
        for _ in range(2):
            env.close()
            self.assertEqual(self.instances(), before)
        env = env.unwrapped
        for call in (env.reset, env.render, lambda: env.step(env.action_space.sample())):
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
        (self.scratch / "own_space.py").write_text(OWN_SPACE)
        path = {"PYTHONPATH": f"{ROOT}{os.pathsep}{self.scratch}"}
        with ServerProcess("--import", "own_space", environ=path) as server:
            for make in (RemoteEnv, RemoteVectorEnv):
                with self.assertRaisesRegex(error.Error, "Own"):
                    make(server.url, "OwnSpace-v0")
            with MessagePackClient(server.url) as client:
                self.assertEqual(client.env_list_all(), {})
            env = RemoteEnv(server.url, "CartPole-v1")
            env.reset()
        for call in (env.reset, env.render, lambda: env.step(0)):
            with self.assertRaisesRegex(error.Error, "did not answer"):
                call()
        with self.assertWarns(UserWarning):
            env.close()
        env.close()
