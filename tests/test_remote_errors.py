"""What goes wrong with a remote environment, in Gymnasium's own errors; and its end."""

import os

from gymnasium import error
from nose2.tools import params

from gym_http.remote import RemoteEnv, RemoteVectorEnv
from tests.support import ROOT, ServerProcess, get
from tests.test_remote import RemoteCase

# What the owner of a server may bring: a space that clients have no builder for.
OWN_SPACE = """
import gymnasium
from gym_http.spaces import describe
from tests.custom_envs import Odd
Own = type("Own", (gymnasium.spaces.Discrete,), {})
describe.register(Own, lambda space: {"name": "Own"})
gymnasium.register("OwnSpace-v0", entry_point=type("_", (Odd,), {"observation_space": Own(9)}))
"""


class Errors(RemoteCase):
    """They are Gymnasium's own, and nothing stays on the server when making fails."""

    @params(
        ({"env_id": "Nope-v9"}, error.UnregisteredEnv, "Nope"),
        ({"kwargs": {"colour": 1}}, error.Error, "colour"),
        ({"env_id": "CustomFaulty-v0", "kwargs": {"how": "make error"}}, error.Error, "no end"),
        ({"env_id": "CustomUnheard-v0"}, error.Error, "Shape"),
        ({"url": "http://127.0.0.1:9"}, error.Error, "no answer"),
    )
    def test_making(self, given, kind, message):
        before = self.instances()
        for make in (RemoteEnv, RemoteVectorEnv):
            with self.assertRaisesRegex(kind, message) as caught:
                make(**{**self.cartpole, **given})
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
            self.assertEqual(get(server, "/v1/envs/")[2]["all_envs"], {})
            env = RemoteEnv(server.url, "CartPole-v1")
            env.reset()
        for call in (env.reset, env.render, lambda: env.step(0)):
            with self.assertRaisesRegex(error.Error, "no answer"):
                call()
        with self.assertWarns(UserWarning):
            env.close()
        env.close()
