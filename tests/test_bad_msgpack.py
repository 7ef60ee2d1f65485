"""MessagePack that is wrong in any way: a 400 in the one shape, and nothing else happens."""

import random
import tracemalloc
import unittest
from pathlib import Path

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from nose2.tools import params

from gym_http.errors import InvalidMessagePack
from gym_http.wire import from_msgpack, to_msgpack
from tests.support import ServerCase, ServerProcess, create, get, post, request

KIND = "application/msgpack"
ARRAY = to_msgpack({"action": np.array([[0.5, -1], [2, 3]], "f4"), "render": False})
GOOD = (
    ARRAY,
    to_msgpack({"action": 1, "render": "true", "x": [None, -5, 1.5, {"y": "z"}]}),
    to_msgpack({"a": {"b": np.zeros((2, 0), bool)}, "c": [np.arange(3, dtype=">i8")] * 2}),
)
NOT_MAPS = (b"\xc0", b"\xc3", b"\x05", b"\xcb" + bytes(8), b"\xa1x", b"\x91\x80")


def sent_array(dtype="|u1", shape=(1,), data=b"\1", **more):
    """A step's body whose action is no good array, perhaps."""
    value = {"dtype": dtype, "shape": shape, "data": data, **more}
    return msgspec.msgpack.encode({"action": value})


def nested(levels, opening, innermost=b"\x01"):
    """A map of so many levels, itself among them."""
    return b"\x81\xa6action" + opening * (levels - 1) + innermost


NESTINGS = [
    nested(levels, opening, innermost)
    for levels in (201, 1_000, 10_000, 1_000_000)
    for opening in (b"\x91", b"\xdc\x00\x01", b"\x81\xa1x", b"\x91\x81\xa1x")
    for innermost in (b"\x01", b"\x90", b"\x80", b"")
]
NO_ENDS = [body[:end] for body in GOOD for end in range(len(body))]
TYPES = {
    "ext": b"\xd4\x05x",
    "ext of no bytes": b"\xc7\x00\x05",
    "ext32": b"\xc9\x00\x00\x00\x01\x05x",
    "a timestamp": b"\xd6\xff\x00\x00\x00\x01",
    "a long timestamp": b"\xc7\x0c\xff" + bytes(12),
    "a timestamp of too many ns": b"\xd7\xff" + b"\xff" * 8,
    "bytes": b"\xc4\x01x",
    "no bytes": b"\xc4\x00",
    "bytes in a list": b"\x91\xc4\x01x",
    "what MessagePack never uses": b"\xc1",
    "no text": b"\xa1\xff",
    "half of a text": b"\xa2\xc3x",
    "half of a pair": b"\xa3\xed\xa0\x80",
    "a key that is a number": b"\x81\x01\x01",
    "a key that is nil": b"\x81\xc0\x01",
    "a key that is NaN": b"\x81\xcb\x7f\xf8" + bytes(6) + b"\x01",
    "a key that is bytes": b"\x81\xc4\x01x\x01",
    "a key that is a list": b"\x81\x91\x01\x01",
    "a key that is a map": b"\x81\x80\x01",
    "a key that is an ext": b"\x81\xd4\x05x\x01",
    "a key that is no text": b"\x81\xa1\xff\x01",
    "a key that is a deep list": b"\x81" + b"\x91" * 900 + b"\x01\x01",
}
DTYPES = (
    *("O", "|O", "<U4", "<S1", "|S1", "<M8[s]", "<m8", "V8", "|V1", ">c16", "<c8", "f4,f4", ""),
    *("?", "float32", "u1 ", "u1\n", "\0u1", "u3", "f1", "<f16", "<g", "(2,)u1", "<f٤"),
    *("x" * 10**5, 5, None, True, 1.5, ["|u1"], {"names": ["x"]}, b"|u1"),
)
SHAPES = (
    *([-1], [-1, -1], [-(2**63), -1], [1.0], [True], [False], ["1"], [[1]], [[[]]], [None], [{}]),
    *([b"\1"], [float("nan")], [float("inf")], [1] * 65, 1, 1.0, "1", None, {}, {"0": 1}, b"\1"),
    *([2], [0], [1, 0], [1, 2], [2**40], [2**63, 2**63], [2**64 - 1]),
)
EMPTY = (
    *([2**62, 2**62, 0], [0, 2**62, 2**62], [2**62, 4, 0], [0, 2**64 - 1], [2**64 - 1, 0]),
    *([2**40], [2**32] * 2, [2**32] * 3, [2**22, 0], [2**20, 2, 0, 5], [0, 2**17], []),
)
ARRAYS = (
    *(sent_array(dtype=dtype) for dtype in DTYPES),
    *(sent_array(shape=shape) for shape in SHAPES),
    *(sent_array(shape=shape, data=b"") for shape in EMPTY),
    *(sent_array("<f8", [2**61], b""), sent_array("<f8", [2**61, 8], bytes(8))),  # 0 modulo 2**64
    *(sent_array("<f4", [2], bytes(n)) for n in (0, 1, 4, 7, 9, 12, 16)),
    *(sent_array("|b1", [3], data) for data in (b"\0\1\2", b"\xff\0\1", b"\x80\0\0")),
    *(sent_array("|b1", [], b"\2"), sent_array("|b1", [1, 1], b"\x03")),
    *(sent_array(x=1), msgspec.msgpack.encode({"action": {"data": b"\1", "shape": [1]}})),
)
# Arrays as good as any, which would fill the memory as lists.
HOLLOW = (
    *(sent_array(shape=shape, data=b"") for shape in ([2**16, 0], [2**16, 2, 0, 5])),
    sent_array(shape=[20_000] + [1] * 63, data=bytes(20_000)),
)
CLAIMS = [
    prefix + header + size + rest
    for prefix in (b"", b"\x81\xa6action", b"\x81\xa6action\x81", b"\x81")  # the last two: as a key
    for size in (b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\xff\xff\xff\xff", b"\x08\x00\x00\x00")
    for header in (b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9")
    for rest in (b"", b"\x01" * 100, (header + size) * 500)
]


class Bodies(unittest.TestCase):
    """The reader alone, and what it takes of memory."""

    def refused(self, body):
        with self.assertRaises(InvalidMessagePack) as caught:
            from_msgpack(body)
        self.assertEqual(caught.exception.message, "Request is not valid MessagePack")
        self.assertTrue(caught.exception.detail)
        self.assertLess(len(caught.exception.detail), 300)

    def test_cut_off_or_too_long(self):
        too_long = (body + rest for body in GOOD for rest in (b"\0", b"\x80", body))
        for body in (*NO_ENDS, *too_long):
            self.refused(body)

    def test_nested(self):
        for body in NESTINGS:
            self.refused(body)
        for opening in (b"\x91", b"\x81\xa1x"):
            from_msgpack(nested(200, opening))
            from_msgpack(nested(199, opening, b"\x90"))
            self.refused(nested(200, opening, b"\x90"))
            array = sent_array()[len(b"\x81\xa6action") :]
            from_msgpack(nested(199, opening, array))
            self.refused(nested(200, opening, array))

    def test_types(self):
        for name, item in TYPES.items():
            with self.subTest(name):
                self.refused(item)
                self.refused(b"\x82\xa6action\x01\xa1x" + item)

    def test_arrays(self):
        for body in ARRAYS:
            with self.subTest(body[:80]):
                self.refused(body)
        for shape, data in (([1] * 64, b"\1"), ([0], b""), ([99, 1, 1], bytes(99))):
            self.assertEqual(
                list(from_msgpack(sent_array("|u1", shape, data))["action"].shape), shape
            )

    def test_nothing_is_allocated_by_what_is_claimed(self):
        for body in (*CLAIMS, *ARRAYS, *NESTINGS):
            tracemalloc.start()
            try:
                with self.assertRaises(InvalidMessagePack):
                    from_msgpack(body)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            # A byte may be a list, of which Python 3.13 makes thousands before it has enough.
            self.assertLess(peak, 500_000 + 100 * len(body), body[:80])


class Generated(unittest.TestCase):
    def read(self, body):
        """A value, of at most so many bytes as there were, or the one error."""
        try:
            value = from_msgpack(body)
        except InvalidMessagePack:
            return
        arrays = [value]
        while arrays:
            item = arrays.pop()
            self.assertIsInstance(item, (dict, list, str, int, float, np.ndarray, type(None)))
            if isinstance(item, np.ndarray):
                self.assertLessEqual(item.nbytes, len(body))
                self.assertIn(item.dtype.kind, "biuf")
            elif isinstance(item, (dict, list)):
                arrays += item.values() if isinstance(item, dict) else item

    @settings(max_examples=600, deadline=None, derandomize=True, database=None)
    @given(st.binary(max_size=200))
    def test_random_bytes(self, body):
        self.read(body)

    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(st.lists(st.sampled_from([*TYPES.values(), b"\x81\xa1x", b"\x92", b"\xc0"]), max_size=9))
    def test_random_pieces(self, pieces):
        self.read(b"".join(pieces))

    @settings(max_examples=600, deadline=None, derandomize=True, database=None)
    @given(
        st.sampled_from(["<f4", ">i2", "|u1", "|b1", "f8"]) | st.text(max_size=5),
        st.lists(st.sampled_from([0, 1, 2, 3, 2**31, 2**64 - 1]) | st.integers(-1, 9), max_size=5),
        st.binary(max_size=40),
    )
    def test_random_arrays(self, dtype, shape, data):
        self.read(sent_array(dtype, shape, data))

    def test_mutations(self):
        """Single bytes exchanged, all of them; then several put in, left out and exchanged."""
        for body in GOOD:
            for place in range(len(body)):
                for byte in range(256):
                    self.read(body[:place] + bytes([byte]) + body[place + 1 :])
        dice = random.Random(1)
        for _ in range(5_000):
            body = bytearray(dice.choice(GOOD))
            for _ in range(dice.randint(1, 6)):
                place, end = dice.randrange(len(body)), dice.randint(0, 3)
                body[place : place + end] = dice.randbytes(dice.randint(0, 3))
                body = body or bytearray(1)
            self.read(bytes(body))


class OnAServer(ServerCase):
    """Each test ends with a step, which has to be that of an undisturbed twin."""

    def setUp(self):
        super().setUp()
        self.worker = self.server.worker_pid()
        self.twins = [create(self.server, "CustomNested-v0", kwargs={"length": 9}) for _ in "ab"]
        self.env = self.twins[0]
        for env in self.twins:
            post(self.server, f"{env}/reset/", {"seed": 1})
        path = f"{self.env}/action_space/sample/"
        _, _, got = request(self.server, "GET", path, headers=f"Accept: {KIND}\r\n")
        self.action = from_msgpack(got)["action"]

    def tearDown(self):
        body = to_msgpack({"action": self.action})
        steps = [request(self.server, "POST", f"{env}/step/", body, KIND) for env in self.twins]
        self.assertEqual(steps[0][0], 200, steps[0])
        self.assertEqual(steps[0][2], steps[1][2])
        self.assertEqual(*(get(self.server, env)[2]["steps"] for env in self.twins))
        self.assertEqual(self.server.worker_pid(), self.worker)

    def refused(self, body, code, path="step/", where=None):
        path = f"{self.env}/{path}" if where is None else where
        status, headers, reply = request(self.server, "POST", path, body, KIND)
        self.assertEqual((status, headers["content-type"]), (400, "application/json"), reply)
        self.assertEqual((reply["code"], reply["retryable"]), (code, False), reply)
        self.assertIsInstance(reply["message"], str)
        self.assertLessEqual(set(reply), {"message", "code", "retryable", "detail"})
        self.assertLess(len(str(reply)), 1000)
        self.assertEqual("detail" in reply, code == "invalid_msgpack")
        return reply["message"]

    def test_bodies(self):
        for body in (*NO_ENDS, *NOT_MAPS, *TYPES.values(), *ARRAYS, *NESTINGS, GOOD[1] + b"\0"):
            with self.subTest(body[:80]):
                message = self.refused(body, "invalid_msgpack")
                self.assertEqual(message, "Request is not valid MessagePack")

    def test_an_array_is_named_and_not_written_out(self):
        # NumPy writes a megabyte with axes of two in seconds, and all other threads wait.
        many = np.zeros((2,) * 16, np.uint8)
        for action, begins in (
            (many, "expected an object with the keys"),
            ({**self.action, "pick": many}, ".pick: expected"),
            ({**self.action, "pick": [many] * 3}, ".pick: expected"),
        ):
            message = self.refused(to_msgpack({"action": action}), "bad_value")
            self.assertTrue(message.startswith(begins), message)
            self.assertIn("an array of uint8 (2, 2, 2", message)

    def test_on_every_route_that_takes_one(self):
        before = get(self.server, "/v1/envs/")[2]
        whole = [to_msgpack({"env_id": "CartPole-v1", "api_key": "k"}), GOOD[0]]
        for path in ("reset/", "step/", "observation_space/contains/", "monitor/start/"):
            for body in (*NOT_MAPS, *(body[:-1] for body in whole), NESTINGS[0], ARRAYS[0]):
                self.refused(body, "invalid_msgpack", path)
        for path in ("/v1/envs/", "/v1/upload/"):
            for body in (b"", *NOT_MAPS, whole[0][:-1], NESTINGS[1], ARRAYS[0]):
                self.refused(body, "invalid_msgpack", where=path)
        self.assertEqual(get(self.server, "/v1/envs/")[2], before)

    def test_what_is_missing(self):
        for value in ({}, {"action": None}, {"action": ""}, {"render": True}):
            self.refused(to_msgpack(value), "missing_parameter")

    @params(
        *(("reset/", "seed", seed) for seed in (np.nan, np.inf, -1, np.arange(2), np.array(1), {})),
        *(("reset/", "options", value) for value in (5, np.nan, [1])),
        *(("step/", "render", value) for value in (np.array(True), np.nan, 1)),
        *(("monitor/start/", "video_callable", value) for value in (np.nan, np.inf, np.array(1))),
        ("monitor/start/", "directory", np.arange(3)),
        *(("/v1/envs/", "seed", value) for value in (np.nan, -np.inf, 2**63, np.array([1]))),
        *(("/v1/envs/", "num_envs", value) for value in (np.nan, np.inf, 0, np.array(2))),
    )
    def test_values(self, path, name, value):
        base = {"env_id": "CartPole-v1", "directory": "/nowhere", "action": self.action}
        body = to_msgpack({**base, name: value})
        where = path if path.startswith("/") else None
        self.assertIn(name, self.refused(body, "bad_value", path, where))

    def test_an_array_in_place_of_an_object(self):
        for path, name in ((f"{self.env}/reset/", "options"), ("/v1/envs/", "kwargs")):
            body = to_msgpack({"env_id": "CartPole-v1", name: np.zeros(2)})
            self.assertIn(name, self.refused(body, "bad_value", where=path))

    @params(
        ("pick", [np.array(2), np.array(-2), np.array([0, 1]), np.array([[0]]), np.array(0.5)]),
        ("pick", [np.array(True), np.array(np.nan), True, 0.5, np.nan, np.inf, "0", [], [[0]]]),
        ("pick", [np.array(2**64 - 1, "u8"), 2**64 - 1, np.array([]), np.zeros((1, 0)), 1e300]),
        ("grid", [np.full((2, 2), 1.5), np.full((2, 2), np.nan), np.full((2, 2), np.inf), 0.5]),
        ("grid", [np.zeros(4), np.zeros((2, 2, 1)), np.zeros((2, 3)), np.zeros((2, 2), bool)]),
        ("grid", [np.full((2, 2), 1e300), [[0, 0], [0, np.nan]], [[0, 0], [0, True]], {}]),
        ("bytes", [np.array([0, 256]), np.array([0, -1]), np.array([0, 0.5]), [0, 256], [0, -1]]),
        ("bytes", [np.array([0, np.nan]), np.array([0, np.inf]), [0, np.nan], [0, np.inf]]),
        ("bytes", [np.array([True, False]), [True, 0], np.array([0, 2**64 - 1], "u8")]),
        ("bytes", [np.array([-1, 0], "i1"), np.array([256, 0], ">i2"), np.zeros(3), np.zeros(())]),
        ("many", [np.array([2, 0]), np.array([-1, 0]), np.array([0.5, 0]), np.array([True, True])]),
        ("many", [np.array([2**63, 0], "u8"), np.array([1e19, 0]), np.array([0]), np.array(0)]),
        ("many", [np.array([np.nan, 0]), [np.nan, 0], [True, 0], [2**64 - 1, 0], [[0, 0]]]),
        ("bits", [np.array([0, 1, 2]), np.array([0, 1, -1]), np.array([0, 1, 257]), [0, 1, 2]]),
        ("bits", [np.array([0, 1, 0.5]), np.array([0, 1, np.nan]), np.array([0, 1]), [0, 1, True]]),
        ("bits", [np.array([True, True, False]), np.array([[0, 1, 1]])]),
        ("pair", [[], [0], [0, {"x": 0}, 0], {}, [0, {}], [0, {"y": 0}], [0, [0]], [2, {"x": 0}]]),
        ("pair", [[0, {"x": np.array(10)}], [0, {"x": np.array([0])}], [0, {"x": np.nan}], None]),
        (None, [np.zeros(2), np.array(0), [], 0, {}, {"pick": 0}, "x", {"more": 1}]),
    )
    def test_actions(self, part, values):
        for value in values:
            with self.subTest(value):
                action = {**self.action, part: value} if part else value
                message = self.refused(to_msgpack({"action": action}), "bad_value")
                self.assertTrue(message.startswith(f".{part}" if part else "expected"), message)


class Memory(unittest.TestCase):
    def test_a_worker_does_not_grow_by_what_is_claimed(self):
        if not Path("/proc/self/clear_refs").exists():
            self.skipTest("there is no /proc to read a peak from")
        with ServerProcess("--import", "tests.custom_envs") as server:
            envs = [create(server, env_id) for env_id in ("Pendulum-v1", "CartPole-v1")]
            for path in [f"{env}/{verb}/" for env in envs for verb in ["reset"] * 50]:
                post(server, path)  # so that its threads are there, and what they begin with
            proc = Path(f"/proc/{server.worker_pid()}")
            (proc / "clear_refs").write_text("5")  # the peak is now what is there now
            before = self.peak_kib(proc)
            for env in envs:
                for body in (*CLAIMS, *ARRAYS):
                    for path in ("step/", "observation_space/contains/"):
                        reply = request(server, "POST", f"{env}/{path}", body, KIND)[2]
                        self.assertEqual(reply["code"], "invalid_msgpack")
                for body in HOLLOW:
                    reply = request(server, "POST", f"{env}/step/", body, KIND)[2]
                    self.assertEqual(reply["code"], "bad_value")
                    for key in (b"value", b"shape"):
                        other = body.replace(b"\xa6action", b"\xa5" + key)
                        path = f"{env}/observation_space/contains/"
                        reply = request(server, "POST", path, other, KIND)[2]
                        self.assertEqual(reply, {"member": False})
            self.assertLess(self.peak_kib(proc) - before, 20 * 1024)

    def peak_kib(self, proc):
        lines = (proc / "status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
