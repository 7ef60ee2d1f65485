"""Space <-> wire values, without a server."""

import json
import unittest

import numpy as np
from gymnasium import spaces
from nose2.tools import params

from gym_http.errors import BadValue, UnsupportedSpace
from gym_http.spaces import contains, decode, describe, encode
from gym_http.wire import to_json

GRID = spaces.Box(-1.0, 1.0, (2, 2), np.float32)
ONE = spaces.Box(-2.0, 2.0, (1,), np.float32)
PIXELS = spaces.Box(0, 255, (2,), np.uint8)
NESTED = spaces.Dict({"pick": spaces.Discrete(3, start=-1), "pair": spaces.Tuple((ONE, PIXELS))})


def over_the_wire(value):
    return json.loads(to_json(value))


class Describe(unittest.TestCase):
    @params(
        (spaces.Discrete(4), {"name": "Discrete", "n": 4, "start": 0, "dtype": "int64"}),
        (
            spaces.Box(np.array([-np.inf, 0]), np.array([np.inf, 5]), dtype=np.float64),
            {
                "name": "Box",
                "shape": [2],
                "low": [-1e100, 0.0],
                "high": [1e100, 5.0],
                "dtype": "float64",
            },
        ),
        (
            PIXELS,
            {"name": "Box", "shape": [2], "low": [0, 0], "high": [255, 255], "dtype": "uint8"},
        ),
        (
            spaces.MultiDiscrete([2, 3]),
            {
                "name": "MultiDiscrete",
                "shape": [2],
                "nvec": [2, 3],
                "start": [0, 0],
                "dtype": "int64",
            },
        ),
        (spaces.MultiBinary(3), {"name": "MultiBinary", "shape": [3], "n": 3, "dtype": "int8"}),
        (
            spaces.MultiBinary([2, 3]),
            {"name": "MultiBinary", "shape": [2, 3], "n": [2, 3], "dtype": "int8"},
        ),
        (
            spaces.Tuple((spaces.Discrete(2), spaces.Dict({"b": spaces.MultiBinary(1)}))),
            {
                "name": "Tuple",
                "spaces": [
                    {"name": "Discrete", "n": 2, "start": 0, "dtype": "int64"},
                    {
                        "name": "Dict",
                        "keys": ["b"],
                        "spaces": {
                            "b": {"name": "MultiBinary", "shape": [1], "n": 1, "dtype": "int8"}
                        },
                    },
                ],
            },
        ),
    )
    def test_says_what_a_client_needs(self, space, expected):
        self.assertEqual(over_the_wire(describe(space)), expected)

    def test_bounds_are_flat(self):
        self.assertEqual(over_the_wire(describe(GRID))["low"], [-1.0] * 4)

    def test_integer_bounds_stay_integers(self):
        self.assertIn(b'"low":[0,0]', to_json(describe(PIXELS)))

    def test_an_unknown_space_fails(self):
        class Shape(spaces.Space):
            pass

        for verb in (describe, lambda space: decode(space, "x"), lambda space: encode(space, "x")):
            with self.assertRaisesRegex(UnsupportedSpace, "Shape"):
                verb(Shape())


class Subclasses(unittest.TestCase):
    """Served by their parent's row, with what they leave out left out."""

    class Even(spaces.Discrete):
        def contains(self, x):
            return super().contains(x) and x % 2 == 0

    def test_of_discrete(self):
        even = self.Even(4)
        self.assertEqual(describe(even)["name"], "Discrete")
        self.assertEqual(decode(even, 2), 2)
        self.assertFalse(contains(even, 1))

    def test_keys_that_are_one_in_json(self):
        parts = {1: spaces.Discrete(2), "1": spaces.Discrete(3)}
        with self.assertRaisesRegex(UnsupportedSpace, "keys"):
            describe(spaces.Dict(list(parts.items())))
        numbered = spaces.Dict([(1, spaces.Discrete(2))])
        self.assertEqual(decode(numbered, {"1": 1}), {1: 1})
        self.assertEqual(encode(numbered, {1: 1}), {"1": 1})


class RoundTrip(unittest.TestCase):
    @params(
        spaces.Discrete(5),
        spaces.Discrete(3, start=-7),
        GRID,
        ONE,
        PIXELS,
        spaces.Box(-5, 5, (), np.int16),
        spaces.Box(-np.inf, np.inf, (3,), np.float64),
        spaces.Box(0, 1, (0,), np.float32),
        spaces.Box(0, 255, (4, 3, 3), np.uint8),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[0, 1], [2, 3]]),
        spaces.MultiBinary(4),
        spaces.MultiBinary([2, 2]),
        NESTED,
        spaces.Tuple(()),
    )
    def test_samples_come_back_equal(self, space):
        space.seed(1)
        for _ in range(20):
            sample = space.sample()
            again = decode(space, over_the_wire(encode(space, sample)))
            self.assertTrue(space.contains(again), again)
            self.assert_same(again, sample)

    def assert_same(self, one, other):
        if isinstance(one, dict):
            self.assertEqual(list(one), list(other))
            for key in one:
                self.assert_same(one[key], other[key])
        elif isinstance(one, tuple):
            for a, b in zip(one, other, strict=True):
                self.assert_same(a, b)
        else:
            np.testing.assert_array_equal(one, other, strict=True)


class Freedoms(unittest.TestCase):
    """What languages without integers, or without scalars, write."""

    @params((1, 1), (1.0, 1), ([1], 1), ([1.0], 1))
    def test_discrete(self, wire, expected):
        self.assertEqual(decode(spaces.Discrete(2), wire), expected)

    @params(0.5, [0.5], 1, [1])
    def test_a_box_of_one(self, wire):
        self.assertEqual(decode(ONE, wire).shape, (1,))

    def test_whole_floats_for_integer_arrays(self):
        self.assertEqual(decode(PIXELS, [1.0, 2.0]).tolist(), [1, 2])
        self.assertEqual(decode(spaces.MultiBinary(2), [1.0, 0]).tolist(), [1, 0])

    def test_a_float32_bound_that_was_read_as_a_double(self):
        box = spaces.Box(-0.4, 0.4, (1,), np.float32)
        for wire in (0.4, float(np.float32(0.4))):
            self.assertTrue(contains(box, [wire]))

    def test_arrays_in_lists_and_for_tuples(self):
        """What NumPy's users have, and MessagePack carries."""
        rows = [np.array([0.5, 0.25]), np.array([1, 0])]
        self.assertEqual(decode(GRID, rows).tolist(), [[0.5, 0.25], [1.0, 0.0]])
        self.assertEqual(decode(ONE, [np.array(0.5)]).tolist(), [0.5])
        pair = spaces.Tuple((spaces.Discrete(3), spaces.Discrete(2)))
        self.assertEqual(decode(pair, np.array([2, 1])), (2, 1))
        for wrong in (np.array([2]), np.array(2), np.array([[2, 1]])):
            with self.assertRaises(BadValue):
                decode(pair, wrong)

    def test_luas_empty_table(self):
        self.assertEqual(decode(spaces.Tuple(()), []), ())
        self.assertEqual(decode(spaces.Dict({}), []), {})


class Refusals(unittest.TestCase):
    @params("1", True, 0.5, [0, 1], -1, 2, None, {}, [], [[1]], [True], 1e300, float("nan"))
    def test_discrete(self, wire):
        self.refuse(spaces.Discrete(2), wire, "integer from 0 to 1")

    @params(
        *([[0.0, 0.0]], [0.0] * 4, [[0.0, 0.0], [0.0]], 0.0, None, {}, "x", [], [[[0.0]]]),
    )
    def test_box_shapes(self, wire):
        self.refuse(GRID, wire, r"array of shape \[2, 2\]")

    @params(True, "0", None, [0.0], {}, float("nan"), 1.5, -1.5, float("inf"), 10**400)
    def test_box_elements(self, element):
        self.refuse(GRID, [[0.0, element], [0.0, 0.0]], "number|shape")

    @params(256, -1, 0.5, 1e30, 2**70, True, "1", None)
    def test_integer_boxes(self, element):
        self.refuse(PIXELS, [0, element], "integers|from 0 to 255")

    @params([2, 0], [0, 3], [-1, 0], [0], [0, 0, 0], [0.5, 0], [True, False], 1)
    def test_multi_discrete(self, wire):
        self.refuse(spaces.MultiDiscrete([2, 3]), wire, r"integers|array of shape \[2\]")

    @params([2, 0], [True, False], [0], "01", [0, None])
    def test_multi_binary(self, wire):
        self.refuse(spaces.MultiBinary(2), wire, "0 or 1|integers|shape")

    def test_nested_ones_say_where(self):
        self.refuse(NESTED, {"pick": 0, "pair": [[9.0], [0, 0]]}, r"^\.pair\[0\]: .*-2\.0 to 2\.0")
        self.refuse(NESTED, {"pick": 5, "pair": [[0.0], [0, 0]]}, r"^\.pick: .*from -1 to 1")

    @params({}, {"pick": 0}, {"pick": 0, "pair": [], "more": 1}, [], None, "x")
    def test_dict_keys(self, wire):
        self.refuse(NESTED, wire, r"keys \['pair', 'pick'\]")

    @params([], [[0.0]], {}, None, [[0.0], [0, 0], 1])
    def test_tuple_length(self, wire):
        self.refuse(spaces.Tuple((ONE, PIXELS)), wire, "list of 2")

    def test_what_was_sent_is_shown_in_brief(self):
        with self.assertRaises(BadValue) as caught:
            decode(spaces.Discrete(2), ["x" * 100_000])
        self.assertLess(len(caught.exception.message), 300)

    def refuse(self, space, wire, message):
        with self.assertRaisesRegex(BadValue, message):
            decode(space, wire)
        self.assertFalse(contains(space, wire))


class WhatEnvironmentsReturn(unittest.TestCase):
    @params(3, np.int64(3), np.array(3), np.array([3]), 3.0)
    def test_integers_of_all_kinds(self, value):
        self.assertEqual(encode(spaces.Discrete(5), value), 3)

    @params("3", None, 0.5, object(), np.array([1, 2]))
    def test_no_integer(self, value):
        with self.assertRaises((TypeError, ValueError)):
            encode(spaces.Discrete(5), value)

    @params("text", None, [object()], {"a": 1})
    def test_no_array(self, value):
        with self.assertRaises((TypeError, ValueError)):
            encode(GRID, value)

    def test_lists_for_arrays(self):
        self.assertEqual(encode(ONE, [0.5]).tolist(), [0.5])

    @params(True, np.True_, np.array(True))
    def test_booleans_for_integers(self, value):
        """Gym's Blackjack tells so of its usable ace."""
        self.assertEqual(to_json(encode(spaces.Discrete(2), value)), b"1")
        self.assertEqual(to_json(encode(spaces.MultiBinary(1), [value])), b"[1]")

    @params(0.5, np.float32(0.5), [[0.5]])
    def test_as_many_numbers_in_another_shape(self, value):
        self.assertEqual(to_json(encode(ONE, value)), b"[0.5]")

    @params([0.5], np.zeros(5), np.zeros((2, 3)), 0.0)
    def test_another_number_of_numbers(self, value):
        with self.assertRaisesRegex(ValueError, "shape"):
            encode(GRID, value)

    def test_no_precision_is_lost(self):
        value = np.array([1 / 3, 1e-300, 2**53 + 1.0])
        back = json.loads(to_json(encode(spaces.Box(-np.inf, np.inf, (3,), np.float64), value)))
        self.assertEqual(back, value.tolist())
