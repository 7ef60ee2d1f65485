"""MessagePack beside JSON: the same values on the same URLs, and arrays as they are."""

import io
import json
import math
import random
import struct
import unittest

import msgspec
import numpy as np
from nose2.tools import params
from PIL import Image

from gym_http.info import wire_info
from gym_http.web.routes import ROUTES
from gym_http.wire import from_msgpack, to_json, to_msgpack
from tests.support import ServerCase, create, exchange, post, shared_server

JSON = "application/json"
NAMES = MSGPACK, X, VND = [f"application/{name}msgpack" for name in ("", "x-", "vnd.")]
DTYPES = ["|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"]
LAYOUTS = {
    "Fortran's order": np.asfortranarray,
    "transposed": np.transpose,
    "backwards, every second": lambda a: a[::-1, ::2],
    "repeated by no stride": lambda a: np.broadcast_to(a[0], (3, 4)),
    "big-endian and transposed": lambda a: a.astype(a.dtype.newbyteorder(">")).T,
    "a matrix": np.asmatrix,
    "masked": lambda a: np.ma.masked_equal(a, 0),
    "unaligned and read-only": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1),
}


def every_bit(dtype, shape):
    """An array of random bytes, among whose floats are NaNs, infinities and subnormals."""
    data = random.Random(f"{dtype} {shape}").randbytes(math.prod(shape) * int(dtype[2]))
    data = bytes(byte & 1 for byte in data) if dtype == "|b1" else data
    return np.frombuffer(data, dtype).reshape(shape)


def round_trip(value):
    return from_msgpack(to_msgpack({"x": value}))["x"]


def ask(method, path, value=None, sent=JSON, accept=None):
    """One request, its body in MessagePack where `sent` says so. Returns (status, Content-Type,
    body), MessagePack and JSON decoded, the latter by a strict reader."""
    body = b"" if value is None else (to_json if sent == JSON else to_msgpack)(value)
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"Content-Length: {len(body)}\r\n" + f"Content-Type: {sent}\r\n" * bool(body)
    head += "" if accept is None else f"Accept: {accept}\r\n"
    status, headers, got = exchange(shared_server().address, head.encode() + b"\r\n" + body)
    kind = headers["content-type"]
    if kind in NAMES:
        return status, kind, from_msgpack(got)
    return status, kind, msgspec.json.decode(got) if kind == JSON else got


class Values(unittest.TestCase):
    @params(*DTYPES)
    def test_come_back_bit_by_bit(self, dtype):
        for shape in ((), (1,), (5,), (2, 3, 4), (0,), (2, 0, 3), (1,) * 64):
            with self.subTest(shape=shape):
                array = every_bit(dtype, shape)
                again = round_trip(array)
                self.assertEqual((again.dtype.str, again.shape), (dtype, shape))
                self.assertEqual(again.tobytes(), array.tobytes())
                again[...] = 0  # raises where it is read-only

    @params(*DTYPES)
    def test_from_any_layout(self, dtype):
        for name, lay_out in LAYOUTS.items():
            with self.subTest(name):
                laid_out = lay_out(every_bit(dtype, (3, 4)))
                plain = np.asarray(laid_out).astype(dtype, order="C")
                again = round_trip(laid_out)
                self.assertEqual((again.dtype.str, again.shape), (dtype, plain.shape))
                self.assertEqual(again.tobytes(), plain.tobytes())

    def test_long_doubles_as_doubles(self):
        array = np.array([[0.5, np.inf, 1e300], [-0.0, 3, np.nan]], np.longdouble)
        for laid_out in (array, array.T, array[:, ::2], array[:0], array[0, 0].reshape(())):
            expected = laid_out.astype("<f8")
            np.testing.assert_array_equal(round_trip(laid_out), expected, strict=True)

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
            self.assertTrue(to_msgpack(array).endswith(b"\xa4data" + header + array.tobytes()))

    def test_byte_orders_of_others(self):
        for dtype in (">f4", "<f4", "=f4", "f4", ">i8", "i8", ">b1", "b1", "|u1", "u1"):
            array = np.array([1, 0], dtype)
            body = {"dtype": dtype, "shape": [2], "data": array.tobytes()}
            again = from_msgpack(msgspec.msgpack.encode(body))
            np.testing.assert_array_equal(again, array)
            again += again

    def test_what_only_looks_like_one(self):
        for data in ("text", [1], None, {"dtype": 1}):
            value = {"dtype": "<f4", "shape": [1], "data": data}
            self.assertEqual(round_trip(value), value)
        again = round_trip({"dtype": "<f4", "shape": [1], "data": np.zeros(2)})
        np.testing.assert_array_equal(again["data"], np.zeros(2), strict=True)

    def test_of_no_numbers(self):
        """A client's, such as FrozenLake's `desc`: lists in both encodings, or nothing."""
        mixed = np.array([1, "x", None], object)
        for array in (np.array(["SF", "FG"]), np.array(["S"]), np.array("SFFG"), mixed):
            self.assertEqual(round_trip(array), array.tolist())
            self.assertEqual(json.loads(to_json(array)), array.tolist())
        for hopeless in (np.zeros(2, complex), np.complex64(1j), np.complex128(1j), object()):
            for encode in (to_msgpack, to_json):
                with self.assertRaises(TypeError):
                    encode({"x": hopeless})

    @params(0.0, -0.0, 1e-320, 1e100, 1e101, math.inf, -math.inf, math.nan, -math.nan)
    def test_floats_are_exact(self, number):
        for given in (number, np.float64(number)):
            self.assertEqual(struct.pack("<d", round_trip(given)), struct.pack("<d", number))

    @params(
        *((kind(1), int) for kind in (np.int8, np.uint8, np.int16, np.uint32, np.int64)),
        *((kind(0.5), float) for kind in (np.float16, np.float32, np.float64, np.longdouble)),
        *((np.bool_(True), bool), (True, bool), (2**64 - 1, int), (-(2**63), int)),
    )
    def test_scalars_keep_their_kind(self, scalar, kind):
        for again in (round_trip(scalar), json.loads(to_json(scalar))):
            self.assertIs(type(again), kind)
            self.assertEqual(again, scalar)


class Info(unittest.TestCase):
    @params(
        ({"x": np.longdouble(0.5), "y": [np.longdouble(2)]}, {"x": 0.5, "y": [2.0]}, []),
        ({"x": np.array("text"), "y": np.array(None)}, {"x": "text", "y": None}, []),
        ({"x": np.array({"y": 1}), "z": np.array(object())}, {"x": {"y": 1}}, ["z"]),
        ({"x": {10, np.int8(9), 9.5}, "y": {"b", 1}}, {"x": [9, 9.5, 10], "y": ["b", 1]}, []),
        ({"x": np.array(np.datetime64("2020-01-01"))}, {}, ["x"]),
        ({"x": np.array([["a", "b"]]), "y": np.str_("c")}, {"x": [["a", "b"]], "y": "c"}, []),
        ({"x": np.array([(1, 2.5)], "i4,f8")}, {"x": [[1, 2.5]]}, []),
        ({"x": (np.bool_(False), {(1,): {3}})}, {"x": [False, {"(1,)": [3]}]}, []),
        ({"x": b"bytes", "y": [b"", 1]}, {"y": [None, 1]}, ["x", "y[0]"]),
        ({"dtype": "|u1", "shape": (1,), "data": b"x"}, {"dtype": "|u1", "shape": [1]}, ["data"]),
        ({"x": 2**64, "y": 2**64 - 1, "z": np.complex128(1)}, {"y": 2**64 - 1}, ["x", "z"]),
        ({1: "int", "1": "text"}, {"1": "int"}, ["1"]),
    )
    def test_goes_through_in_both(self, info, expected, left_out):
        carried, dropped = wire_info(info)
        self.assertEqual(dropped, left_out)
        self.assertEqual(msgspec.json.decode(to_json(carried)), expected)
        self.assertEqual(msgspec.json.decode(to_json(round_trip(carried))), expected)

    def test_a_cycle_through_an_array_ends(self):
        array = np.array(None)
        array[()] = array
        self.assertEqual(wire_info({"x": array, "y": 1}), ({"y": 1}, ["x"]))


class Negotiation(ServerCase):
    ROUTES = (("/v1/healthz/", 200), ("/v1/envs/none/", 400), ("/none", 404), ("/v1/upload/", 405))

    def assert_kind(self, accept, expected):
        """Errors as well, those of the routes and of the router."""
        for path, status in self.ROUTES:
            got, kind, reply = ask("GET", path, accept=accept)
            self.assertEqual((got, kind), (status, expected))
            self.assertEqual(reply, ask("GET", path)[2])

    @params(
        *(None, "", "*/*", "application/*", JSON, "application/msgpackery", "text/html"),
        *(f"{JSON}, {MSGPACK}", f"{MSGPACK};q=0.5, {JSON}", f"text/html, {MSGPACK}"),
        *(f"image/png, {X}", f"{MSGPACK};q=0", f"{MSGPACK};q=0, */*", f"{MSGPACK};q=x"),
        *(f"*/*, {MSGPACK};q=0.1", f"application/*, {X};q=0.2", f"*, {MSGPACK};q=0.1"),
        *(f"{MSGPACK};v=5;q=0.1, {JSON}", f"{JSON};q=0.5, {VND};q=0.4, text/html;q=0.1"),
    )
    def test_json_stays_the_default(self, accept):
        self.assert_kind(accept, JSON)

    @params(
        *((accept, accept) for accept in NAMES),
        *((f"{name}, {JSON}", name) for name in NAMES),
        *((f"{JSON};q=0.9, {name}", name) for name in NAMES),
        *((f"{MSGPACK}, */*;q=0.1", MSGPACK), (f"{MSGPACK}, */*", MSGPACK)),
        *((f"{MSGPACK};q=0.2, {X}", X), (f"{X}, {MSGPACK}", X), (f"{VND};v=1", VND)),
        *((f"{JSON};charset=utf-8;q=0.1, {MSGPACK}", MSGPACK), (MSGPACK.upper(), MSGPACK)),
    )
    def test_messagepack_where_it_is_preferred(self, accept, name):
        self.assert_kind(accept, name)

    def test_a_life_by_each_name(self):
        for name in NAMES:
            status, _, made = ask("POST", "/v1/envs/", {"env_id": "Pendulum-v1"}, name, name)
            self.assertEqual(status, 200, made)
            env = f"/v1/envs/{made['instance_id']}"
            _, kind, reply = ask("POST", f"{env}/reset/", {"seed": 1}, name, name)
            self.assertEqual((kind, reply["observation"].dtype.str), (name, "<f4"))
            self.assertEqual(ask("POST", f"{env}/close/", {}, name, name), (200, name, {}))

    def test_request_and_reply_each_for_itself(self):
        env, seen = create(self.server, "Pendulum-v1"), []
        for sent in (JSON, f"{MSGPACK}; charset=binary", X.upper()):
            for accept in (JSON, VND):
                ask("POST", f"{env}/reset/", {"seed": 5}, sent, accept)
                action = {"action": np.array([0.5], "f4")}
                _, kind, reply = ask("POST", f"{env}/step/", action, sent, accept)
                self.assertEqual(kind, accept, reply)
                seen.append(np.array(reply["observation"], "f4").tolist())
        self.assertEqual(seen, seen[:1] * 6)


class SameValues(ServerCase):
    OWN = ("instance_id", "created", "last_used", "monitor", "snapshot_id", "sampling")

    def test_every_route(self):
        """On twins, asked in lockstep in the two encodings."""
        twins = [create(self.server, "CustomNested-v0", kwargs={"length": 1}) for _ in range(2)]
        action = ask("GET", f"{twins[0]}/action_space/sample/")[2]["action"]
        dirs = [str(self.scratch / name) for name in ("json", "msgpack")]
        script = {
            "POST /v1/envs/": {"env_id": "CartPole-v0"},
            "POST monitor/start/": [{"directory": place} for place in dirs],
            "POST reset/": {"seed": 4},
            "POST rollout/": {"actions": [action], "on_done": "reset"},
            "POST step/": {"action": action},
            "POST snapshot/": None,
            "GET snapshot/<snapshot_id>/": None,
            "POST monitor/close/": {},
            "POST observation_space/contains/": {"value": action},
            "POST /v1/upload/": [{"training_dir": place, "api_key": "k"} for place in dirs],
            **dict.fromkeys(("GET ", "GET /v1/envs/", "GET render/", "GET action_space/")),
            **dict.fromkeys(("GET action_space/sample/", "GET action_space/contains/")),
            **dict.fromkeys(("GET action_space/contains/<path:x>/", "GET observation_space/")),
            **dict.fromkeys(("GET /healthz/", "GET /v1/healthz/", "GET /v1/registry/")),
            "GET /v1/scoreboard/": None,
            "POST close/": {},
        }
        ids = {}
        spoken = [route for route in ROUTES if isinstance(route.reply, type) or route.msgpack]
        known = {f"{route.method} {route.path}" for route in spoken}
        self.assertEqual(
            {line.replace("/v1/envs/<instance_id>/", "") for line in known}, set(script)
        )
        failing = ("GET render/", "GET action_space/contains/")  # nothing drawn, nothing asked
        for line, body in script.items():
            with self.subTest(line):
                method, path = line.replace("<path:x>", "1").split(" ")
                seen = []
                for which, name in enumerate((JSON, MSGPACK)):
                    where = path if path.startswith("/") else f"{twins[which]}/{path}"
                    if "sample" in path:  # of spaces that the twins don't share
                        where = f"{create(self.server, 'Pendulum-v1', seed=1)}/{path}"
                    where = where.replace("<snapshot_id>", ids.get(which, ""))
                    given = body[which] if isinstance(body, list) else body
                    status, kind, reply = ask(method, where, given, name, name)
                    self.assertEqual((status, kind), (400 if line in failing else 200, name))
                    ids[which] = reply.get("snapshot_id", ids.get(which, ""))
                    values = msgspec.json.decode(to_json(reply))
                    seen.append({k: v for k, v in values.items() if k not in self.OWN})
                self.assertEqual(*seen)

    def test_of_a_vector_environment(self):
        env = create(self.server, "CartPole-v1", num_envs=3)
        ask("POST", f"{env}/reset/", {"seed": [1, None, 3]}, MSGPACK)
        reply = ask("POST", f"{env}/step/", {"action": np.array([0, 1, 0])}, MSGPACK, MSGPACK)[2]
        expected = {"observation": ("<f4", (3, 4)), "reward": ("<f8", (3,))}
        expected |= dict.fromkeys(("done", "terminated", "truncated"), ("|b1", (3,)))
        self.assertEqual({k: (reply[k].dtype.str, reply[k].shape) for k in expected}, expected)

    def test_what_json_cannot_say(self):
        """Exact in MessagePack; in JSON by its rule, which a strict reader takes."""
        for accept, nan, inf in ((JSON, None, 1e100), (MSGPACK, math.nan, math.inf)):
            env = create(self.server, "CustomUnruly-v0", kwargs={"length": 1})
            bounds = ask("GET", f"{env}/observation_space/", accept=accept)[2]["info"]
            ask("POST", f"{env}/reset/", accept=accept)
            reply = ask("POST", f"{env}/step/", {"action": 0}, accept=accept)[2]
            info = reply["info"]
            for value, expected in (
                (reply["observation"], [nan, inf, -inf]),
                (info["array"], [1.5, nan]),
                (bounds["low"], [-inf] * 3),
            ):
                array = np.array(expected, float if accept == MSGPACK else object)
                np.testing.assert_array_equal(value, array, strict=accept == MSGPACK)
            self.assertEqual((reply["reward"], info["inf"], info["scalar"]), (inf, inf, 0.5))
            self.assertEqual(info["nested"], {"tuple": [1, 2], "set": [3], "4": "int key"})
            self.assertEqual((info["flag"] is True, reply["info_dropped"]), (True, ["handle"]))
            self.assertEqual(ask("GET", env, accept=accept)[0], 200)


class Frames(ServerCase):
    def test_an_observation_costs_its_own_bytes(self):
        env = create(self.server, "CustomFrames-v0")
        for verb, body, time in (("reset", b"{}", 0), ("step", b'{"action":1}', 1)):
            head = f"POST {env}/{verb}/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\n"
            head += f"Accept: {MSGPACK}\r\nContent-Length: {len(body)}\r\n\r\n"
            got = exchange(self.server.address, head.encode() + body)[2]
            self.assertLess(len(got) - 210 * 160 * 3, 300)
            pixels = ((np.arange(100_800) + 85 * time) % 251).reshape(210, 160, 3)
            observation = from_msgpack(got)["observation"]
            np.testing.assert_array_equal(observation, pixels.astype("u1"), strict=True)

    @params("CustomFrames-v0", "CustomOddFrames-v0", "CartPole-v1")
    def test_a_frame_is_the_picture(self, env_id):
        env = create(self.server, env_id, seed=1)
        post(self.server, f"{env}/reset/")
        post(self.server, f"{env}/step/", {"action": 1})
        status, kind, png = ask("GET", f"{env}/render/", accept=f"*/*, {MSGPACK}")
        self.assertEqual((status, kind), (200, "image/png"))
        picture = np.asarray(Image.open(io.BytesIO(png)))
        for name in NAMES:
            _, kind, reply = ask("GET", f"{env}/render/", accept=name)
            self.assertEqual((kind, list(reply)), (name, ["frame"]))
            np.testing.assert_array_equal(reply["frame"], picture, strict=True)

    def test_text_and_many(self):
        env = create(self.server, "FrozenLake-v1", render_mode="ansi")
        post(self.server, f"{env}/reset/")
        text, reply = (ask("GET", f"{env}/render/", accept=a)[2] for a in ("*/*", MSGPACK))
        self.assertEqual(reply, {"frame": text.decode()})
        env = create(self.server, "CustomOddFrames-v0", num_envs=2)
        post(self.server, f"{env}/reset/")
        frames = ask("GET", f"{env}/render/", accept=MSGPACK)[2]["frame"]
        self.assertEqual([frame.shape for frame in frames], [(35, 51, 3)] * 2)


class Actions(ServerCase):
    @params(
        ("Pendulum-v1", [np.array([0.5], dtype) for dtype in ("<f2", "<f4", "<f8", ">f4", ">f8")]),
        ("Pendulum-v1", [np.array(0.5), [0.5], 0.5, np.float32(0.5), [np.float64(0.5)]]),
        ("CartPole-v1", [np.array(1, dtype) for dtype in ("|i1", "|u1", "<i8", "<u8", ">i2")]),
        ("CartPole-v1", [1, np.array([1]), np.array([1.0], "f4"), np.int64(1), 1.0, [1]]),
    )
    def test_in_any_form(self, env_id, actions):
        env, seen = create(self.server, env_id), []
        plain = np.asarray(actions[0]).tolist()
        for action, sent in ((plain, JSON), *((action, MSGPACK) for action in actions)):
            post(self.server, f"{env}/reset/", {"seed": 9})
            status, _, reply = ask("POST", f"{env}/step/", {"action": action}, sent)
            self.assertEqual(status, 200, reply)
            seen.append(reply["observation"])
        self.assertEqual(seen, seen[:1] * len(seen))
