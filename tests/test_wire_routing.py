"""Where old clients' requests arrive: every path with and without its last slash, directly; and
what the connection under them has to bear (the contract's requests, as far as they are HTTP)."""

from __future__ import annotations

import json
import socket
import statistics
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any

from nose2.tools import params

from gym_http.web.routes import ROUTES
from tests.support import (
    ServerProcess,
    create,
    exchange,
    get,
    post,
    read_reply,
    request,
    shared_server,
)

ID = "/v1/envs/<instance_id>/"
V1 = (
    ("POST", "/v1/envs/", {"env_id": "CartPole-v0"}),
    ("GET", "/v1/envs/", None),
    ("POST", ID + "reset/", {}),
    ("POST", ID + "step/", {"action": 0}),
    ("GET", ID + "action_space/", None),
    ("GET", ID + "action_space/sample/", None),
    ("GET", ID + "action_space/contains/0/", None),
    ("GET", ID + "observation_space/", None),
    ("POST", ID + "observation_space/contains/", {}),
    ("POST", ID + "monitor/start/", {"directory": "<directory>"}),
    ("POST", ID + "monitor/close/", {}),
    ("POST", ID + "close/", {}),
    ("POST", "/v1/upload/", {"training_dir": "<recording>", "api_key": "k"}),
)


def talk(
    connection: socket.socket, method: str, path: str, headers: str = "", body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    """One request and its reply on a connection that stays open."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:5000\r\n{headers}"
    if body:
        head += f"Content-Length: {len(body)}\r\n"
    connection.sendall(head.encode() + b"\r\n" + body)
    return read_reply(connection)


class WireCase(unittest.TestCase):
    def setUp(self) -> None:
        self.server = shared_server()
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)

    def connect(self) -> socket.socket:
        connection = socket.create_connection(self.server.address, timeout=30)
        self.addCleanup(connection.close)
        return connection

    def playing(self) -> str:
        """The path of an instance in the middle of an episode."""
        env = create(self.server)
        self.assertEqual(post(self.server, env + "/reset/", {})[0], 200)
        return env

    def recording(self) -> str:
        directory = tempfile.mkdtemp(dir=self.scratch)
        env = create(self.server, max_episode_steps=1)
        for route, body in (
            ("monitor/start", {"directory": directory}),
            ("reset", None),
            ("step", {"action": 0}),
            ("close", None),
        ):
            self.assertEqual(post(self.server, f"{env}/{route}/", body)[0], 200)
        return directory

    def ready(self, body: Any) -> str | None:
        """The body's JSON, with a real directory where it names one."""
        text = json.dumps(body)
        if "<directory>" in text:
            text = text.replace("<directory>", tempfile.mkdtemp(dir=self.scratch))
        if "<recording>" in text:
            text = text.replace("<recording>", self.recording())
        return None if body is None else text

    def assert_error(self, reply: tuple[int, dict[str, str], Any], status: int) -> None:
        got, headers, body = reply
        self.assertEqual((got, headers["content-type"]), (status, "application/json"), body)
        error = json.loads(body) if isinstance(body, bytes) else body
        self.assertIsInstance(error["message"], str)
        self.assertIsInstance(error["code"], str)
        self.assertIs(error["retryable"], False)


class Slashes(WireCase):
    """No client follows a redirect on a POST, and a 302 breaks Haskell's."""

    @params(*V1)
    def test_v1(self, method: str, path: str, body: Any) -> None:
        """C++ drops some last slashes, Haskell all, adding a bare `?`; R adds one."""
        bare = path.rstrip("/")
        for spelled in (path, bare, bare + "?", path + "?"):
            with self.subTest(f"{method} {spelled}"):
                at = spelled.replace("/v1/envs/<instance_id>", self.playing())
                status, _, reply = request(self.server, method, at, self.ready(body))
                self.assertEqual(status, 200, reply)

    def test_every_route(self) -> None:
        """What is newer than the old clients is served by the same rule."""
        bodies = {(method, path): body for method, path, body in V1}
        for route in ROUTES:
            if route.path == "/v1/shutdown/":  # test_shutdown
                continue
            body = bodies.get((route.method, route.path), {} if route.method == "POST" else None)
            statuses = []
            for spelled in (route.path, route.path.rstrip("/") or "/"):
                with self.subTest(f"{route.method} {spelled}"):
                    at = spelled.replace("/v1/envs/<instance_id>", self.playing())
                    at = at.replace("<path:x>", "0")
                    self.assertNotIn("<", at, "a variable that this test has no value for")
                    status, headers, _ = request(self.server, route.method, at, self.ready(body))
                    self.assertFalse(300 <= status < 400, f"{status} {headers.get('location')}")
                    self.assertNotIn(status, (404, 405))
                    self.assertLess(status, 500)
                    statuses.append(status)
            with self.subTest(f"{route.method} {route.path}, both"):
                self.assertEqual(len(set(statuses)), 1, statuses)

    @params("/v1/shutdown/", "/v1/shutdown", "/v1/shutdown?")
    def test_shutdown(self, path: str) -> None:
        """Clojure's leaves the slash out and sends nothing, typed as JSON."""
        with ServerProcess() as server:
            status, _, _ = request(server, "POST", path, b"")
            self.assertEqual(status, 200)
            self.assertEqual(server.wait(), 0)

    @params("action_space", "observation_space")
    def test_cpp_leaves_the_slash_out_on_the_space_paths(self, space: str) -> None:
        """C++ goes through curl, slashless on the two space paths."""
        env = create(self.server)
        raw = f"GET {env}/{space} HTTP/1.1\r\nHost: 127.0.0.1:5000\r\nAccept: */*\r\n\r\n"
        status, _, body = exchange(self.server.address, raw.encode())
        self.assertEqual(status, 200)
        self.assertIn("name", json.loads(body)["info"])

    def test_haskell_adds_a_bare_question_mark(self) -> None:
        """Haskell's: `POST /v1/envs?`."""
        raw = (
            b"POST /v1/envs? HTTP/1.1\r\nHost: localhost:5000\r\nAccept-Encoding: gzip\r\n"
            b"Accept: application/json\r\nContent-Type: application/json\r\n"
            b'Content-Length: 24\r\n\r\n{"env_id":"CartPole-v0"}'
        )
        status, _, body = exchange(self.server.address, raw)
        self.assertEqual(status, 200)
        self.assertEqual(list(json.loads(body)), ["instance_id"])

    def test_r_adds_a_slash_to_contains(self) -> None:
        """R's: `contains/0/`; the value is 0, not `0/`."""
        env = create(self.server)
        for value, member in (("0", True), ("0/", True), ("1/?", True), ("2", False), ("2/", False)):
            with self.subTest(value):
                status, _, reply = get(self.server, f"{env}/action_space/contains/{value}")
                self.assertEqual((status, reply), (200, {"member": member}))

    @params("//v1/envs/", "//v1/envs", "/v1//envs/", "/v1/envs//", "/v1/shutdown//")
    def test_double_slashes_are_no_redirect(self, path: str) -> None:
        """A base URL that ends with a slash, in a client that adds one."""
        status, headers, body = request(self.server, "GET", path)
        self.assertNotIn("location", headers)
        if status != 200:
            self.assertIn(status, (400, 404, 405))
            self.assert_error((status, headers, body), status)


class LuaContainsWithoutAValue(WireCase):
    """Lua's binding calls `action_space/contains` with no value."""

    @params("contains", "contains/", "contains?", "contains/?")
    def test_nothing(self, end: str) -> None:
        """Lua's, as it is."""
        reply = get(self.server, f"{create(self.server)}/action_space/{end}")
        self.assert_error(reply, 400)
        self.assertEqual(reply[2]["message"], "A required request parameter 'x' was not provided")

    @params("nil", "nil/", "%20", "abc", "%FF", "1%2C2", "%5B1", "None")
    def test_no_json(self, value: str) -> None:
        """The neighbour: `contains/nil`, which Lua's tostring makes of no value."""
        self.assert_error(get(self.server, f"{create(self.server)}/action_space/contains/{value}"), 400)


class WrongPathsAndMethods(WireCase):
    """Any client with a typing error reads `message`, as in any other error."""

    @params("/", "/v1", "/v1/", "/v2/envs/", "/v1/env/", "/v1/envs/x/y/z/", "/v1/envs/x/step/y")
    def test_unknown_path(self, path: str) -> None:
        """404 in the one error shape, whatever the method."""
        if path == "/" and any(route.path == path for route in ROUTES):
            self.skipTest("there is a page at / by now")
        for method in ("GET", "POST", "DELETE"):
            with self.subTest(method):
                reply = request(self.server, method, path, "{}")
                self.assert_error(reply, 404)
                self.assertEqual(reply[2]["code"], "unknown_path")

    def test_wrong_method(self) -> None:
        """405 in the one error shape, and Allow names what the path takes."""
        env = create(self.server)
        for path in sorted({route.path for route in ROUTES}):
            allowed = {route.method for route in ROUTES if route.path == path}
            at = path.replace("/v1/envs/<instance_id>", env).replace("<path:x>", "0")
            for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - allowed:
                for spelled in (at, at.rstrip("/") or "/"):
                    with self.subTest(f"{method} {spelled}"):
                        reply = request(self.server, method, spelled, "{}")
                        self.assert_error(reply, 405)
                        self.assertEqual(reply[2]["code"], "method_not_allowed")
                        allow = {name.strip() for name in reply[1]["allow"].split(",")}
                        self.assertLessEqual(allowed, allow)
                        self.assertNotIn(method, allow)

    def test_head(self) -> None:
        """A probe's HEAD gets GET's head without a body; the connection stays in step."""
        connection = self.connect()
        for path, status in (("/v1/envs/", 200), (create(self.server), 200), ("/nowhere", 404)):
            with self.subTest(path):
                connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += connection.recv(1)
                self.assertEqual(int(head.split()[1]), status)
                status, _, body = talk(connection, "GET", "/v1/envs/")
                self.assertEqual((status, body[:1]), (200, b"{"))

    def test_options(self) -> None:
        """A browser's OPTIONS: no error, and Allow."""
        env = create(self.server)
        for path, method in (("/v1/envs/", "POST"), (f"{env}/step/", "POST"), (env, "GET")):
            with self.subTest(path):
                status, headers, _ = request(self.server, "OPTIONS", path)
                self.assertIn(status, (200, 204))
                self.assertIn(method, headers["allow"])

    def test_a_body_that_nobody_read_does_not_garble_the_next_reply(self) -> None:
        """Keep-alive clients (Rust, JavaScript, Go) send the next call on the same connection."""
        connection = self.connect()
        for method, path, expected in (
            ("POST", "/nowhere", 404),
            ("DELETE", "/v1/envs/", 405),
            ("POST", create(self.server) + "/monitor/close/", 200),
            ("POST", create(self.server) + "/close/", 200),
        ):
            with self.subTest(f"{method} {path}"):
                body = json.dumps({"env_id": "x" * 100_000}).encode()
                typed = "Content-Type: application/json\r\n"
                self.assertEqual(talk(connection, method, path, typed, body)[0], expected)
                self.assertEqual(talk(connection, "GET", "/v1/envs/")[0], 200)


class Connections(WireCase):
    """What lies below the requests: how long connections stay, and how replies leave."""

    def test_idle_for_longer_than_the_http_librarys_default(self) -> None:
        """Rust doesn't retry on a connection that was closed while it thought (default: 30 s)."""
        connection = self.connect()
        self.assertEqual(talk(connection, "GET", "/v1/envs/")[0], 200)
        connection.settimeout(35)  # the wait itself: readable only if the server closes
        with self.assertRaises(TimeoutError, msg="the server closed an idle connection"):
            connection.recv(1)
        self.assertEqual(talk(connection, "GET", "/v1/envs/")[0], 200)

    def test_300_requests_over_one_connection(self) -> None:
        """JavaScript and Rust keep theirs for an agent's whole life."""
        env, connection = self.playing(), self.connect()
        for number in range(150):
            status, headers, _ = talk(connection, "GET", f"{env}/action_space/")
            self.assertEqual((status, headers.get("connection", "")), (200, ""), number)
            status, headers, _ = talk(connection, "POST", f"{env}/reset/", body=b"null")
            self.assertEqual((status, headers.get("connection", "")), (200, ""), number)

    def test_head_and_body_leave_in_one_write(self) -> None:
        """Else a client with delayed acknowledgements waits 40 ms a call."""
        env, connection = self.playing(), self.connect()
        for number in range(30):
            connection.sendall(f"GET {env}/action_space/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head, blank, body = connection.recv(65536).partition(b"\r\n\r\n")
            self.assertEqual(head[:15], b"HTTP/1.1 200 OK", number)
            self.assertTrue(blank)
            self.assertIn("info", json.loads(body))

    def test_nodelay_is_on(self) -> None:
        """Two calls in one packet: without TCP_NODELAY the second reply waits for the first's
        acknowledgement, 40 ms."""
        env, connection = self.playing(), self.connect()
        call = f"GET {env}/action_space/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        seconds = []
        for _ in range(50):
            start, received = time.perf_counter(), b""
            connection.sendall(call + call)
            while received.count(b'"info"') < 2:
                received += connection.recv(65536)
            seconds.append(time.perf_counter() - start)
        self.assertLess(statistics.median(seconds), 0.02)

    @params(True, False)
    def test_calls_in_two_writes(self, nodelay: bool) -> None:
        """Head first, then the body, on one connection; with TCP_NODELAY at the client, as
        Ruby's and Python's HTTP libraries set it, and without."""
        env, connection = self.playing(), self.connect()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, nodelay)
        head = f"POST {env}/reset/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n".encode()
        seconds = []
        for _ in range(50):
            start = time.perf_counter()
            connection.sendall(head)
            connection.sendall(b"{}")
            self.assertEqual(read_reply(connection)[0], 200)
            seconds.append(time.perf_counter() - start)
        self.assertLess(statistics.median(seconds), 0.02)
