"""Where old clients' requests arrive: every path with and without its last slash, directly; and
what the connection under them has to bear (the contract's requests, as far as they are HTTP)."""

from __future__ import annotations

import json
import select
import socket
import statistics
import tempfile
import time
from typing import Any

from nose2.tools import params

from gym_http.web.routes import ROUTES
from tests.support import (
    ServerCase,
    ServerProcess,
    create,
    exchange,
    get,
    post,
    read_reply,
    request,
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


class WireCase(ServerCase):
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
                    at = at.replace("<path:x>", "0").replace("<file>", "start.js")
                    at = at.replace("<snapshot_id>", self.snapshot_of(at))
                    self.assertNotIn("<", at, "a variable that this test has no value for")
                    status, headers, _ = request(self.server, route.method, at, self.ready(body))
                    self.assertFalse(300 <= status < 400, f"{status} {headers.get('location')}")
                    self.assertNotIn(status, (404, 405))
                    self.assertLess(status, 500)
                    statuses.append(status)
            with self.subTest(f"{route.method} {route.path}, both"):
                self.assertEqual(len(set(statuses)), 1, statuses)

    def snapshot_of(self, path: str) -> str:
        if "<snapshot_id>" not in path:
            return ""
        env = path.partition("/snapshot/")[0]
        return str(request(self.server, "POST", f"{env}/snapshot/")[2]["snapshot_id"])

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
        for value, member in (
            ("0", True),
            ("0/", True),
            ("1/?", True),
            ("2", False),
            ("2/", False),
        ):
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
        env = create(self.server)
        self.assert_error(get(self.server, f"{env}/action_space/contains/{value}"), 400)


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
            connection.sendall(
                f"GET {env}/action_space/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
            head, blank, body = connection.recv(65536).partition(b"\r\n\r\n")
            self.assertEqual((head[:12], blank), (b"HTTP/1.1 200", b"\r\n\r\n"))
            self.assertTrue(body, f"only the head came with the first packet of reply {number}")
            self.assertIn("info", json.loads(body))

    def test_nodelay_is_on(self) -> None:
        """Two calls in one packet: without TCP_NODELAY the second reply waits for the first's
        acknowledgement, 40 ms."""
        env, connection = self.playing(), self.connect()
        call = f"GET {env}/action_space/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        seconds = []
        for _ in range(50):
            start, received = time.perf_counter(), b""
            connection.sendall(call + call)
            while received.count(b'"info"') < 2:
                received += connection.recv(65536)
            seconds.append(time.perf_counter() - start)
        self.assertLess(statistics.median(seconds), 0.02)

    def test_calls_in_two_writes(self) -> None:
        """Head first, then the body, on one connection, with TCP_NODELAY at the client, as
        Ruby's and Python's HTTP libraries set it. (Without it the client's own kernel waits.)"""
        env, connection = self.playing(), self.connect()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        head = (
            f"POST {env}/reset/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n".encode()
        )
        seconds = []
        for _ in range(50):
            start = time.perf_counter()
            connection.sendall(head)
            connection.sendall(b"{}")
            self.assertEqual(read_reply(connection)[0], 200)
            seconds.append(time.perf_counter() - start)
        self.assertLess(statistics.median(seconds), 0.02)

    def test_lua_closes_and_says_te(self) -> None:
        """LuaSocket: `Connection: close, TE` and `TE: trailers`; the server closes, no trailers."""
        for method, path, body in (
            ("POST", create(self.server) + "/reset/", b'""'),
            ("POST", "/v1/envs/", b'{"env_id":"CartPole-v0"}'),
            ("GET", "/v1/envs/", b""),
        ):
            with self.subTest(f"{method} {path}"):
                connection = self.connect()
                headers = "TE: trailers\r\nConnection: close, TE\r\nUser-Agent: LuaSocket 3.0\r\n"
                headers += "Content-Type: application/json\r\n"
                status, got, reply = talk(connection, method, path, headers, body)
                self.assertEqual((status, got["connection"]), (200, "close"), reply)
                self.assertEqual(len(reply), int(got["content-length"]))
                self.assertEqual(connection.recv(1), b"")

    @params("Host: localhost\r\n", "")
    def test_http_1_0(self, host: str) -> None:
        """An old client's own sockets: it reads until the server closes, and knows no chunks."""
        connection = self.connect()
        head = f"POST /v1/envs/ HTTP/1.0\r\n{host}Content-Type: application/json\r\n"
        connection.sendall(head.encode() + b'Content-Length: 24\r\n\r\n{"env_id":"CartPole-v0"}')
        received = b""
        while data := connection.recv(65536):
            received += data
        head, _, body = received.decode().partition("\r\n\r\n")
        self.assertEqual(head.split()[1], "200")
        self.assertNotIn("chunked", head.lower())
        self.assertEqual(list(json.loads(body)), ["instance_id"])

    @params(
        ("/v1/envs/", b'{"env_id":"CartPole-v0"}'),
        ("{env}/step/", b'{"action":1}'),
        ("{env}/reset/", b"null"),
        ("{env}/close/", b"{}"),
    )
    def test_expect_100_continue(self, path: str, body: bytes) -> None:
        """curl, and C++ by it, may wait for a 100 before the body, or for a second and no more."""
        for waits in (True, False):
            with self.subTest(waits=waits):
                at, connection = path.format(env=self.playing()), self.connect()
                head = (
                    f"POST {at} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                )
                head += f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode())
                if waits:
                    connection.settimeout(0.9)
                    first = connection.recv(65536, socket.MSG_PEEK).split()[1]
                    self.assertIn(first, (b"100", b"200"))
                if not waits or first == b"100":
                    connection.sendall(body)
                connection.settimeout(30)
                self.assertEqual(read_reply(connection)[0], 200)

    @params(
        ("POST", "{env}/reset/", 200),
        ("POST", "{env}/monitor/close/", 200),
        ("POST", "{env}/close/", 200),
        ("GET", "{env}/action_space/", 200),
        ("GET", "/v1/envs/", 200),
        ("POST", "/nowhere", 404),
        ("PUT", "/v1/envs/", 405),
        ("POST", "/v1/envs/", 400),
    )
    def test_a_body_that_is_not_looked_into(self, method: str, path: str, expected: int) -> None:
        """Julia sends one with its GETs, many with close; when it comes a moment after the head
        (two writes), the reply may be gone already, and the connection goes on all the same."""
        for size, late in ((2, False), (2, True), (9000, True), (20_000, False)):
            with self.subTest(size=size, late=late):
                at, connection = path.format(env=create(self.server)), self.connect()
                head = (
                    f"{method} {at} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
                )
                connection.sendall(head.encode() + (b"" if late else b"x" * size))
                if late:
                    select.select([connection], [], [], 0.05)
                    connection.sendall(b"x" * size)
                status, headers, _ = read_reply(connection)
                self.assertEqual((status, headers.get("connection")), (expected, None))
                try:
                    self.assertEqual(talk(connection, "GET", "/v1/envs/")[0], 200)
                except ConnectionError as error:
                    self.fail(f"after the reply, unannounced: {error!r}")
