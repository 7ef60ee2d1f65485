"""Bodies, and what JSON can't say; `info`, whatever is in it."""

import enum
import json
import unittest

import numpy as np
from nose2.tools import params

from gym_http.errors import BadValue, InvalidJSON
from gym_http.info import wire_info
from gym_http.wire import from_json, json_text, to_json


class FromJSON(unittest.TestCase):
    @params(
        b"",
        b"{",
        b"NaN",
        b"[Infinity]",
        b"[1e400]",
        b"[1e99999999]",
        b"1" * 5000,
        b"[" * 200_000,
        b'{"a":' * 50_000,
        b"\xff",
        b'"\xff"',
        b'"\\ud800"',
        b"{} {}",
        b"{'a': 1}",
    )
    def test_refuses(self, body):
        with self.assertRaises(InvalidJSON) as caught:
            from_json(body)
        self.assertEqual(caught.exception.message, "Request is not a valid json")
        self.assertTrue(caught.exception.detail)

    @params(
        ("[" * 200 + "]" * 200, True),
        ("[" * 201 + "]" * 201, False),
        ('{"a":' * 201 + "1" + "}" * 201, False),
        ("[" + "[]," * 100_000 + "[]]", True),
        ('["' + "[" * 1000 + '"]', True),
        ('["]]]]\\\\"' + "," + "[" * 201 + "]" * 202, False),
        ('["\\"' + "]" * 500 + '",' + "[" * 201 + "]" * 202, False),
        ('"' + "[" * 1000, False),
    )
    def test_depth(self, text, fine):
        """Brackets in strings count for nothing, neither up nor down."""
        if fine:
            self.assertIsInstance(from_json(text.encode()), list)
        else:
            with self.assertRaises(InvalidJSON):
                from_json(text.encode())

    @params((b" [1, 2.5]\n", [1, 2.5]), (b'{"a":1,"a":2}', {"a": 2}), (b"-0.0", 0.0))
    def test_reads(self, body, expected):
        self.assertEqual(from_json(body), expected)

    def test_a_value_in_a_path(self):
        self.assertEqual(json_text("[0.5]"), [0.5])
        for text in ("abc", "", "nan", "\udcff"):
            with self.assertRaises(BadValue):
                json_text(text)


class ToJSON(unittest.TestCase):
    def test_what_json_cannot_say(self):
        value = {"array": np.array([[np.nan, np.inf], [-np.inf, 1.0]]), "scalar": np.float32(2)}
        self.assertEqual(to_json(value), b'{"array":[[null,1e100],[-1e100,1.0]],"scalar":2.0}')

    @params(np.float16, np.float32, np.float64)
    def test_infinities_of_every_width(self, dtype):
        self.assertEqual(to_json(np.array([np.inf, -np.inf, 0.5], dtype)), b"[1e100,-1e100,0.5]")

    @params((np.array(5), b"5"), (np.array([True]), b"[true]"), (np.zeros((2, 0)), b"[[],[]]"))
    def test_arrays(self, array, expected):
        self.assertEqual(to_json(array), expected)

    def test_wider_floats_than_json_readers_have(self):
        self.assertEqual(to_json(np.array([0.5, np.inf], np.longdouble)), b"[0.5,1e100]")
        self.assertEqual(to_json(np.array([0.5], np.longdouble)), b"[0.5]")

    def test_never_guesses(self):
        with self.assertRaises(TypeError):
            to_json({"x": object()})


class Info(unittest.TestCase):
    def carried(self, info):
        wire, dropped = wire_info(info)
        return json.loads(to_json(wire)), dropped

    @params(
        ({}, {}),
        (None, {}),
        ({"a": 1, "b": [1.5, None, "x", True]}, {"a": 1, "b": [1.5, None, "x", True]}),
        (
            {"a": np.int8(3), "b": np.bool_(True), "c": np.float64(0.5)},
            {"a": 3, "b": True, "c": 0.5},
        ),
        ({"a": np.arange(3)}, {"a": [0, 1, 2]}),
        ({"a": np.array(["x", "y"])}, {"a": ["x", "y"]}),
        ({"a": (1, {"b": {2, 1}})}, {"a": [1, {"b": [1, 2]}]}),
        ({1: {2.5: "x"}}, {"1": {"2.5": "x"}}),
        ({"a": float("inf"), "b": float("nan")}, {"a": 1e100, "b": None}),
        ({"a": np.float32("-inf")}, {"a": -1e100}),
    )
    def test_goes_through(self, info, expected):
        self.assertEqual(self.carried(info), (expected, []))

    def test_what_cannot_is_named(self):
        class Colour(enum.Enum):
            RED = 1

        info = {
            "ok": 1,
            "env": object(),
            "deep": {"file": open, "fine": 2},
            "list": [1, object(), 3],
            "array": np.array([1, object()], dtype=object),
            "huge": 2**70,
            "complex": np.complex64(1j),
            "surrogate": "\ud800",
            "enum": Colour.RED,
        }
        wire, dropped = self.carried(info)
        self.assertEqual(
            wire, {"ok": 1, "deep": {"fine": 2}, "list": [1, None, 3], "array": [1, None]}
        )
        self.assertEqual(
            dropped,
            ["env", "deep.file", "list[1]", "array[1]", "huge", "complex", "surrogate", "enum"],
        )

    def test_a_cycle_ends(self):
        info = {}
        info["self"] = info
        _, dropped = self.carried(info)
        self.assertEqual(len(dropped), 1)

    @params([[1, 2]], [np.zeros(3)], [0], ["x"])
    def test_no_mapping(self, info):
        self.assertEqual(self.carried(info), ({}, ["."]))
