"""What reads a client's bytes, given any: a value, or an error of the family; never another
exception, and never much more memory than there were bytes.

GYM_HTTP_FUZZ_EXAMPLES says how many of each, where a few hundred are too few.
"""

import base64
import copy
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import gymnasium
import msgspec
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gym_http import counting, kwargs, wire
from gym_http.environments import Recipe
from gym_http.errors import GymHTTPError, InvalidRequest, shown
from gym_http.roots import Roots
from gym_http.service import Service
from gym_http.settings import Settings
from gym_http.snapshots import form
from gym_http.spaces import batches, contains, decode
from gym_http.web.exchange import Call, answer
from gym_http.web.routes import ROUTES
from gym_http.web.schema import Body
from tests.spaces_alike import nested
from tests.support import ROOT
from tests.test_schema import family

EXAMPLES = int(os.environ.get("GYM_HTTP_FUZZ_EXAMPLES", "0"))


def some(usual):
    return settings(
        max_examples=EXAMPLES or usual,
        deadline=None,
        derandomize=not EXAMPLES,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


WORDS = st.sampled_from(
    ["", "a", "dtype", "shape", "data", "action", "seed", "reset_mask", "true", "CartPole-v1", "\0",
     "\ud7ff\U0001f600", "/etc", "..", "~", "rgb_array", "sync", "2", "reset", "é" * 90, "x" * 300]
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-5, 5),
    st.sampled_from([2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**300, 1e308, 0.5]),
    st.floats(),
)
ARRAYS = st.builds(
    lambda dtype, shape, number: np.full(shape, number).astype(dtype),
    st.sampled_from(["<f4", "<f8", "|u1", "<i8", "|b1", ">i2"]),
    st.lists(st.integers(0, 4), max_size=4),
    st.integers(0, 3),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS, st.text(max_size=9))


KEYS = WORDS | st.text(max_size=4)


def values(leaves):
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=5), st.dictionaries(KEYS, inner, max_size=4)
        ),
        max_leaves=20,
    )


PLAIN = values(LEAVES)
ANY = values(LEAVES | ARRAYS)
PIECES = [
    *(b"[", b"]", b"{", b"}", b":", b",", b'"', b"\\", b'\\"', b"\\\\", b"1", b"-", b"1e999"),
    *(b"null", b"true", b"NaN", b'"a"', b"\xff", b"\xe2\x82", b" ", b"0" * 400, b"\\ud800"),
]
PARTS = ["/", "..", "~", "~root", "a", "tmp", ".", "", "\0", "\ud800", "proc/self/cwd"]
BODIES = [kind for kind in family(Body) if kind is not Body]


def told(value):
    """Its JSON, also of what JSON hasn't."""
    return json.dumps(value, default=np.ndarray.tolist).encode()


def packed(value):
    try:
        return wire.to_msgpack(value)
    except OverflowError:  # an integer of more than 64 bits
        return b"\xcf" + b"\xff" * 8


class Fuzz(unittest.TestCase):
    def setUp(self):
        quiet = mock.patch.object(gymnasium.logger, "min_level", gymnasium.logger.ERROR)
        quiet.start()
        self.addCleanup(quiet.stop)

    def tried(self, call, *arguments):
        """What the call gives; None where it refuses, in few words."""
        try:
            return call(*arguments)
        except InvalidRequest as error:
            self.assertLess(len(str(error)), 8001)
            return None


class Wire(Fuzz):
    @some(200)
    @given(st.binary(max_size=300) | st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join))
    def test_bytes(self, body):
        for read in (wire.from_json, wire.from_msgpack):
            self.tried(read, body)
        for kind in BODIES:
            found = wire.struct_from_json(body, kind)
            self.assertTrue(found is None or isinstance(found, kind))

    @some(200)
    @given(ANY, st.data())
    def test_mutations(self, value, data):
        for write, read in ((told, wire.from_json), (packed, wire.from_msgpack)):
            body = bytearray(write(value))
            for _ in range(data.draw(st.integers(1, 4))):
                place = data.draw(st.integers(0, len(body)))
                body[place : place + data.draw(st.integers(0, 3))] = data.draw(
                    st.binary(max_size=3) | st.sampled_from(PIECES)
                )
            self.tried(read, bytes(body))

    @some(200)
    @given(PLAIN)
    def test_what_is_counted(self, value):
        """As many values, and levels, as there are."""

        def count(one):
            if isinstance(one, dict):
                return 1 + len(one) + sum(map(count, one.values()))
            return 1 + (sum(map(count, one)) if isinstance(one, list) else 0)

        def depth(one):
            inner = one.values() if isinstance(one, dict) else one
            return 1 + max(map(depth, inner), default=0) if isinstance(one, (dict, list)) else 0

        self.assertEqual(counting.depth_of_json(told(value)), depth(value))
        self.assertEqual(counting.depth_of_json(json.dumps(value, ensure_ascii=False).encode()),
                         depth(value))  # fmt: skip
        body = packed(value)
        if body[:1] != b"\xcf":
            self.assertEqual(counting._values(body), count(value))
        body = msgspec.msgpack.encode(
            [msgspec.msgpack.Ext(5, b"x" * n) for n in range(20)]
            + [
                b"x" * 70_000,
                "x" * 300,
                "x" * 70_000,
                msgspec.msgpack.Ext(3, b"x" * 70_000),
                1,
                -1.5,
            ]
        )
        self.assertEqual(counting._values(body), 27)

    @some(200)
    @given(ANY)
    def test_what_is_shown(self, value):
        self.assertLessEqual(len(shown(value)), 80)


class Values(Fuzz):
    """The decoders of spaces, and what else looks into values."""

    @some(100)
    @given(nested, ANY | st.lists(NUMBERS, max_size=4) | ARRAYS)
    def test_spaces(self, space, value):
        found = self.tried(decode, space, copy.deepcopy(value))
        if found is not None:
            self.assertTrue(space.contains(found))
        self.assertIs(type(contains(space, copy.deepcopy(value))), bool)
        if isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim):
            self.tried(batches.decode_each, "actions", space, value)  # as its callers see to
        self.tried(batches.decode_each, "actions", space, [value, value])

    @some(100)
    @given(PLAIN)
    def test_space_elements_beside_the_mark(self, value):
        """An element of a space, of which one thing is another."""
        for space in (gymnasium.spaces.Discrete(3), gymnasium.spaces.Box(-1, 1, (2,)),
                      gymnasium.spaces.Text(5), gymnasium.spaces.MultiBinary(2)):  # fmt: skip
            whole = gymnasium.spaces.Dict(a=space, b=gymnasium.spaces.Tuple([space, space]))
            for sent in ({"a": value, "b": [value, value]}, {"a": value}, {"b": value}, [value]):
                self.tried(decode, whole, sent)

    @some(200)
    @given(st.dictionaries(WORDS | st.text(max_size=5), ANY, max_size=4))
    def test_kwargs(self, given_ones):
        found = self.tried(kwargs.checked, given_ones, Roots())
        if found is not None:
            wire.to_msgpack(found)

    @some(200)
    @given(st.text(max_size=30) | st.lists(st.sampled_from(PARTS)).map("/".join))
    def test_roots(self, name):
        roots = Roots()
        found = self.tried(roots.admitted, name)
        if found is not None:
            self.assertEqual(roots.admitted(found), found)


def _snapshots():
    """One form of each kind."""
    service = Service()
    try:
        forms = []
        for env_id in ("CartPole-v1", "CliffWalking-v1"):
            made = service.create(Recipe(env_id)).instance_id
            service.reset(made, seed=1)
            service.step(made, 1)
            told_of = service.snapshot_form(made, service.snapshot(made).snapshot_id)
            forms.append(json.loads(wire.to_json(told_of)))
        return forms
    finally:
        service.close_all()


class Served(Fuzz):
    """Any body, to any route: never a 5xx, for these environments never fail."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.before = os.getcwd()
        os.chdir(cls.scratch.name)
        cls.forms = _snapshots()
        cls.service = Service(
            Settings(data_dir=Path(cls.scratch.name) / "d", max_instances=64, max_num_envs=3)
        )
        cls.ids = [
            cls.service.create(Recipe("CartPole-v1")).instance_id,
            cls.service.create(Recipe("Pendulum-v1", num_envs=2)).instance_id,
        ]
        for one in cls.ids:
            cls.service.reset(one, seed=1)

    @classmethod
    def tearDownClass(cls):
        os.chdir(cls.before)
        cls.service.close_all()
        cls.scratch.cleanup()

    def call(self, route, body, kind, instance_id):
        path = {"instance_id": instance_id} if "<instance_id>" in route.path else {}
        reply = answer(route, self.service, Call(path, {}, body, kind))
        self.assertNotIn(reply.status, range(500, 600), (route.name, body[:500], reply.body))
        for one in set(self.service.instances()) - set(self.ids):
            self.service.close(one)

    @some(200)
    @given(
        st.sampled_from([route for route in ROUTES if route.body not in (None, dict)]), st.data()
    )
    def test_bodies(self, route, data):
        good = {"env_id": "CartPole-v1", "action": 1, "actions": [1, 0], "directory": "x"}
        good |= {"training_dir": "x", "api_key": "k", "seed": 3, "num_envs": 2, "force": True}
        body = {}
        for knob in msgspec.structs.fields(route.body):
            how = data.draw(st.sampled_from(["good", "good", "none", "odd"]))
            if how == "odd":
                body[knob.name] = data.draw(ANY)
            elif how == "good" and knob.name in good:
                body[knob.name] = good[knob.name]
        kinds = ((told, "application/json"), (packed, "application/msgpack"))
        write, kind = data.draw(st.sampled_from(kinds))
        with self.assertNoLogs("gym_http.web.exchange", "ERROR"):
            self.call(route, write(body), kind, data.draw(st.sampled_from(self.ids)))

    @some(40)
    @given(st.data())
    def test_snapshots(self, data):
        """A good one, of which some parts are others."""
        sent = copy.deepcopy(data.draw(st.sampled_from(self.forms)))
        for _ in range(data.draw(st.integers(1, 3))):
            place = sent
            while True:
                keys = list(place) if isinstance(place, dict) else list(range(len(place)))
                if not keys:
                    break
                key = data.draw(st.sampled_from(keys))
                inner = place[key]
                if isinstance(inner, (dict, list)) and inner and data.draw(st.booleans()):
                    place = inner
                    continue
                is_packed = isinstance(inner, str) and key in ("state", "sampling", "random")
                if is_packed and data.draw(st.booleans()):
                    state = bytearray(base64.b64decode(inner))
                    at = data.draw(st.integers(0, len(state)))
                    state[at : at + 1] = data.draw(st.binary(max_size=2))
                    place[key] = base64.b64encode(state).decode()
                else:
                    place[key] = data.draw(PLAIN)
                break
        self.tried(form.read, copy.deepcopy(sent))
        (route,) = [route for route in ROUTES if route.name == "POST /v1/envs/"]
        self.call(route, told({"snapshot": sent}), "application/json", "")


M = 1_000_000
NESTED = b'{"b":%s,"a":"' % (b"[" * 150 + b"]" * 150)  # for which texts have to be looked into
LIST, MAP = b"\x81\xa1a\xdd{n}", b"\x81\xa1a\xdf{n}"  # {n}: how many follow, in four bytes

# What takes most room: encoding, what it begins with, what is repeated, how it ends, and how often
# it may be there; None where there is no end to it.
WORST = {
    "JSON lists": ("json", b'{"a":[', b"[],", b"1]}", M - 3),
    "JSON objects": ("json", b'{"a":[', b'{"":1},', b"1]}", M // 2 - 3),
    "JSON texts": ("json", b'{"a":[', b'"ab",', b"1]}", M - 3),
    "JSON keys": ("json", b'{"a":{', b'"ab":1,', b'"":1}}', M - 4),
    "JSON floats": ("json", b'{"a":[', b"9.5,", b"1]}", 8 * M),
    "JSON integers": ("json", b'{"a":[', b"-9,", b"1]}", 8 * M),
    "JSON commas in a text": ("json", b'{"a":"', b",", b'"}', None),
    "JSON brackets in a text": ("json", NESTED, b"[", b'"}', None),
    "JSON escapes": ("json", NESTED, rb"\\", b'"}', None),
    "JSON quotes": ("json", NESTED, rb"\"", b'"}', None),
    "MessagePack lists": ("msgpack", LIST, b"\x90", b"", 2 * M - 3),
    "MessagePack maps": ("msgpack", LIST, b"\x81\xa0\x01", b"", 2 * M // 3 - 3),
    "MessagePack texts": ("msgpack", LIST, b"\xa2ab", b"", 2 * M - 3),
    "MessagePack integers": ("msgpack", LIST, b"\xcd\x01\xff", b"", 2 * M - 3),
    "MessagePack keys": ("msgpack", MAP, b"\xa2ab\x01", b"", M - 3),
    "MessagePack arrays": (
        "msgpack",
        LIST,
        wire.to_msgpack(np.zeros(0, "u1")),
        b"",
        2 * M // 7 - 3,
    ),
}

PEAK = """
import os, sys
from gym_http import wire
from gym_http.errors import InvalidRequest
from tests.test_fuzz_decoders import WORST
part, endless = map(int, sys.argv[1:])
def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
for name, (kind, head, unit, tail, most) in WORST.items():
    for many in ((most or endless) // part, (most or endless) + 99):
        if os.fork():
            os.wait()
            continue
        body = head.replace(b"{n}", many.to_bytes(4, "big")) + unit * many + tail
        open("/proc/self/clear_refs", "w").write("5")  # the peak is now what is there now
        before = peak()
        try:
            (wire.from_json if kind == "json" else wire.from_msgpack)(body)
            how = "taken"
        except InvalidRequest as error:
            how = "refused"
        print(len(body), peak() - before, how, name, flush=True)
        os._exit(0)
"""


class Memory(unittest.TestCase):
    """What it takes to read the worst bodies: those that are nearly refused, and that just are."""

    def test_bodies(self):
        if not Path("/proc/self/clear_refs").exists():
            self.skipTest("there is no /proc to read a peak from")
        part, endless = (1, 2**26) if EXAMPLES else (20, 2**21)
        ended = subprocess.run(
            [sys.executable, "-c", PEAK, str(part), str(endless)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        lines = ended.stdout.splitlines()
        self.assertEqual(len(lines), 2 * len(WORST), ended.stderr)
        for line, (*_, most) in zip(lines[::2], WORST.values(), strict=True):
            size, peak, how, *_ = line.split()
            with self.subTest(line):
                self.assertEqual(how, "taken")
                self.assertLess(int(peak), (350 * M if most else 0) / part + 4 * int(size) + 4 * M)
        for line, (*_, most) in zip(lines[1::2], WORST.values(), strict=True):
            size, peak, how, *_ = line.split()
            with self.subTest(line):
                self.assertEqual(how, "taken" if most is None else "refused")
                self.assertLess(int(peak), 150 * M + 4 * int(size))


class Family(unittest.TestCase):
    def test_what_is_tried_is_refused_by(self):
        self.assertTrue(issubclass(InvalidRequest, GymHTTPError))
