"""MessagePack beside JSON: the same values on the same URLs, and arrays as they are."""

from __future__ import annotations

import io
import json
import math
import random
import struct
import unittest
from typing import Any

import msgspec
import numpy as np
from nose2.tools import params
from PIL import Image

from gym_http.info import wire_info
from gym_http.service import Service
from gym_http.settings import Settings
from gym_http.spaces import space_from_description
from gym_http.web.app import create_app
from gym_http.web.routes import ROUTES
from gym_http.wire import from_msgpack, to_json, to_msgpack
from tests.support import ServerCase, create, exchange, post

JSON = "application/json"
NAMES = ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack")
DTYPES = ("|b1", "|i1", "|u1", *(f"<{kind}{n}" for kind in "iu" for n in (2, 4, 8)))
DTYPES += ("<f2", "<f4", "<f8")
SHAPES = ((), (1,), (5,), (2, 3, 4), (0,), (2, 0, 3), (1,) * 64)
LAYOUTS = {
    "Fortran's order": lambda a: np.asfortranarray(a),
    "transposed": lambda a: a.T,
    "every second": lambda a: a[:, ::2],
    "backwards": lambda a: a[::-1],
    "repeated by no stride": lambda a: np.broadcast_to(a[0], (3, *a[0].shape)),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "big-endian and transposed": lambda a: a.astype(a.dtype.newbyteorder(">")).T,
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype),
    "without elements, transposed": lambda a: a[:0].T,
    "one element of another": lambda a: a[1:2, 1:2].reshape(()),
    "a matrix": lambda a: np.asmatrix(a),
    "masked": lambda a: np.ma.masked_equal(a, 0),
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1),
}


def every_bit(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array of random bytes, among whose floats are NaNs, infinities and subnormals."""
    kind = np.dtype(dtype)
    data = random.Random(str((dtype, shape))).randbytes(math.prod(shape) * kind.itemsize)
    if kind.kind == "b":
        data = bytes(byte & 1 for byte in data)
    return np.frombuffer(data, kind).reshape(shape)


def round_trip(value: Any) -> Any:
    return from_msgpack(to_msgpack({"x": value}))["x"]


def ask(
    server: Any, method: str, path: str, value: Any = None, sent: str = JSON, accept: Any = None
) -> tuple[int, str, Any]:
    """One request, its body in MessagePack where `sent` says so. Returns (status, Content-Type,
    body), MessagePack and JSON decoded, the latter by a strict reader."""
    body = b"" if value is None else (to_json if sent == JSON else to_msgpack)(value)
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += f"Content-Length: {len(body)}\r\n" + f"Content-Type: {sent}\r\n" * bool(body)
    head += "" if accept is None else f"Accept: {accept}\r\n"
    status, headers, got = exchange(server.address, head.encode() + b"\r\n" + body)
    kind = headers["content-type"]
    if kind in NAMES:
        return status, kind, from_msgpack(got)
    return status, kind, msgspec.json.decode(got) if kind == JSON else got


class Arrays(unittest.TestCase):
    @params(*DTYPES)
    def test_come_back_bit_by_bit(self, dtype):
        for shape in SHAPES:
            with self.subTest(shape=shape):
                array = every_bit(dtype, shape)
                again = round_trip(array)
                self.assertEqual((again.dtype.str, again.shape), (dtype, shape))
                self.assertEqual(again.tobytes(), array.tobytes())
                again[...] = 0  # raises where it is read-only

    @params(*DTYPES)
    def test_from_any_layout(self, dtype):
        array = every_bit(dtype, (3, 4))
        for name, lay_out in LAYOUTS.items():
            with self.subTest(name):
                laid_out = lay_out(array)
                plain = np.asarray(laid_out).astype(dtype, order="C")
                again = round_trip(laid_out)
                self.assertEqual((again.dtype.str, again.shape), (dtype, plain.shape))
                self.assertEqual(again.tobytes(), plain.tobytes())

    def test_long_doubles_as_doubles(self):
        array = np.array([[0.5, np.inf, 1e300], [-0.0, 3, np.nan]], np.longdouble)
        for laid_out in (array, array.T, array[:, ::2], array[:0], array[0, 0]):
            again = round_trip(np.asarray(laid_out))
            np.testing.assert_array_equal(again, laid_out.astype("<f8"), strict=True)
        scalars = round_trip([np.longdouble(0.5), np.longdouble("-inf")])
        self.assertEqual(scalars, [0.5, -math.inf])
        self.assertEqual({type(scalar) for scalar in scalars}, {float})

    @params(
        (np.array([[1, 2, 515]], "<u2"), b"<u2", b"\x92\x01\x03", b"\x01\x00\x02\x00\x03\x02"),
        (np.array([[1, 2, 515]], ">u2"), b"<u2", b"\x92\x01\x03", b"\x01\x00\x02\x00\x03\x02"),
        (np.array(1.5, "f4"), b"<f4", b"\x90", b"\x00\x00\xc0\x3f"),
        (np.array([True, False]), b"|b1", b"\x91\x02", b"\x01\x00"),
        (np.zeros((200, 0), "i1"), b"|i1", b"\x92\xcc\xc8\x00", b""),
    )
    def test_on_the_wire(self, array, dtype, shape, data):
        expected = b"\x83\xa5dtype\xa3" + dtype + b"\xa5shape" + shape
        expected += b"\xa4data\xc4" + bytes([len(data)]) + data
        self.assertEqual(to_msgpack(array), expected)
        np.testing.assert_array_equal(from_msgpack(expected), array)

    def test_long_ones_on_the_wire(self):
        for shape, header in (((210, 160, 3), b"\xc6\x00\x01\x89\xc0"), ((300,), b"\xc5\x01\x2c")):
            array = every_bit("|u1", shape)
            sent = to_msgpack(array)
            self.assertTrue(sent.endswith(b"\xa4data" + header + array.tobytes()))
            value = msgspec.msgpack.decode(sent)
            self.assertEqual((value["dtype"], value["shape"]), ("|u1", list(shape)))

    def test_byte_orders_of_others(self):
        for dtype in (">f4", "<f4", "=f4", "f4", ">i8", "i8", ">b1", "b1", "|u1", "u1"):
            array = np.array([1, 0], dtype)
            body = {"dtype": dtype, "shape": [2], "data": array.tobytes()}
            again = from_msgpack(msgspec.msgpack.encode(body))
            np.testing.assert_array_equal(again, array)
            again += again

    @params(
        {"dtype": "<f4", "shape": [1]},
        {"dtype": "<f4", "shape": [1], "data": "text"},
        {"dtype": "<f4", "shape": [1], "data": [1]},
        {"dtype": "<f4", "shape": [1], "data": None, "more": 1},
    )
    def test_what_only_looks_like_one(self, value):
        self.assertEqual(round_trip(value), value)

    def test_keys_of_an_array_around_arrays(self):
        again = round_trip({"dtype": "<f4", "shape": [1], "data": np.zeros(2)})
        np.testing.assert_array_equal(again.pop("data"), np.zeros(2), strict=True)
        self.assertEqual(again, {"dtype": "<f4", "shape": [1]})

    def test_of_no_numbers(self):
        """A client's, such as FrozenLake's `desc`: lists in both encodings."""
        for array, expected in (
            (np.array(["SF", "FG"]), ["SF", "FG"]),
            (np.array("SFFG"), "SFFG"),
            (np.array([1, "x", None], object), [1, "x", None]),
        ):
            self.assertEqual(round_trip(array), expected)
            self.assertEqual(json.loads(to_json(array)), expected)
        for hopeless in (np.zeros(2, complex), np.complex64(1j), np.complex128(1j), object()):
            for encode in (to_msgpack, to_json):
                with self.assertRaises(TypeError):
                    encode({"x": hopeless})


class Numbers(unittest.TestCase):
    @params(0.0, -0.0, 1e-320, 1e100, 1e101, math.inf, -math.inf, math.nan, -math.nan)
    def test_floats_are_exact(self, number):
        for given in (number, np.float64(number)):
            self.assertEqual(struct.pack("<d", round_trip(given)), struct.pack("<d", number))

    @params(
        *((kind(1), int) for kind in (np.int8, np.uint8, np.int16, np.uint32, np.int64)),
        *((kind(0.5), float) for kind in (np.float16, np.float32, np.float64, np.longdouble)),
        *((np.bool_(True), bool), (True, bool), (2**64 - 1, int), (-(2**63), int)),
        *((np.uint64(2**64 - 1), int), (np.int64(-(2**63)), int)),
    )
    def test_scalars_keep_their_kind(self, scalar, kind):
        for again in (round_trip(scalar), json.loads(to_json(scalar))):
            self.assertIs(type(again), kind)
            self.assertEqual(again, scalar)


class Info(unittest.TestCase):
    """Whatever an environment tells, in both encodings."""

    @params(
        ({"x": np.array([1.5, np.nan], ">f4")}, {"x": [1.5, None]}, []),
        ({"x": np.longdouble(0.5), "y": np.float16("inf")}, {"x": 0.5, "y": 1e100}, []),
        ({"x": np.longdouble("nan"), "y": [np.longdouble(2)]}, {"x": None, "y": [2.0]}, []),
        ({"x": np.array("text"), "y": np.array(None)}, {"x": "text", "y": None}, []),
        ({"x": np.array({"y": 1}), "z": np.array(object())}, {"x": {"y": 1}}, ["z"]),
        ({"x": np.array(np.datetime64("2020-01-01"))}, {}, ["x"]),
        ({"x": np.array([["a", "b"]]), "y": np.str_("c")}, {"x": [["a", "b"]], "y": "c"}, []),
        ({"x": np.array([(1, 2.5)], "i4,f8")}, {"x": [[1, 2.5]]}, []),
        (
            {"x": np.ma.masked_equal([1, 2], 2), "y": np.asmatrix([1])},
            {"x": [1, 2], "y": [[1]]},
            [],
        ),
        ({"x": {(1, 2): frozenset({"a"})}}, {"x": {"(1, 2)": ["a"]}}, []),
        ({"x": (np.bool_(False), {1: np.int8(3)})}, {"x": [False, {"1": 3}]}, []),
        ({"x": b"bytes", "y": [b"", 1]}, {"y": [None, 1]}, ["x", "y[0]"]),
        (
            {"dtype": "<f4", "shape": (1,), "data": b"1234"},
            {"dtype": "<f4", "shape": [1]},
            ["data"],
        ),
        ({"x": 2**64, "y": 2**64 - 1, "z": np.complex128(1)}, {"y": 2**64 - 1}, ["x", "z"]),
        ({1: "int", "1": "text"}, {"1": "int"}, ["1"]),
    )
    def test_goes_through(self, info, expected, left_out):
        carried, dropped = wire_info(info)
        self.assertEqual(dropped, left_out)
        self.assertEqual(msgspec.json.decode(to_json(carried)), expected)
        again = from_msgpack(to_msgpack(carried))
        self.assertEqual(msgspec.json.decode(to_json(again)), expected)

    def test_a_cycle_through_an_array_ends(self):
        array = np.array(None)
        array[()] = array
        self.assertEqual(wire_info({"x": array, "y": 1}), ({"y": 1}, ["x"]))


class Negotiation(ServerCase):
    @params(*NAMES)
    def test_by_each_name(self, name):
        status, kind, made = ask(
            self.server, "POST", "/v1/envs/", {"env_id": "Pendulum-v1", "seed": 3}, name, name
        )
        self.assertEqual((status, kind), (200, name), made)
        env = f"/v1/envs/{made['instance_id']}"
        status, kind, reply = ask(self.server, "POST", f"{env}/reset/", None, accept=name)
        self.assertEqual((status, kind), (200, name))
        self.assertEqual(
            (reply["observation"].dtype.str, reply["observation"].shape), ("<f4", (3,))
        )
        self.assertEqual(
            ask(self.server, "POST", f"{env}/close/", None, name, name)[1:], (name, {})
        )

    @params(
        *(None, "", "*/*", "application/*", JSON, "application/msgpackery", "text/html"),
        *(f"{JSON}, application/msgpack", "application/msgpack;q=0.5, application/json"),
        *("text/html, application/msgpack", "image/png, application/x-msgpack"),
        *("application/msgpack;q=0", "application/msgpack;q=0, */*", "application/msgpack;q=x"),
        *("*/*, application/msgpack;q=0.1", "application/*, application/msgpack;q=0.2"),
        *("*;q=1, application/msgpack;q=0.1", "application/msgpack;v=5;q=0.1, application/json"),
    )
    def test_json_stays_the_default(self, accept):
        for path, expected in (("/v1/healthz/", 200), ("/v1/envs/none/", 400), ("/none", 404)):
            status, kind, reply = ask(self.server, "GET", path, accept=accept)
            self.assertEqual((status, kind), (expected, JSON))
            self.assertIsInstance(reply, dict)

    @params(
        *((f"{name}, {JSON}", name) for name in NAMES),
        *((f"{JSON};q=0.9, {name}", name) for name in NAMES),
        ("application/msgpack, */*;q=0.1", "application/msgpack"),
        ("application/msgpack, */*", "application/msgpack"),
        ("application/msgpack;q=0.2, application/x-msgpack", "application/x-msgpack"),
        ("application/x-msgpack, application/msgpack", "application/x-msgpack"),
        ("application/msgpack;q=0.2, application/json;q=0.1", "application/msgpack"),
        ("application/json;charset=utf-8;q=0.1, application/msgpack", "application/msgpack"),
        ("APPLICATION/MsgPack", "application/msgpack"),
    )
    def test_messagepack_where_it_is_preferred(self, accept, name):
        """Errors as well, of the routes' and of the router's own."""
        for path, expected in (("/v1/healthz/", 200), ("/v1/envs/none/", 400), ("/none", 404)):
            status, kind, reply = ask(self.server, "GET", path, accept=accept)
            self.assertEqual((status, kind), (expected, name))
            self.assertEqual("code" in reply, status != 200)

    def test_errors_in_both(self):
        for method, path, code in (
            ("POST", "/v1/envs/", "missing_parameter"),
            ("GET", "/v1/envs/none/render/", "unknown_instance"),
            ("PUT", "/v1/envs/", "method_not_allowed"),
            ("GET", "/v1/nowhere", "unknown_path"),
        ):
            replies = [
                ask(self.server, method, path, {}, NAMES[0], as_) for as_ in (None, NAMES[0])
            ]
            self.assertEqual([kind for _, kind, _ in replies], [JSON, NAMES[0]])
            self.assertEqual(replies[0][::2], replies[1][::2])
            self.assertEqual(replies[0][2]["code"], code)

    def test_request_and_reply_each_for_itself(self):
        env = create(self.server, "Pendulum-v1", seed=1)
        bodies = {"seed": 5}, {"action": np.array([0.5], "f4")}
        seen = []
        for sent in (JSON, f"{NAMES[0]}; charset=binary", NAMES[1].upper()):
            for accept in (JSON, NAMES[2]):
                for verb, body in zip(("reset", "step"), bodies, strict=True):
                    _, kind, reply = ask(self.server, "POST", f"{env}/{verb}/", body, sent, accept)
                    self.assertEqual(kind, accept, reply)
                seen.append(np.array(reply["observation"], "f4").tolist())
        self.assertEqual(seen, seen[:1] * 6)


class SameValues(ServerCase):
    """Every route, on two instances with one seed, asked in lockstep in the two encodings."""

    IDS = ("instance_id", "created", "last_used", "monitor", "entry_id", "uploaded", "uploader")

    def test_every_route(self):
        twins = [create(self.server, "CustomNested-v0", seed=7) for _ in range(2)]
        dirs = [{"directory": str(self.scratch / name)} for name in ("json", "msgpack")]
        post(self.server, f"{twins[0]}/monitor/start/", dirs[0])  # closed and uploaded below
        post(self.server, f"{twins[1]}/monitor/start/", dirs[1])
        space = space_from_description(
            ask(self.server, "GET", f"{twins[0]}/action_space/")[2]["info"]
        )
        space.seed(1)
        action = space.sample()
        uploads = [{"training_dir": place["directory"], "api_key": "k"} for place in dirs]
        script: dict[tuple[str, str], Any] = {
            ("POST", "/v1/envs/"): {"env_id": "CartPole-v0"},
            ("GET", "/v1/envs/"): None,
            ("POST", "reset/"): {"seed": 4},
            ("POST", "step/"): {"action": action},
            ("GET", ""): None,
            ("GET", "render/"): None,  # an error, of an environment that draws nothing
            ("GET", "action_space/"): None,
            ("GET", "action_space/sample/"): None,
            ("GET", "action_space/contains/<path:x>/"): None,
            ("GET", "action_space/contains/"): None,
            ("GET", "observation_space/"): None,
            ("POST", "observation_space/contains/"): {"value": action},
            ("POST", "monitor/close/"): {},
            ("POST", "monitor/start/"): [{**place, "force": True} for place in dirs],
            ("POST", "close/"): {},
            ("POST", "/v1/upload/"): uploads,
            ("GET", "/v1/scoreboard/"): None,
            ("GET", "/v1/registry/"): None,
            ("GET", "/healthz/"): None,
            ("GET", "/v1/healthz/"): None,
        }
        env = "/v1/envs/<instance_id>/"
        paths = {(verb, path if path[:1] == "/" else env + path) for verb, path in script}
        self.assertEqual(
            paths | {("POST", "/v1/shutdown/")}, {(route.method, route.path) for route in ROUTES}
        )
        for (method, path), body in script.items():
            with self.subTest(path, method=method):
                path = path.replace("<path:x>", "1")
                seen = []
                for which, name in enumerate((JSON, NAMES[0])):
                    where = path if path.startswith("/") else f"{twins[which]}/{path}"
                    given = body[which] if isinstance(body, list) else body
                    status, kind, reply = ask(self.server, method, where, given, name, name)
                    self.assertEqual(kind, name)
                    reply = msgspec.json.decode(to_json(reply))
                    seen.append((status, {k: v for k, v in reply.items() if k not in self.IDS}))
                self.assertEqual(*seen)
                self.assertEqual(
                    seen[0][0], 400 if path in ("render/", "action_space/contains/") else 200
                )

    def test_shutdown_is_text(self):
        service = Service(Settings())
        service.on_shutdown = lambda: None
        reply = (
            create_app(Settings(), service)
            .test_client()
            .post("/v1/shutdown/", headers={"Accept": NAMES[0]})
        )
        self.assertEqual((reply.status_code, reply.mimetype), (200, "text/plain"))

    def test_of_a_vector_environment(self):
        env = create(self.server, "CartPole-v1", num_envs=3, seed=2)
        ask(self.server, "POST", f"{env}/reset/", {"seed": [1, None, 3]}, NAMES[0])
        _, _, reply = ask(
            self.server, "POST", f"{env}/step/", {"action": np.array([0, 1, 0])}, *NAMES[:2]
        )
        for key, dtype, shape in (
            *(("observation", "<f4", (3, 4)), ("reward", "<f8", (3,))),
            *((key, "|b1", (3,)) for key in ("done", "terminated", "truncated")),
        ):
            self.assertEqual((reply[key].dtype.str, reply[key].shape), (dtype, shape), key)


class WhatJSONCannotSay(ServerCase):
    def test_an_unruly_environment(self):
        """Exact in MessagePack; in JSON by its rule. A strict reader takes both."""
        replies = {}
        for name in (JSON, NAMES[0]):
            env = create(self.server, "CustomUnruly-v0", kwargs={"length": 1})
            ask(self.server, "POST", f"{env}/reset/", accept=name)
            reply = ask(self.server, "POST", f"{env}/step/", {"action": 0}, accept=name)[2]
            self.assertIs(reply["info"]["flag"], True)
            self.assertEqual(reply["info"]["nested"], {"tuple": [1, 2], "set": [3], "4": "int key"})
            self.assertEqual((reply["info"]["scalar"], reply["info_dropped"]), (0.5, ["handle"]))
            replies[name] = reply
            self.assertEqual(ask(self.server, "GET", env, accept=name)[0], 200)
        plain, exact = replies.values()
        self.assertEqual(plain["observation"], [None, 1e100, -1e100])
        self.assertEqual((plain["reward"], plain["info"]["inf"]), (1e100, 1e100))
        self.assertEqual(plain["info"]["array"], [1.5, None])
        np.testing.assert_array_equal(
            exact["observation"], np.array([np.nan, np.inf, -np.inf]), strict=True
        )
        self.assertEqual((exact["reward"], exact["info"]["inf"]), (math.inf, math.inf))
        np.testing.assert_array_equal(exact["info"]["array"], np.array([1.5, np.nan]), strict=True)

    def test_bounds(self):
        env = create(self.server, "CustomUnruly-v0")
        info = ask(self.server, "GET", f"{env}/observation_space/", accept=NAMES[0])[2]["info"]
        np.testing.assert_array_equal(info["low"], np.full(3, -np.inf), strict=True)


class Frames(ServerCase):
    def test_an_observation_costs_its_own_bytes(self):
        env = create(self.server, "CustomFrames-v0")
        for verb, body, time in (("reset", b"{}", 0), ("step", b'{"action":1}', 1)):
            head = f"POST {env}/{verb}/ HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\n"
            head += f"Accept: {NAMES[0]}\r\nContent-Length: {len(body)}\r\n\r\n"
            _, _, got = exchange(self.server.address, head.encode() + body)
            self.assertLess(len(got) - 210 * 160 * 3, 300)
            expected = (np.arange(100_800) + 85 * time) % 251
            pixels = expected.astype(np.uint8).reshape(210, 160, 3)
            np.testing.assert_array_equal(from_msgpack(got)["observation"], pixels, strict=True)

    @params("CustomFrames-v0", "CustomOddFrames-v0", "CartPole-v1")
    def test_a_frame_is_the_picture(self, env_id):
        env = create(self.server, env_id, seed=1)
        post(self.server, f"{env}/reset/")
        post(self.server, f"{env}/step/", {"action": 1})
        status, kind, png = ask(self.server, "GET", f"{env}/render/", accept="*/*")
        self.assertEqual((status, kind), (200, "image/png"))
        for name in NAMES:
            _, kind, reply = ask(self.server, "GET", f"{env}/render/", accept=name)
            self.assertEqual((kind, list(reply)), (name, ["frame"]))
            np.testing.assert_array_equal(
                reply["frame"], np.asarray(Image.open(io.BytesIO(png))), strict=True
            )

    def test_text_and_many(self):
        env = create(self.server, "FrozenLake-v1", render_mode="ansi")
        post(self.server, f"{env}/reset/")
        text = ask(self.server, "GET", f"{env}/render/")[2].decode()
        reply = ask(self.server, "GET", f"{env}/render/", accept=NAMES[0])[2]
        self.assertEqual(reply, {"frame": text})
        env = create(self.server, "CustomOddFrames-v0", num_envs=2)
        post(self.server, f"{env}/reset/")
        frames = ask(self.server, "GET", f"{env}/render/", accept=NAMES[0])[2]["frame"]
        self.assertEqual([frame.shape for frame in frames], [(35, 51, 3)] * 2)


class Actions(ServerCase):
    @params(
        *(np.array([0.5], dtype) for dtype in ("<f2", "<f4", "<f8", ">f4", ">f8")),
        *(np.array(0.5), [0.5], 0.5, np.float32(0.5), [np.float64(0.5)]),
    )
    def test_of_a_box(self, action):
        env = create(self.server, "Pendulum-v1")
        self.assertEqual(self.stepped(env, NAMES[0], action), self.stepped(env, JSON, [0.5]))

    @params(
        *(np.array(1, dtype) for dtype in ("|i1", "|u1", "<i8", "<u8", ">i2")),
        *(np.array([1]), np.array([1.0], "f4"), np.int64(1), 1, 1.0, [1]),
    )
    def test_of_a_discrete_space(self, action):
        env = create(self.server)
        self.assertEqual(self.stepped(env, NAMES[0], action), self.stepped(env, JSON, 1))

    def stepped(self, env, name, action):
        post(self.server, f"{env}/reset/", {"seed": 9})
        status, _, reply = ask(self.server, "POST", f"{env}/step/", {"action": action}, name)
        self.assertEqual(status, 200, reply)
        return reply["observation"]
