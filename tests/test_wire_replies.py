"""What old clients read out of replies: types that theirs can't do without, and bare values."""

from __future__ import annotations

import gzip
import json
import os
import re
import tempfile
import zlib
from pathlib import Path
from typing import Any

from nose2.tools import params

from tests.support import (
    ROOT,
    ServerCase,
    ServerProcess,
    create,
    exchange,
    get,
    post,
    request,
)

JSON = "application/json"
HTML = "text/html; charset=utf-8"

# What environments return when nobody stops them; the action chooses.
ENVIRONMENTS = """
import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

class Untidy(gymnasium.Env):
    metadata = {"render_modes": []}
    action_space = Discrete(6)
    observation_space = Box(0, 255, (2, 3), np.uint8)

    def reset(self, *, seed=None, options=None):
        return np.arange(6, dtype=np.uint8).reshape(2, 3), None

    def step(self, action):
        reward = [1, np.int64(-2), np.float32(0.5), True, np.array(3), 10**6][int(action)]
        info = [None, {}, {"n": np.int64(1)}, {1: np.zeros(2)}, {"x": None}, {}][int(action)]
        return np.full((2, 3), 255, np.uint8), reward, np.bool_(action == 5), np.bool_(0), info

class Whole(gymnasium.Env):
    metadata = {"render_modes": []}
    action_space = Box(np.array([[-1, 0], [-3, 4]]), np.array([[1, 2], [3, 9]]), dtype=np.int64)
    observation_space = Discrete(9, start=-4)

    def reset(self, *, seed=None, options=None):
        return np.int64(-4), {}

    def step(self, action):
        return np.array(4), 0, False, False, {}

gymnasium.register("Untidy-v0", entry_point=Untidy)
gymnasium.register("Whole-v0", entry_point=Whole)
"""


class WireCase(ServerCase):
    def success(self, reply: tuple[int, dict[str, str], Any]) -> Any:
        status, headers, body = reply
        self.assertEqual((status, headers["content-type"]), (200, JSON), body)
        self.assertNotIn("message", body)
        return body

    def get(self, path: str) -> Any:
        return self.success(get(self.server, path))

    def post(self, path: str, value: Any = None) -> Any:
        return self.success(post(self.server, path, value))

    def playing(self, env_id: str = "CartPole-v1", **more: Any) -> str:
        env = create(self.server, env_id, **more)
        self.post(env + "/reset/", {})
        return env

    def raw_step(self, env: str, action: Any) -> str:
        """The text of a step's reply, where 1.0 isn't 1."""
        body = json.dumps({"action": action})
        head = f"POST {env}/step/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        status, _, reply = exchange(self.server.address, (head + body).encode())
        self.assertEqual(status, 200, reply)
        return reply.decode()


class Successes(WireCase):
    """200 and nothing else; C++, R, Swift and Julia compare with it."""

    def test_200_and_no_message_on_every_v1_route(self) -> None:
        """Go takes a top-level `message` for an error, C++ a 201."""
        env = create(self.server)
        self.success(post(self.server, "/v1/envs/", {"env_id": "FrozenLake-v0"}))
        self.get("/v1/envs/")
        self.post(env + "/monitor/start/", {"directory": str(self.scratch)})
        self.post(env + "/reset/", {})
        while not self.post(env + "/step/", {"action": 0, "render": False})["done"]:
            pass
        for path in ("action_space/", "action_space/sample", "action_space/contains/7"):
            self.get(f"{env}/{path}")
        self.get(env + "/observation_space/")
        self.post(env + "/observation_space/contains/", {"message": "x"})
        self.get(env)
        self.post(env + "/monitor/close/", {})
        self.post(env + "/close/", {})
        self.post("/v1/upload/", {"training_dir": str(self.scratch), "api_key": "message"})
        for path in ("/v1/scoreboard/", "/v1/registry/", "/v1/healthz/"):
            self.get(path)

    @params("CartPole-v0", "MountainCar-v0", "Acrobot-v1")
    def test_create(self, env_id: str) -> None:
        """Swift casts the whole object to string -> string; there is nothing to say here."""
        reply = self.post("/v1/envs/", {"env_id": env_id})
        self.assertEqual(list(reply), ["instance_id"])
        self.assertIsInstance(reply["instance_id"], str)
        self.assertTrue(reply["instance_id"])

    @params(("Pendulum-v0", "Pendulum-v1"), ("FrozenLake-v0", "FrozenLake-v1"))
    def test_create_with_a_warning(self, asked: str, served: str) -> None:
        """A retired id is served by its successor; Swift's cast still holds."""
        reply = self.post("/v1/envs/", {"env_id": asked})
        self.assertEqual(set(reply), {"instance_id", "env_id", "warning"})
        self.assertEqual({type(value) for value in reply.values()}, {str})
        self.assertEqual(reply["env_id"], served)
        self.assertIn(asked, reply["warning"])

    def test_list_and_the_instance_itself(self) -> None:
        """list: objects of strings throughout, the id as it was asked for (old tests compare)."""
        env = create(self.server, "FrozenLake-v0")
        reply = self.get("/v1/envs/")
        for name, value in reply.items():
            self.assertIsInstance(value, dict, name)
            self.assertEqual({type(item) for item in value.values()}, {str}, name)
        self.assertEqual(reply["all_envs"][env.rpartition("/")[2]], "FrozenLake-v0")
        self.assertEqual(self.get(env + "/")["env_id"], "FrozenLake-v1")

    def test_contains(self) -> None:
        """Every value a boolean (Swift casts to string -> bool)."""
        env = create(self.server)
        for value, member in ((1, True), (2, False), ("%22x%22", False), ("null", False)):
            self.assertEqual(self.get(f"{env}/action_space/contains/{value}"), {"member": member})
        for body, member in (({}, True), ({"value": [0, 0, 0, 0]}, True), ({"x": 1}, False)):
            reply = self.post(env + "/observation_space/contains/", body)
            self.assertEqual(reply, {"member": member})
            self.assertIs(type(reply["member"]), bool)

    @params("monitor/start", "monitor/close", "close", "upload")
    def test_nothing_to_tell(self, route: str) -> None:
        """`{}`, for a 204 breaks C++ and Matlab; typed as HTML for the old Haskell alone."""
        for accept, content_type in (
            (None, JSON),
            ("*/*", JSON),
            ("application/json", JSON),
            ("application/xml", JSON),
            ("text/html, application/json", JSON),
            ("application/json;q=0.1, text/html", JSON),
            ("text/html,application/xhtml+xml,*/*;q=0.8", JSON),
            ("text/html", HTML),
            ("text/html;charset=utf-8", HTML),
            ("text/html;charset=utf-8,text/html", HTML),
            ("text/plain, text/html;q=0.9", HTML),
        ):
            with self.subTest(accept=accept):
                env, directory = (
                    create(self.server, max_episode_steps=1),
                    tempfile.mkdtemp(dir=self.scratch),
                )
                body: Any = {"directory": directory}
                if route != "monitor/start":
                    self.post(env + "/monitor/start/", body)
                    body = None
                if route == "upload":
                    self.post(env + "/reset/", {})
                    self.post(env + "/step/", {"action": 0})
                    self.post(env + "/close/")
                    body = {"training_dir": directory, "api_key": "k"}
                path = "/v1/upload/" if route == "upload" else f"{env}/{route}/"
                headers = "" if accept is None else f"Accept: {accept}\r\n"
                status, got, reply = request(
                    self.server, "POST", path, json.dumps(body), headers=headers
                )
                self.assertEqual((status, got["content-type"]), (200, content_type))
                self.assertIn(reply, ({}, b"{}"))
                self.assertEqual(got["content-length"], "2")

    def test_shutdown(self) -> None:
        """200 and a short text, as ever; Go and R print it."""
        with ServerProcess() as server:
            self.assertEqual(get(server, "/v1/envs/")[2]["all_envs"], {})  # no list, while empty
            status, headers, body = post(server, "/v1/shutdown/", None)
            self.assertEqual((status, headers["content-type"].split(";")[0]), (200, "text/plain"))
            self.assertTrue(0 < len(body.strip()) < 80, body)
            self.assertTrue(body.decode("ascii").strip().count("\n") == 0)
            self.assertEqual(server.wait(), 0)


class Steps(WireCase):
    """step's four keys, each of the one type that typed languages declare."""

    FOUR = {"observation": list, "reward": float, "done": bool, "info": dict}

    @params(("gymnasium", "CartPole-v1"), ("gym", "CartPole-v1"), ("gymnasium", "MountainCar-v0"))
    def test_the_four_keys(self, engine: str, env_id: str) -> None:
        """Go, Swift and Haskell declare them; what is beside them is safe, and boolean too."""
        env = self.playing(env_id, engine=engine, max_episode_steps=3)
        for done in ("false", "false", "true"):
            text = self.raw_step(env, 0)
            reply = json.loads(text)
            self.assertEqual({key: type(reply[key]) for key in self.FOUR}, self.FOUR)
            self.assertIn(f'"done":{done}', text.replace(" ", ""))
            self.assertEqual((reply["terminated"], reply["truncated"]), (False, done == "true"))

    @params(("CartPole-v1", "1.0"), ("Taxi-v3", "-1.0"), ("CliffWalking-v1", "-1.0"))
    def test_the_reward_has_a_fraction(self, env_id: str, reward: str) -> None:
        """Taxi returns the int -1; Swift's and Rust's floats want `-1.0`."""
        text = self.raw_step(self.playing(env_id, seed=1), 0)
        self.assertEqual(re.findall(r'"reward": ?([^,}]+)', text), [reward])


class Spaces(WireCase):
    """Observations, samples and descriptions of the two kinds that old clients know."""

    def test_box_values(self) -> None:
        """A bare array of numbers, no object around it, also of one element."""
        env = self.playing("Pendulum-v0")
        for value, length in (
            (self.post(env + "/reset/")["observation"], 3),
            (self.post(env + "/step/", {"action": [0.5]})["observation"], 3),
            (self.get(env + "/action_space/sample/")["action"], 1),
        ):
            self.assertEqual([type(item) for item in value], [float] * length)

    def test_discrete_values(self) -> None:
        """A bare integer: `0`, neither `[0]` nor `0.0`."""
        env = self.playing("FrozenLake-v0")
        for value in (
            self.post(env + "/reset/")["observation"],
            self.post(env + "/step/", {"action": 1})["observation"],
            self.get(env + "/action_space/sample/")["action"],
        ):
            self.assertIs(type(value), int)

    @params("action_space", "action_space/")
    def test_discrete(self, path: str) -> None:
        """C++ and Rust look at `name`, then at `n`."""
        for env_id, n in (("CartPole-v0", 2), ("MountainCar-v0", 3), ("FrozenLake-v0", 4)):
            info = self.get(f"{create(self.server, env_id)}/{path}")["info"]
            self.assertEqual((info["name"], info["n"], type(info["n"])), ("Discrete", n, int))

    def test_box(self) -> None:
        """Flat bounds; Lua and C++ can't parse Infinity, which is 1e100 here."""
        info = self.get(create(self.server) + "/observation_space/")["info"]
        self.assertEqual((info["name"], info["shape"]), ("Box", [4]))
        self.assertEqual((info["low"][1], info["high"][1]), (-1e100, 1e100))
        self.assertEqual((info["low"][3], info["high"][3]), (-1e100, 1e100))
        self.assertAlmostEqual(info["low"][0], -4.8, 5)
        self.assertAlmostEqual(info["high"][2], 0.4188790, 5)
        info = self.get(create(self.server, "Pendulum-v0") + "/action_space/")["info"]
        named = {key: info[key] for key in ("name", "shape", "low", "high")}
        self.assertEqual(named, {"name": "Box", "shape": [1], "low": [-2.0], "high": [2.0]})


class UntidyEnvironments(WireCase):
    """Environments of a user's own, which return NumPy's types, ints and None."""

    @classmethod
    def setUpClass(cls) -> None:
        with tempfile.TemporaryDirectory() as directory:
            (Path(directory) / "untidy_environments.py").write_text(ENVIRONMENTS)
            path = os.pathsep.join((str(ROOT), directory))
            cls.untidy = ServerProcess(
                "--import", "untidy_environments", environ={"PYTHONPATH": path}
            )
        cls.addClassCleanup(cls.untidy.stop)

    def setUp(self) -> None:
        super().setUp()
        self.server = self.untidy

    def test_steps(self) -> None:
        """`reward` with a fraction, `done` a boolean, `info` an object, whatever came."""
        env = self.playing("Untidy-v0")
        rewards = ("1.0", "-2.0", "0.5", "1.0", "3.0", "1000000.0")
        for action, reward in enumerate(rewards):
            with self.subTest(action=action):
                text = self.raw_step(env, action)
                reply = json.loads(text)
                self.assertEqual(re.findall(r'"reward": ?([^,}]+)', text), [reward])
                self.assertIs(reply["done"], action == 5)
                self.assertIsInstance(reply["info"], dict)
                self.assertEqual(reply["observation"], [[255, 255, 255], [255, 255, 255]])
                self.assertNotIn(".0", text.partition('"reward"')[0], "pixels are ints")
        self.assertEqual(self.post(env + "/reset/")["observation"], [[0, 1, 2], [3, 4, 5]])

    def test_spaces_of_ints(self) -> None:
        """Flat bounds of a nested shape, ints as ints (Haskell's and Go's []int)."""
        pixels = self.get(create(self.server, "Untidy-v0") + "/observation_space")["info"]
        self.assertEqual((pixels["name"], pixels["shape"]), ("Box", [2, 3]))
        env = self.playing("Whole-v0")
        whole = self.get(env + "/action_space")["info"]
        self.assertEqual((whole["low"], whole["high"]), ([-1, 0, -3, 4], [1, 2, 3, 9]))
        self.assertEqual((pixels["low"], pixels["high"]), ([0] * 6, [255] * 6))
        bounds = whole["low"] + whole["high"] + pixels["low"] + pixels["high"]
        self.assertEqual({type(bound) for bound in bounds + whole["shape"]}, {int})
        sample = self.get(env + "/action_space/sample")["action"]
        self.assertEqual([[type(x) for x in row] for row in sample], [[int, int], [int, int]])
        reply = json.loads(self.raw_step(env, sample))
        self.assertEqual((reply["observation"], type(reply["observation"])), (4, int))


class Encodings(WireCase):
    """JSON, and nobody has to unpack it."""

    @params(
        *("text/html, application/xhtml+xml, */*; q=0.5", "text/html", "text/plain", "image/png"),
        *("application/xml;q=0.9", "*/*", "application/json", "application/*", "", "garbage,;q=,"),
        *("text/html, application/msgpack", "application/json, application/msgpack;q=0.5", None),
    )
    def test_json_whatever_accept_says(self, accept: str | None) -> None:
        """Julia leads with text/html; R has a list; some say nothing."""
        env = self.playing()
        headers = "" if accept is None else f"Accept: {accept}\r\n"
        for method, path, body in (
            ("POST", "/v1/envs/", '{"env_id": "CartPole-v0"}'),
            ("GET", "/v1/envs/", None),
            ("POST", env + "/reset/", ""),
            ("POST", env + "/step/", '{"action": 1}'),
            ("GET", env + "/action_space/", None),
            ("GET", env + "/action_space/contains/0", None),
        ):
            with self.subTest(path):
                self.success(request(self.server, method, path, body, headers=headers))

    @params("", "Accept-Encoding: identity\r\n", "Accept-Encoding: \r\n")
    def test_never_compressed_unasked(self, headers: str) -> None:
        """Lua, C++ and Matlab ask for nothing, and can't unpack anything."""
        env = create(self.server)
        for path in ("/v1/registry/", "/v1/envs/", env + "/observation_space/"):
            status, got, body = request(self.server, "GET", path, headers=headers)
            self.assertEqual((status, got.get("content-encoding")), (200, None))
            self.assertIsInstance(body, dict)

    def test_compressed_at_most_as_asked(self) -> None:
        """Haskell, Ruby and Clojure ask for gzip; they get that or plain JSON."""
        head = b"GET /v1/registry/ HTTP/1.1\r\nHost: localhost\r\n"
        raw = head + b"Accept-Encoding: gzip, deflate\r\n\r\n"
        status, got, body = exchange(self.server.address, raw)
        unpack = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}
        plain = unpack[got.get("content-encoding")](body)
        self.assertEqual((status, json.loads(plain)), (200, self.get("/v1/registry/")))
