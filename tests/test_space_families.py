"""Generated families of nested spaces: what goes out comes back the same, description included."""

import json
import unittest
from unittest import mock

import gymnasium
import numpy as np
from gymnasium import spaces
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gym_http import wire
from gym_http.remote.connection import MessagePackClient
from gym_http.spaces import contains, decode, describe, encode, space_from_description
from gym_http_client import Client
from tests.spaces_alike import nested, same
from tests.support import ServerCase

ANY = settings(
    max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
SERVED = settings(ANY, max_examples=60)
SEEDS = st.integers(0, 2**31)

ENCODINGS = {
    "JSON": lambda value: json.loads(wire.to_json(value)),
    "MessagePack": lambda value: wire.from_msgpack(wire.to_msgpack(value)),
}


def element(space, seed):
    """A sample, where the space holds its own: Gymnasium 1.3's Graph may not."""
    space.seed(seed)
    sample = space.sample()
    assume(space.contains(sample))
    return sample


class Families(unittest.TestCase):
    def setUp(self):
        quiet = mock.patch.object(gymnasium.logger, "min_level", gymnasium.logger.ERROR)
        quiet.start()  # Box warns of the scalars that it samples itself
        self.addCleanup(quiet.stop)

    @ANY
    @given(nested, SEEDS)
    def test_elements_come_back(self, space, seed):
        sample = element(space, seed)
        for carried in ENCODINGS.values():
            sent = carried(encode(space, sample))
            same(sample, decode(space, sent))
            same(sample, decode(space, sent, strict=False))
            self.assertTrue(contains(space, sent))

    @ANY
    @given(nested, SEEDS)
    def test_descriptions_come_back(self, space, seed):
        for carried in ENCODINGS.values():
            again = space_from_description(carried(describe(space)))
            self.assertEqual(again, space)
            self.assertEqual(wire.to_json(describe(again)), wire.to_json(describe(space)))
            self.assertTrue(again.contains(element(space, seed)))

    @ANY
    @given(nested, nested, SEEDS)
    def test_what_is_no_element_is_refused_or_is_one(self, space, other, seed):
        """An element of another space: BadValue, or an element of this one."""
        for carried in ENCODINGS.values():
            sent = carried(encode(other, element(other, seed)))
            if contains(space, sent):
                self.assertTrue(space.contains(decode(space, sent)))


class OverTheWire(ServerCase):
    """CustomMirror-v0 answers with the action that it got."""

    @SERVED
    @given(nested, SEEDS)
    def test_actions_come_back_as_observations(self, space, seed):
        action = element(space, seed)
        description = json.loads(wire.to_json(describe(space)))
        for kind in (Client, MessagePackClient):
            with kind(self.server.url) as client:
                env = client.env_create("CustomMirror-v0", kwargs={"space": description})
                told = client.env_observation_space_info(env)
                self.assertEqual(space_from_description(told), space)
                client.env_reset(env, seed=seed)
                seen, *_ = client.env_step(env, encode(space, action))
                same(action, decode(space, seen))
                self.assertTrue(
                    client.env_observation_space_contains(env, {"value": encode(space, action)})
                )
                client.env_close(env)


class Extremes(unittest.TestCase):
    """What the families seldom hit."""

    def round_trips(self, space, value):
        for carried in ENCODINGS.values():
            same(value, decode(space, carried(encode(space, value))))
            self.assertEqual(space_from_description(carried(describe(space))), space)

    def test_the_ends_of_integers(self):
        for dtype in (np.int8, np.uint8, np.int32, np.uint32, np.int64):
            limits = np.iinfo(dtype)
            least, most = int(limits.min), min(int(limits.max), 2**63 - 2)
            with self.subTest(dtype=dtype):
                ends = np.array([least, most], dtype)
                self.round_trips(spaces.Box(least, most, (2,), dtype), ends)

    def test_floats_that_are_hard_to_write(self):
        for dtype in (np.float16, np.float32, np.float64):
            facts = np.finfo(dtype)
            hard = [facts.max, facts.min, facts.tiny, facts.smallest_subnormal, 1 / 3, -0.0]
            with self.subTest(dtype=dtype):
                self.round_trips(spaces.Box(-np.inf, np.inf, (6,), dtype), np.array(hard, dtype))

    def test_an_empty_stack(self):
        for feature in (spaces.Box(0, 1, (2, 3)), spaces.Discrete(3), spaces.MultiBinary(2)):
            with self.subTest(feature=feature):
                space = spaces.Sequence(feature, stack=True)
                sent = ENCODINGS["JSON"](encode(space, space.sample()))
                self.assertEqual(len(decode(space, sent[:0])), 0)

    def test_a_stack_of_dicts(self):
        space = spaces.Sequence(
            spaces.Dict({"x": spaces.Box(0, 1, (2,)), "y": spaces.Discrete(3)}), stack=True, seed=4
        )
        for _ in range(10):
            self.round_trips(space, space.sample())

    def test_a_graph_of_one_node(self):
        space = spaces.Graph(spaces.Box(0, 1, (2,)), spaces.Discrete(3), seed=1)
        for edges in (0, 1, 5):
            self.round_trips(space, space.sample(num_nodes=1, num_edges=edges))
