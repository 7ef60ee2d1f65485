"""What old clients are told when it goes wrong, what doesn't go wrong, and how old tests drive
the server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

from nose2.tools import params

from gym_http.web.routes import ROUTES
from tests.support import ROOT, ServerCase, create, get, post, read_reply, request

MISSING = "A required request parameter '{}' was not provided".format
MALFORMED = "Attempted to look up malformed environment ID "

# What the old Python tests did around each test, and a call or two. argv: the port, as a string.
OLD_SUITE = """
import json, socket, sys, threading, time, urllib.error, urllib.request
import gym_http_server

port = sys.argv[1]
base = f"http://127.0.0.1:{port}"

def call(route, body=None, method=None):
    data = None if body is None else body.encode()
    headers = {"Content-type": "application/json"}
    asked = urllib.request.Request(base + route, data, headers, method=method)
    with urllib.request.urlopen(asked, timeout=20) as reply:
        return reply.status, reply.read().decode()

def answers():
    try:
        socket.create_connection(("127.0.0.1", int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True

def start_server(app):
    app.run(threaded=True, host="127.0.0.1", port=port)

for turn in range(2):
    before = answers()
    thread = threading.Thread(target=start_server, args=(gym_http_server.app,))
    thread.daemon = True
    thread.start()
    deadline = time.monotonic() + 20
    while not answers() and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    listed = json.loads(call("/v1/envs/")[1])["all_envs"]
    instance_id = json.loads(call("/v1/envs/", '{"env_id": "CartPole-v0"}')[1])["instance_id"]
    reset = json.loads(call(f"/v1/envs/{instance_id}/reset/", "null")[1])
    step = json.loads(call(f"/v1/envs/{instance_id}/step/", '{"action": 1, "render": false}')[1])
    try:
        call("/v1/envs/bad_id/reset/", "null")
    except urllib.error.HTTPError as error:
        refusal = error.code, json.loads(error.read())["message"]
    status, text = call("/v1/shutdown/", method="POST")
    thread.join(20)
    print(json.dumps({
        "before": before, "listed": listed, "reset": len(reset["observation"]),
        "reward": step["reward"], "refusal": refusal, "shutdown": status, "text": len(text),
        "ended": not thread.is_alive(), "after": answers(),
    }))
"""


class WireCase(ServerCase):
    def success(self, path: str, value: Any = None) -> Any:
        status, _, reply = post(self.server, path, value)
        self.assertEqual(status, 200, reply)
        return reply

    def assert_error(self, reply: tuple[int, dict[str, str], Any], status: int, code: str) -> str:
        """The one shape of all errors. Returns its message."""
        got, headers, body = reply
        self.assertEqual((got, headers["content-type"]), (status, "application/json"), body)
        self.assertEqual((body["code"], body["retryable"]), (code, False))
        self.assertIsInstance(body["message"], str)
        self.assertTrue(body["message"])
        self.assertNotIn("Traceback", body["message"])
        return str(body["message"])

    def refused(self, path: str, value: Any, code: str) -> str:
        return self.assert_error(post(self.server, path, value), 400, code)


class WrongPathsAndMethods(WireCase):
    """Any client with a typing error reads `message`, as in any other error."""

    @params("/v1", "/v1/", "/v2/envs/", "/v1/env/", "/v1/envs/x/y/z/", "/v1/envs/x/step/y")
    def test_unknown_path(self, path: str) -> None:
        """404 in the one error shape, whatever the method."""
        for method in ("GET", "POST", "DELETE"):
            with self.subTest(method):
                self.assert_error(request(self.server, method, path, "{}"), 404, "unknown_path")

    def test_wrong_method(self) -> None:
        """405 in the one error shape, and Allow names what the path takes."""
        env = create(self.server)
        for path in sorted({route.path for route in ROUTES}):
            allowed = {route.method for route in ROUTES if route.path == path}
            at = path.replace("/v1/envs/<instance_id>", env).replace("<path:x>", "0")
            at = at.replace("<snapshot_id>", "0").replace("<file>", "start.js")
            for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - allowed:
                for spelled in (at, at.rstrip("/") or "/"):
                    with self.subTest(f"{method} {spelled}"):
                        reply = request(self.server, method, spelled, "{}")
                        self.assert_error(reply, 405, "method_not_allowed")
                        allow = {name.strip() for name in reply[1]["allow"].split(",")}
                        self.assertLessEqual(allowed, allow)
                        self.assertNotIn(method, allow)

    def test_head(self) -> None:
        """A probe's HEAD gets GET's head without a body; the connection stays in step."""
        for path, expected in (("/v1/envs/", 200), (create(self.server), 200), ("/nowhere", 404)):
            with (
                self.subTest(path),
                socket.create_connection(self.server.address, timeout=30) as connection,
            ):
                connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    byte = connection.recv(1)
                    self.assertTrue(byte, head)
                    head += byte
                self.assertEqual(int(head.split()[1]), expected)
                connection.sendall(b"GET /v1/envs/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
                status, _, body = read_reply(connection)
                self.assertEqual((status, body[:1]), (200, b"{"))

    def test_head_where_only_post_is(self) -> None:
        """The same probe at `step/`: 405, without a body."""
        path = create(self.server) + "/step/"
        with socket.create_connection(self.server.address, timeout=30) as connection:
            head = f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode())
            received = b""
            while data := connection.recv(65536):
                received += data
        self.assertEqual((received.split()[1], received[-4:]), (b"405", b"\r\n\r\n"))

    def test_options(self) -> None:
        """A browser's OPTIONS: no error, and Allow."""
        env = create(self.server)
        for path, method in (("/v1/envs/", "POST"), (f"{env}/step", "POST"), (env, "GET")):
            with self.subTest(path):
                status, headers, _ = request(self.server, "OPTIONS", path)
                self.assertIn(status, (200, 204))
                self.assertIn(method, headers["allow"])


class UnknownInstances(WireCase):
    """v1's pinned text, on every route that takes an id."""

    def test_every_route(self) -> None:
        """Go sees nothing but `message`; old tests compare it."""
        needed = {
            "step/": {"action": 0},
            "monitor/start/": {"directory": "x"},
            "observation_space/contains/": {"name": "Box"},
        }
        for route in ROUTES:
            head, _, rest = route.path.partition("<instance_id>/")
            if head == route.path or rest == "action_space/contains/":  # MissingParameters
                continue
            for slash in ("/", ""):
                rest_at = rest.replace("<path:x>", "0").replace("<snapshot_id>", "0")
                path = f"{head}bad_id/{rest_at}".rstrip("/") + slash
                with self.subTest(f"{route.method} {path}"):
                    body = None if route.method == "GET" else json.dumps(needed.get(rest, {}))
                    reply = request(
                        self.server, route.method, path, body, headers="Accept: text/html\r\n"
                    )
                    message = self.assert_error(reply, 400, "unknown_instance")
                    self.assertEqual(message, "Instance_id bad_id unknown")

    def test_a_closed_one(self) -> None:
        """A client that closes twice, or goes on after close."""
        env = create(self.server)
        gone = f"Instance_id {env.rpartition('/')[2]} unknown"
        self.success(env + "/close/")
        for route, body in (("close", None), ("reset", {}), ("step", {"action": 0})):
            self.assertEqual(self.refused(f"{env}/{route}/", body, "unknown_instance"), gone)
        self.assertNotIn(env.rpartition("/")[2], get(self.server, "/v1/envs/")[2]["all_envs"])

    @params(("%20", " "), ("nil", "nil"), ("%C3%A9", "é"), ("None", "None"), ("%22x%22", '"x"'))
    def test_odd_ids(self, sent: str, shown: str) -> None:
        """Lua's nil and Python's None, where a create's failure went unseen."""
        message = self.refused(f"/v1/envs/{sent}/reset/", {}, "unknown_instance")
        self.assertEqual(message, f"Instance_id {shown} unknown")


class MissingParameters(WireCase):
    """v1's pinned text, and its order of checks."""

    @params({}, {"envid": "CartPole-v0"}, {"ENV_ID": "CartPole-v0"}, [])
    def test_create(self, body: Any) -> None:
        """Any client with a typing error; Matlab's empty struct is `[]`."""
        message = self.refused("/v1/envs/", body, "missing_parameter")
        self.assertEqual(message, MISSING("env_id"))

    @params("bad_id", None)
    def test_before_the_id_is_looked_up(self, bad_id: str | None) -> None:
        """Old tests send neither a known id nor the parameter, and compare the text."""
        env = create(self.server) if bad_id is None else f"/v1/envs/{bad_id}"
        for route, name in (("step", "action"), ("monitor/start", "directory")):
            message = self.refused(f"{env}/{route}/", {"x": 1}, "missing_parameter")
            self.assertEqual(message, MISSING(name))
        for path in ("/action_space/contains", "/action_space/contains/"):
            reply = get(self.server, env + path)
            self.assertEqual(self.assert_error(reply, 400, "missing_parameter"), MISSING("x"))

    def test_no_json_before_the_id_is_looked_up(self) -> None:
        """The neighbour: neither a known id nor a body."""
        for route in ("step", "monitor/start", "observation_space/contains"):
            message = self.refused(f"/v1/envs/bad_id/{route}/", None, "invalid_json")
            self.assertEqual(message, "Request is not a valid json")

    @params(
        ({}, "training_dir"),
        ({"algorithm_id": "a"}, "training_dir"),
        ({"api_key": "k"}, "training_dir"),
        ({"training_dir": "/nowhere/at/all"}, "api_key"),
        ({"training_dir": "/nowhere/at/all", "api_key": ""}, "api_key"),
    )
    def test_upload(self, body: Any, name: str) -> None:
        """training_dir, then api_key, and only then the directory itself."""
        self.assertEqual(self.refused("/v1/upload/", body, "missing_parameter"), MISSING(name))


class BadEnvironments(WireCase):
    """v1's pinned beginning; what more there is to say stands after it."""

    @params("bad string", "Nope-v0", "cart_pole-v0", "-v0", "Pong-v9", "os:x-v0", "../x", "ü-v0")
    def test_text(self, env_id: str) -> None:
        """Old tests look for `malformed environment ID`."""
        message = self.refused("/v1/envs/", {"env_id": env_id}, "malformed_env_id")
        self.assertTrue(message.startswith(f"{MALFORMED}'{env_id}'"), message)
        reason = message.removeprefix(f"{MALFORMED}'{env_id}'")
        self.assertGreater(len(reason), 10, "no reason is given")

    @params(("CartPol-v0", "CartPole-v1"), ("MountanCar-v0", "MountainCar-v0"))
    def test_near_matches(self, env_id: str, near: str) -> None:
        """Whoever mistypes an id is shown the one that was meant."""
        message = self.refused("/v1/envs/", {"env_id": env_id}, "malformed_env_id")
        self.assertTrue(message.startswith(f"{MALFORMED}'{env_id}'"), message)
        self.assertIn(near, message)

    @params(5, True, {"id": "CartPole-v0"}, ["CartPole-v0"], 1.5)
    def test_no_text(self, env_id: Any) -> None:
        """R boxes a scalar as ["CartPole-v0"] where it isn't told not to: 400, in words."""
        status, headers, reply = post(self.server, "/v1/envs/", {"env_id": env_id})
        self.assertEqual((status, headers["content-type"]), (400, "application/json"))
        self.assertIn("env_id", reply["message"])


class NoErrors(WireCase):
    """What looks like one to a strict server, and isn't."""

    def test_observation_space_contains_compares_keys(self) -> None:
        """Each key given has to be the description's; `{}` and Lua's `[]` are contained."""
        env = create(self.server, "Pendulum-v0")
        path = env + "/observation_space/contains/"
        info = get(self.server, env + "/observation_space/")[2]["info"]
        for body, member in (
            ({}, True),
            ([], True),
            ({"name": "Box"}, True),
            ({"name": "Box", "shape": [3]}, True),
            ({"shape": [3.0], "low": [-1, -1, -8]}, True),
            (info, True),
            ({"name": "Discrete"}, False),
            ({"shape": [4]}, False),
            ({"name": "Box", "n": 2}, False),
            ({"n": None}, False),
            ({"name": None}, False),
            ({"nonsense": "Box"}, False),
            ({**info, "nonsense": 1}, False),
        ):
            with self.subTest(body=body):
                self.assertEqual(self.success(path, body), {"member": member})

    def test_observation_space_contains_a_value(self) -> None:
        """With a `value` key it tests membership, whatever other keys there are."""
        for env_id, inside, outside in (
            ("Pendulum-v0", [1, 0.5, 8], ([1, 0.5, 8.5], [1, 0.5], 0, "x", [1, 1, None], {}, [])),
            ("FrozenLake-v0", 15, (16, -1, 0.5, "1", True, [0, 1], [], {})),
        ):
            path = create(self.server, env_id) + "/observation_space/contains/"
            self.assertEqual(self.success(path, {"value": inside}), {"member": True})
            self.assertEqual(self.success(path, {"value": inside, "x": 1}), {"member": True})
            for value in outside:
                with self.subTest(value=value):
                    self.assertEqual(self.success(path, {"value": value}), {"member": False})

    @params(False, True)
    def test_a_reset_in_the_middle_of_an_episode(self, monitored: bool) -> None:
        """Examples with a step limit of their own reset early, monitor or not."""
        env = create(self.server)
        with tempfile.TemporaryDirectory() as directory:
            if monitored:
                self.success(env + "/monitor/start/", {"directory": directory})
            for _ in range(3):
                self.assertEqual(len(self.success(env + "/reset/")["observation"]), 4)
                for _ in range(2):
                    self.assertIs(self.success(env + "/step/", {"action": 0})["done"], False)
            self.success(env + "/monitor/close/")
            self.assertEqual(bool(list(Path(directory).iterdir())), monitored)
        self.success(env + "/reset/")


class OldTests(unittest.TestCase):
    """The old Python tests ran the app on a thread of theirs and shut it down after each."""

    def test_run_and_shutdown_twice_in_one_process(self) -> None:
        """`app.run(threaded=True, host=…, port='5000')`: the same port, a string, each time."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = str(probe.getsockname()[1])
        with tempfile.TemporaryDirectory() as data:
            environ = {"PYTHONPATH": str(ROOT), "GYM_HTTP_DATA_DIR": data}
            done = subprocess.run(
                [sys.executable, "-c", OLD_SUITE, port],
                env={**os.environ, **environ},
                capture_output=True,
                text=True,
                timeout=90,
            )
        self.assertEqual(done.returncode, 0, done.stderr)
        turns = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        self.assertEqual(len(turns), 2, done.stdout)
        for turn in turns:
            self.assertGreater(turn.pop("text"), 0)
            expected = {"before": False, "listed": {}, "reset": 4, "reward": 1.0}
            expected["refusal"] = [400, "Instance_id bad_id unknown"]
            self.assertEqual(turn, {**expected, "shutdown": 200, "ended": True, "after": False})
