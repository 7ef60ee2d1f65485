"""What is done to a leased instance, where its environment or its caller is unusual."""

import gc
import unittest
import weakref

import gymnasium
import msgspec
import numpy as np
from gymnasium import spaces
from nose2.tools import params

from gym_http import wire
from gym_http.environments import Recipe
from gym_http.errors import BadValue, EnvFailed
from gym_http.service import Service
from tests.custom_envs import Odd
from tests.support import ServerCase, create, request


class Turning(Odd):
    """With its first step, its spaces become of other kinds."""

    def step(self, action):
        reply = super().step(0)
        self.action_space = spaces.Box(-1, 1, (1,))
        self.observation_space = spaces.Discrete(5)
        return (3, *reply[1:])


gymnasium.register("CustomTurning-v0", entry_point=Turning, disable_env_checker=True)


class Playing(unittest.TestCase):
    def setUp(self):
        self.now = 0.0
        self.service = Service(clock=self.clock)
        self.addCleanup(self.service.close_all)

    def clock(self):
        if self.now < 0:
            raise KeyboardInterrupt
        return self.now

    def made(self, env_id, **kwargs):
        return self.service.create(Recipe(env_id, kwargs=kwargs)).instance_id

    def test_spaces_that_change(self):
        one = self.made("CustomTurning-v0", length=9)
        self.service.reset(one)
        self.assertEqual(self.service.step(one, 0).observation, 3)
        self.assertEqual(self.service.step(one, [0.5]).observation, 3)
        with self.assertRaisesRegex(BadValue, "from -1.0 to 1.0"):
            self.service.step(one, [2.0])

    def test_a_lease_that_is_interrupted(self):
        """The instance is free again."""
        one = self.made("CartPole-v1")
        self.now = -1.0
        with self.assertRaises(KeyboardInterrupt):
            self.service.reset(one)
        self.now = 1.0
        self.service.reset(one)

    @params("refused", "failed", "well")
    def test_a_closed_environment_is_gone(self, how):
        """At once: no error keeps it, not even one that nobody has looked at."""
        one = self.made("CustomRaises-v0")
        env = weakref.ref(self.service._registry.peek(one).env.unwrapped)
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.service.reset(one)
        try:
            if how == "refused":
                self.service.reset(one, options={"a": 1})
            elif how == "failed":
                self.service.step(one, 1)
        except (BadValue, EnvFailed):
            pass
        self.assertIsNotNone(env())
        self.service.close(one)
        self.assertIsNone(env())


class Bodies(ServerCase):
    @params('{"action": 1, "x": 1e999}', '{"action": 1, "x": NaN}', b'{"action": 1, "x": "\xff"}')
    def test_what_is_ignored_is_json_as_well(self, body):
        """However long the body is."""
        env = create(self.server, "CartPole-v1")
        request(self.server, "POST", f"{env}/reset/")
        for more in ("", " " * 500):
            raw = (body.encode() if isinstance(body, str) else body) + more.encode()
            status, _, reply = request(self.server, "POST", f"{env}/step/", raw)
            self.assertEqual((status, reply["code"]), (400, "invalid_json"))
        status, _, reply = request(self.server, "POST", f"{env}/step/", '{"action": 1, "x": 1e99}')
        self.assertEqual(status, 200, reply)


class Arrays(unittest.TestCase):
    def test_a_subclass(self):
        masked = np.ma.masked_array(np.arange(5000), np.arange(5000) % 2)
        packed = msgspec.msgpack.decode(wire.to_msgpack({"a": masked}))["a"]
        self.assertEqual(packed["data"], np.arange(5000).tobytes())

    @params(np.float64, np.float32, np.int16, np.bool_)
    def test_a_large_one_in_json(self, dtype):
        """It is written in parts, which don't show."""
        rng = np.random.default_rng(0)
        large = (rng.standard_normal((3, 40_000, 2)) * 3).astype(dtype)
        if large.dtype.kind == "f":
            large[1, 7] = np.nan, np.inf
        self.assertEqual(
            wire.to_json({"a": large}), msgspec.json.encode({"a": wire.as_json(large)})
        )
