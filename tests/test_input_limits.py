"""Each field of each request, with more than anybody means: a short 4xx in the one shape, a short
line in the log, and nothing done."""

import gzip
import json
import time
import unittest
from pathlib import Path

import msgspec
import numpy as np
from nose2.tools import params

from gym_http import kwargs
from gym_http.errors import BadValue, shown
from gym_http.roots import Roots
from gym_http.sequence import MOST_BYTES, Number, OutOfSequence, Sequence
from gym_http.wire import to_msgpack
from tests.support import ServerCase, ServerProcess, create, get, post, request

LONG = "x\n\x1b[31m" * 100_000
LONGER = "x\n\x1b[31m" * 1_500_000  # ten million characters
SHORT = 9000  # bytes
MSGPACK = "application/msgpack"


class Hostile(ServerCase):
    def setUp(self):
        super().setUp()
        self.before = get(self.server, "/v1/envs/")[2]
        self.logged = Path(self.server.home / "log").stat().st_size

    def refused(self, reply, code, status=400):
        got, headers, body = reply
        self.assertEqual((got, headers.get("content-type")), (status, "application/json"), reply)
        self.assertEqual(body["code"], code, body)
        self.assertLess(len(json.dumps(body)), SHORT)
        with Path(self.server.home / "log").open("rb") as log:
            log.seek(self.logged)
            for line in log.read().splitlines():
                self.assertLess(len(line), SHORT)
                self.assertNotIn(b"\x1b", line)
        return body["message"]


class Create(Hostile):
    def tearDown(self):
        self.assertEqual(get(self.server, "/v1/envs/")[2], self.before)

    @params(
        *("x" * 256, LONG, "CartPole-v1\n", "CartPole-v1\0", " CartPole-v1", "ＣartPole-v1", "/"),
        *("http/x", "http/CartPole-v1", "tests.custom_envs:http/x", "os:CartPole-v1"),
        *("GymV26Environment-v0", "GymV21Environment", "tests.custom_envs:GymV26Environment-v0"),
        *(":", "::", "os.system:x", "../CartPole-v1", "CartPole-v1/../x", "CartPole-v99999999999"),
    )
    def test_env_id(self, env_id):
        reply = post(self.server, "/v1/envs/", {"env_id": env_id})
        self.refused(reply, "malformed_env_id")

    @params("engine", "render_mode", "vectorization", "autoreset", "backend", "snapshot_id")
    def test_names(self, name):
        for value in ("x" * 65, LONG, [LONG], {LONG: 1}, 5):
            body = {"env_id": "CartPole-v1", "num_envs": 2, name: value}
            message = self.refused(post(self.server, "/v1/envs/", body), "bad_value")
            self.assertIn(name, message)

    @params(
        {"x": 2**64},
        {"x": -(2**63) - 1},
        {"x": 10**300},
        {"x": list(range(100_001))},
        {"x": ["y" * 600_000] * 2},
        {"y" * 1_100_000: 1},
        {LONG: {LONG: 1}},
        {f"x{number}": 1 for number in range(100_001)},
    )
    def test_kwargs(self, given):
        body = {"env_id": "CartPole-v1", "kwargs": given}
        message = self.refused(post(self.server, "/v1/envs/", body), "bad_value")
        self.assertIn("kwargs", message)

    @params(
        *("id", "env_id", "entry_point", "vector_entry_point", "additional_wrappers", "wrappers"),
        *("disable_env_checker", "apply_api_compatibility", "autoreset", "autoreset_mode"),
        *("num_envs", "vectorization_mode", "vector_kwargs", "max_episode_steps", "spec", "self"),
        *("render_mode", "namespace", "order_enforce", "order_enforcing", "kwargs", "__class__"),
    )
    def test_kwargs_that_are_the_makers_own(self, name):
        """Nothing but the environment's constructor gets any."""
        for value in ("os:system", ["os:system"], True):
            body = {"env_id": "CartPole-v1", "kwargs": {name: value}}
            reply = post(self.server, "/v1/envs/", body)
            self.assertIn(self.refused(reply, reply[2]["code"]) and reply[2]["code"],
                          {"bad_value", "make_failed"})  # fmt: skip

    @params(
        *({f"r{number}": 1 for number in range(33)}, {LONG: 1}, {"a\nb": 1}, {"x" * 101: 1}),
        *({"num_cpus": -1}, {"num_cpus": 1e300}, {"num_cpus": "1"}, {"num_cpus": None}, {"": "x"}),
        [LONG],
    )
    def test_resources(self, resources):
        body = {"env_id": "CartPole-v1", "backend": "ray", "resources": resources}
        self.refused(post(self.server, "/v1/envs/", body), "bad_value")

    def test_ten_megabytes(self):
        for name in ("env_id", "engine", "num_envs", "kwargs", "snapshot", LONGER):
            body = {"env_id": "CartPole-v99", name: LONGER}
            reply = post(self.server, "/v1/envs/", body)
            self.refused(reply, reply[2]["code"])

    @params("lease_s", "step_timeout_s", "make_timeout_s")
    def test_durations(self, name):
        for value in (-1, 1e300, 10**300, float("nan"), float("inf"), LONG, [1], {}):
            body = msgspec.msgpack.encode({"env_id": "CartPole-v1", name: str(value)})
            if isinstance(value, float):
                body = msgspec.msgpack.encode({"env_id": "CartPole-v1", name: value})
                reply = request(self.server, "POST", "/v1/envs/", body, MSGPACK)
            else:
                reply = post(self.server, "/v1/envs/", {"env_id": "CartPole-v1", name: value})
            self.assertIn(name, self.refused(reply, "bad_value"))

    @params(
        *(("num_envs", value) for value in (0, -1, 4097, 10**9, 2**63, 1e300, 1.5, LONG, [2], {})),
        *(("max_episode_steps", value) for value in (0, 2**31, 2**64, 1e300, LONG, [1])),
        *(("seed", value) for value in (-1, 2**63, 10**300, 0.5, LONG, [1], {})),
    )
    def test_numbers(self, name, value):
        body = {"env_id": "CartPole-v1", name: value}
        self.assertIn(name, self.refused(post(self.server, "/v1/envs/", body), "bad_value"))

    @params(
        *(LONG, 5, [], [LONG], {LONG: 1}, {"format": LONG}, {"format": [[]] * 1000}),
        {"format": "gym-http-snapshot", "version": 1, "kind": LONG},
    )
    def test_snapshots(self, form):
        reply = post(self.server, "/v1/envs/", {"snapshot": form})
        self.refused(reply, "missing_parameter" if form == [] else "bad_value")


class OnAnInstance(Hostile):
    def setUp(self):
        super().setUp()
        self.env = create(self.server, seed=3)
        self.first = post(self.server, f"{self.env}/reset/", {"seed": 3})[2]

    def tearDown(self):
        facts = get(self.server, self.env)[2]
        self.assertEqual((facts["steps"], facts["monitor"]), (0, None))

    @params(
        *(LONG, [LONG], {LONG: 1}, [[[]]] * 100_000, list(range(1_000_000)), 10**300, -(10**300)),
        *(2**64, 1e300, {"a": {"b": [1] * 1000}}),
    )
    def test_actions(self, action):
        reply = post(self.server, f"{self.env}/step/", {"action": action})
        self.refused(reply, "bad_value")
        reply = post(self.server, f"{self.env}/rollout/", {"actions": [0, action]})
        self.assertIn("actions[1]", self.refused(reply, "bad_value"))

    def test_an_integer_of_thousands_of_digits(self):
        for path, name in (("step", "action"), ("reset", "seed"), ("rollout", "sample")):
            body = f'{{"{name}": 1{"0" * 5000}}}'
            reply = request(self.server, "POST", f"{self.env}/{path}/", body)
            if path == "reset":  # whose body may be anything
                self.assertEqual(reply[0], 200)
            else:
                self.refused(reply, "invalid_json")

    @params(
        *({"fields": ["steps"] * 65}, {"fields": [LONG]}, {"fields": LONG}, {"on_done": LONG}),
        *({"sample": 10**9}, {"sample": 10**300}, {"sample": LONG}, {"sample": 1.5}),
        *({"seq": 2**60}, {"seq": LONG}, {"seq": 1, "client_id": LONG}),
        {"actions": [0] * 1_000_000},
    )
    def test_rollouts(self, more):
        body = {"actions": [0], **more} if "sample" not in more else more
        self.refused(post(self.server, f"{self.env}/rollout/", body), "bad_value")

    @params(
        *({"seed": [1] * (2**20 + 1)}, {"seed": LONG}, {"seed": 10**300}, {"seed": [LONG]}),
        *({"options": LONG}, {"options": [LONG]}),
    )
    def test_resets(self, body):
        self.refused(post(self.server, f"{self.env}/reset/", body), "bad_value")

    @params({"a": 10**30}, {"a": [-(10**300)]})
    def test_options_of_too_many_digits(self, options):
        reply = post(self.server, f"{self.env}/reset/", {"seed": 3, "options": options})
        self.assertIn("options", self.refused(reply, "bad_value"))

    def test_a_body_of_many_megabytes_is_meant(self):
        """Though that of a reset may be anything."""
        reply = post(self.server, f"{self.env}/reset/", {"seed": 3, "x": [[]] * 1_000_001})
        self.refused(reply, "invalid_json")

    @params({LONG: LONG}, {"a": [[]] * 100_000})
    def test_options_that_nobody_looks_at(self, options):
        """They are the environment's to refuse."""
        reply = post(self.server, f"{self.env}/reset/", {"seed": 3, "options": options})
        self.assertEqual(reply[2], self.first)

    def test_seeds_in_an_array(self):
        body = to_msgpack({"seed": np.zeros(2**20 + 1, np.uint8)})
        reply = request(self.server, "POST", f"{self.env}/reset/", body, MSGPACK)
        self.assertIn("seed", self.refused(reply, "bad_value"))

    @params("x" * 60_000, "[" * 60_000, "1" * 60_000, "%22" * 20_000, "%1B" * 20_000)
    def test_contains(self, x):
        reply = get(self.server, f"{self.env}/action_space/contains/{x}")
        self.refused(reply, "bad_value")

    @params(
        *({"directory": LONG}, {"directory": ["x"]}, {"directory": "x", "force": LONG}),
        *({"directory": "x", "video_callable": 10**300}, {"directory": "x", "resume": [LONG]}),
    )
    def test_monitors(self, body):
        self.refused(post(self.server, f"{self.env}/monitor/start/", body), "bad_value")

    @params({"api_key": LONG}, {"training_dir": LONG}, {"algorithm_id": LONG})
    def test_uploads(self, more):
        body = {"training_dir": ".", "api_key": "k", **more}
        self.refused(post(self.server, "/v1/upload/", body), "bad_value")


class Heads(Hostile):
    @params("/v1/registry/?engine=", "/v1/scoreboard/?env_id=")
    def test_queries(self, path):
        self.refused(get(self.server, path + "x" * 60_000), "bad_value")
        self.assertEqual(get(self.server, path + "gym" + f"&{path[14:20]}=%0A" * 1000)[0] // 100, 2)

    def test_content_types(self):
        env = create(self.server)
        for path in ("/v1/envs/", f"{env}/step/", f"{env}/rollout/"):
            for kind in ("x" * 60_000, ";" * 60_000):
                reply = request(self.server, "POST", path, '{"action": 1}', kind)
                self.refused(reply, "invalid_json")

    def test_what_is_accepted(self):
        kinds = (
            "x," * 30_000,
            "application/msgpack;q=" + "0" * 60_000,
            "*/*;" * 10_000 + "msgpack",
        )
        for kind in kinds:
            began = time.monotonic()
            reply = request(self.server, "GET", "/healthz", headers=f"Accept: {kind}\r\n")
            self.assertEqual((reply[0], reply[2]["status"]), (200, "ok"))
            self.assertLess(time.monotonic() - began, 2)

    @params("x" * 65, "a b", "x" * 60_000, 'a"b', "é")
    def test_request_ids(self, sent):
        reply = request(self.server, "GET", "/healthz", headers=f"X-Request-Id: {sent}\r\n")
        self.assertRegex(reply[1]["x-request-id"], r"^[0-9a-f]{12}$")

    @params("gzip", "GZIP", "deflate", "br", "x" * 5000)
    def test_bodies_that_are_compressed(self, encoding):
        env = create(self.server)
        post(self.server, f"{env}/reset/", {"seed": 1})
        head = f"Content-Encoding: {encoding}\r\n"
        for path in ("/v1/envs/", f"{env}/step/", f"{env}/reset/", f"{env}/close/"):
            body = gzip.compress(b'{"action": 1, "seed": 2}')
            reply = request(self.server, "POST", path, body, headers=head)
            self.refused(reply, "unsupported_encoding", 415)
        self.assertEqual(get(self.server, env)[2]["steps"], 0)
        head = "Content-Encoding: identity\r\n"
        reply = request(self.server, "POST", f"{env}/step/", '{"action": 1}', headers=head)
        self.assertEqual(reply[0], 200)


class Shown(unittest.TestCase):
    @params(1, 1.5, "x", "é\n", [1, "a", None], {"a": [1, {"b": b"x"}]}, [], {}, [[[]]],
            "x" * 78, list(range(20)), np.arange(3), True)  # fmt: skip
    def test_what_is_short_is_shown_as_it_is(self, value):
        self.assertEqual(shown(value, 100), repr(value))

    @params("x" * 200, ["x" * 50] * 5, {"x" * 90: 1}, list(range(100)), [[1, 2, 3]] * 50)
    def test_what_is_long_is_cut(self, value):
        self.assertEqual(shown(value), repr(value)[:79] + "…")

    def test_what_is_huge_takes_no_time(self):
        nested = [[["x" * 1000] * 1000] * 1000] * 1000
        began = time.monotonic()
        for value in (
            LONGER,
            [LONGER] * 1000,
            {LONGER: nested},
            nested,
            10**100_000,
            [10**100_000],
        ):
            self.assertLessEqual(len(shown(value)), 80)
        self.assertLess(time.monotonic() - began, 0.5)


class Kwargs(unittest.TestCase):
    def test_arrays_become_lists(self):
        given = {"a": np.array([[1, 2]], np.int8), "b": [np.array([0.5], "f4")], "c": np.array(3)}
        got = kwargs.checked(given, Roots())
        self.assertEqual(got, {"a": [[1, 2]], "b": [[0.5]], "c": 3})
        self.assertIs(type(got["a"][0][0]), int)

    @params(np.zeros((65536, 65536, 0)), np.zeros(100_001), object(), {1: 2}, b"x", {"a": {3: 4}})
    def test_what_json_has_not(self, value):
        with self.assertRaises(BadValue):
            kwargs.checked({"x": value}, Roots())


class KeptReplies(unittest.TestCase):
    """How much of them is kept for who asks again."""

    def kept(self, sequence, client, seq=1):
        return sequence.kept(Number(seq, client, "r"))

    def test_large_ones_make_place(self):
        sequence = Sequence()
        for client in "abcd":
            sequence.keep(Number(1, client, "r"), client, MOST_BYTES // 2)
        self.assertEqual([self.kept(sequence, c) for c in "bcd"], ["b", "c", "d"])
        with self.assertRaisesRegex(OutOfSequence, "its reply is gone"):
            self.kept(sequence, "a")

    def test_the_latest_is_always_kept(self):
        sequence = Sequence()
        for client in "ab":
            sequence.keep(Number(1, client, "r"), client, 10 * MOST_BYTES)
            self.assertEqual(self.kept(sequence, client), client)
        with self.assertRaises(OutOfSequence):
            self.kept(sequence, "a")
        sequence.keep(Number(2, "b", "r"), "b2", 1)  # in place of its last
        sequence.keep(Number(2, "a", "r"), "a2", MOST_BYTES)
        self.assertEqual(self.kept(sequence, "b", 2), "b2")
        self.assertEqual(self.kept(sequence, "a", 2), "a2")


class Snapshots(unittest.TestCase):
    def test_their_memory(self):
        with ServerProcess("--max-snapshot-memory", "100000") as server:
            env = create(server)
            post(server, f"{env}/reset/", {"seed": 1})
            taken = [post(server, f"{env}/snapshot/")[2]["snapshot_id"] for _ in range(8)]
            found = [post(server, "/v1/envs/", {"snapshot_id": one})[0] for one in taken]
            self.assertEqual(found, sorted(found, reverse=True))
            self.assertEqual((found[0], found[-1]), (404, 200))
            status, _, reply = post(server, "/v1/envs/", {"snapshot_id": taken[0]})
            self.assertIn("--max-snapshot-memory", reply["detail"])
            post(server, f"{env}/rollout/", {"sample": 2000, "on_done": "reset", "fields": []})
            status, _, reply = post(server, f"{env}/snapshot/")
            self.assertEqual((status, reply["code"]), (400, "unsupported"))
            self.assertIn("--max-snapshot-memory", reply["message"])
            self.assertEqual(post(server, "/v1/envs/", {"snapshot_id": taken[-1]})[0], 200)
