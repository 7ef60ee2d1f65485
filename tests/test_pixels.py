"""Arrays of bytes as JSON are, to the byte, what lists of their numbers are."""

import itertools
import json
import unittest

import msgspec
import numpy as np
from nose2.tools import params

from gym_http import pixels
from gym_http.wire import to_json
from tests.support import ServerCase, create, post, request

SIZES = (1, 2, 3, 7)
LAYOUTS = {
    "Fortran's order": np.asfortranarray,
    "transposed": np.transpose,
    "backwards": np.flip,
    "every second": lambda array: array[(slice(None, None, 2),) * array.ndim],
    "a part": lambda array: np.pad(array, 1)[(slice(1, -1),) * array.ndim],
    "repeated by no stride": lambda array: np.broadcast_to(array[:1], array.shape),
    "read-only": lambda array: np.frombuffer(array.tobytes(), np.uint8).reshape(array.shape),
    "unaligned": lambda array: np.frombuffer(b"x" + array.tobytes(), np.uint8, offset=1).reshape(
        array.shape
    ),
}


def some(shape, seed=0):
    """Numbers of one, two and three digits, zeros among them."""
    random = np.random.default_rng(seed)
    return random.choice([0, 1, 9, 10, 99, 100, 101, 200, 255], shape).astype(np.uint8)


class Text(unittest.TestCase):
    @params(1, 2, 3, 4)
    def test_of_each_shape(self, ndim):
        for seed, shape in enumerate(itertools.product(SIZES, repeat=ndim)):
            array = some(shape, seed)
            self.assertTrue(pixels.fits(array))
            self.assertEqual(pixels.json_of(array), msgspec.json.encode(array.tolist()), shape)

    @params(*LAYOUTS)
    def test_of_each_layout(self, name):
        for shape in ((5,), (4, 5), (2, 3, 4), (3, 1, 5), (2, 3, 2, 3), (1, 4, 1, 3)):
            array = LAYOUTS[name](some(shape))
            wanted = msgspec.json.encode(array.tolist())
            self.assertEqual(pixels.json_of(array), wanted, shape)

    def test_of_each_number(self):
        numbers = np.arange(256, dtype=np.uint8)
        for array in (numbers, numbers[:, None], numbers[None], numbers.reshape(4, 4, 4, 4)):
            self.assertEqual(json.loads(pixels.json_of(array)), array.tolist())
        self.assertEqual(pixels.json_of(numbers[:, None]), json.dumps(
            numbers[:, None].tolist(), separators=(",", ":")
        ).encode())  # fmt: skip

    @params(
        np.zeros((), np.uint8), np.zeros(0, np.uint8), np.zeros((3, 0), np.uint8),
        np.zeros((0, 3), np.uint8), np.zeros((1,) * 5, np.uint8), np.zeros(9, np.int8),
        np.zeros(9, np.bool_), np.zeros(9, np.uint16), np.zeros(9),
    )  # fmt: skip
    def test_of_no_other(self, array):
        self.assertFalse(pixels.fits(array))
        self.assertEqual(json.loads(to_json(array)), array.tolist())


class InReplies(unittest.TestCase):
    """Large ones are written so, small ones aren't; nobody can tell."""

    @params(
        (pixels.LEAST_SIZE - 1,), (pixels.LEAST_SIZE,), (1, 64, 64), (64, 64, 1), (4096, 1),
        (210, 160, 3), (2, 210, 160, 3), (3, 2, 40, 40, 3), (5, 0, 4000), (1, 1, 1, 5000),
    )  # fmt: skip
    def test_of_each_size(self, *shape):
        array = some(shape)
        wanted = json.dumps({"a": [array.tolist(), 1]}, separators=(",", ":")).encode()
        self.assertTrue(to_json({"a": [array, 1]}) == wanted)

    @params(np.bool_, np.int8, np.uint16, np.float32)
    def test_of_other_numbers(self, dtype):
        array = some((80, 80)).astype(dtype)
        self.assertTrue(to_json(array) == msgspec.json.encode(array.tolist()))

    @params(np.asmatrix, lambda array: np.ma.masked_equal(array, 0), np.asfortranarray)
    def test_of_other_arrays(self, kind):
        array = kind(some((70, 80)))
        self.assertTrue(to_json(array) == msgspec.json.encode(np.asarray(array).tolist()))


class OverTheWire(ServerCase):
    """As `json` of Python's would have written it, whatever the server has."""

    def exact(self, path, value):
        head = "Accept: application/json\r\n"
        _, headers, reply = request(self.server, "POST", path, json.dumps(value), headers=head)
        written = json.dumps(reply, separators=(",", ":")) + "\n"
        self.assertEqual(int(headers["content-length"]), len(written))
        return reply

    def test_frames(self):
        env = create(self.server, "CustomFrames-v0", kwargs={"length": 2})
        pixels = np.arange(210 * 160 * 3).reshape(210, 160, 3)
        self.assertEqual(self.exact(env + "/reset/", {})["observation"], (pixels % 251).tolist())
        reply = self.exact(env + "/step/", {"action": 0})
        self.assertEqual(reply["observation"], ((pixels + 85) % 251).tolist())
        reply = self.exact(env + "/rollout/", {"actions": [0, 1, 0], "on_done": "reset"})
        for index, time in enumerate((0, 1, 0)):
            self.assertEqual(reply["observations"][index], ((pixels + 85 * time) % 251).tolist())
        self.assertEqual(reply["final_observations"][0], ((pixels + 170) % 251).tolist())

    def test_of_a_vector(self):
        env = create(self.server, "CustomFrames-v0", num_envs=2)
        self.assertEqual(np.shape(self.exact(env + "/reset/", {})["observation"]), (2, 210, 160, 3))
        reply = self.exact(env + "/rollout/", {"sample": 2})
        self.assertEqual(np.shape(reply["observations"]), (2, 2, 210, 160, 3))
        _, _, single = post(self.server, env + "/step/", {"action": [0, 0]})
        self.assertEqual(reply["observations"][1][0][0][0], [170, 171, 172])
        self.assertEqual(single["observation"][0][0][0], [4, 5, 6])
