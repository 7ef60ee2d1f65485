"""Connections that hold a place and don't use it: what ends them, and that no others are ended."""

import contextlib
import json
import resource
import socket
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from nose2.tools import params

from gym_http_client import Client, ServerError
from tests.support import (
    ServerProcess,
    at_once,
    begin_step,
    create,
    eventually,
    get,
    post,
    read_reply,
    request,
)
from tests.test_metrics import scraped
from tests.test_out_of_files import files_of, let_open

HEAD = "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def sent(server, text, *, small=False):
    """A connection on which that was sent. small: that takes only little of a reply."""
    connection = socket.socket()
    if small:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect(server.address)
    connection.sendall(text.encode())
    return connection


def slow_env(server, pause_s, **more):
    """An instance that can be stepped, if one has the time."""
    env = create(server, "CustomSlow-v0", kwargs={"pause_s": pause_s}, **more)
    assert post(server, f"{env}/reset/")[0] == 200
    return env


def stuck(server, path="/v1/envs/12345678/step/"):
    return sent(server, HEAD.format(path) + "Content-Length: 100\r\n\r\n{")


def is_ended(connection):
    """Whether nothing more can come. What has come is thrown away."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


def until_ended(connection):
    """All that still comes."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while more := connection.recv(65536):
            got += more
    return got


def counted(server):
    """How many were ended, by reason."""
    return {key[1]: n for key, n in scraped(server).items() if key[0] == "connections_cut_total"}


def together(*checks):
    """Make checks that mostly wait. Raises what one of them raises."""
    with ThreadPoolExecutor() as pool:
        for outcome in [pool.submit(check) for check in checks]:
            outcome.result()


class Slow(unittest.TestCase):
    """A second for a request to come in. While the other tests run, steps of 3.5 seconds do."""

    @classmethod
    def setUpClass(cls):
        cls.server = ServerProcess(
            "--body-timeout", "1", "--max-connections", "300", "--import", "tests.custom_envs"
        )
        cls.addClassCleanup(cls.server.stop)
        envs = [slow_env(cls.server, 3.5, backend=where) for where in ("local", "local", "process")]
        cls.held = [stuck(cls.server) for _ in range(20)]
        cls.working = [begin_step(cls.server, env) for env in envs]
        cls.held += [stuck(cls.server) for _ in range(20)]
        time.sleep(1.5)  # for what comes now to be the last that is heard on its connection
        raw = HEAD.format(f"{envs[0]}/step/") + 'Content-Length: 12\r\n\r\n{"action":0}'
        cls.working[0].sendall(raw.encode())
        for connection in cls.held + cls.working:
            cls.addClassCleanup(connection.close)

    def closing(self, connections):
        for connection in connections:
            self.addCleanup(connection.close)
        return connections

    def test_all_that_is_slow(self):
        together(
            self.check_what_does_not_come,
            self.check_a_byte_now_and_then,
            self.check_16_kib_a_second,
            self.check_a_reply_that_is_not_taken,
            self.check_who_ends_a_body_early,
        )

    def test_requests_in_work_are_never_cut(self):
        for connection, count in zip(self.working, (2, 1, 1), strict=True):
            got = b""
            while got.count(b'"observation":') < count:
                more = connection.recv(65536)
                self.assertTrue(more, got)
                got += more
            self.assertEqual(got.count(b"HTTP/1.1 200 OK"), count)
        eventually(lambda: all(map(is_ended, self.held)))

    def test_stuck_ones_stop_nobody_and_end(self):
        more = [stuck(self.server) for _ in range(200)]
        self.closing(more)
        begun = time.monotonic()
        for _ in range(10):
            env = create(self.server, "CustomOdd-v0")
            self.assertEqual(post(self.server, f"{env}/reset/")[0], 200)
        self.assertLess(time.monotonic() - begun, 1)
        eventually(lambda: all(map(is_ended, more)))
        self.assertGreaterEqual(counted(self.server)["slow_request"], 200)

    def test_where_no_file_is_left(self):
        """Then above all: who holds them has to be found without another one."""
        worker = self.server.worker_pid()
        before = len(files_of(worker))
        held = self.closing([stuck(self.server) for _ in range(5)])
        eventually(lambda: len(files_of(worker)) >= before + 5)
        usual = let_open(worker, 0)
        self.addCleanup(resource.prlimit, worker, resource.RLIMIT_NOFILE, usual)
        eventually(lambda: all(map(is_ended, held)), 10)

    def check_what_does_not_come(self):
        """An answer where HTTP has one; then the end."""
        typed, json_of_100 = HEAD.format("/v1/envs/"), "Content-Length: 100\r\n\r\n{"
        cases = {
            "a step": (HEAD.format("/v1/envs/12345678/step/") + json_of_100, ["408"]),
            "a create": (typed + json_of_100, ["408"]),
            "chunks": (
                typed + 'Transfer-Encoding: chunked\r\n\r\n1c\r\n{"env_id": "CustomTells-v0"}\r\n',
                ["408"],
            ),
            "what was to continue": (
                typed + "Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
                ["100", "408"],
            ),
            "a second one in the first one's packet": (
                "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" + typed + json_of_100,
                ["200", "408"],
            ),
            "a head": ("POST /v1/envs/ HTTP/1.1\r\nHost: local", []),
            "nothing": ("", []),
        }
        held = {what: sent(self.server, raw) for what, (raw, _) in cases.items()}
        self.closing(held.values())
        for what, connection in held.items():
            got = until_ended(connection).decode()
            statuses = [part.split()[0] for part in got.split("HTTP/1.1 ")[1:]]
            self.assertEqual(statuses, cases[what][1], what)
            if statuses:
                reply = json.loads(got.rpartition("\r\n\r\n")[2])
                self.assertEqual(reply["code"], "request_timeout")
                self.assertIn("--body-timeout", reply["message"])
        self.assertNotIn("CustomTells-v0", get(self.server, "/v1/envs/")[2]["all_envs"].values())

    def check_a_byte_now_and_then(self):
        held = self.closing(
            [
                sent(self.server, "GET /healthz HTTP/1.1\r\nX: "),
                stuck(self.server),
                stuck(self.server, "/v1/envs/"),
            ]
        )
        begun = time.monotonic()

        def all_are_ended():
            for connection in held:
                with contextlib.suppress(OSError):
                    connection.send(b"a")
            return all(map(is_ended, held))

        eventually(all_are_ended, 15)
        self.assertGreater(time.monotonic() - begun, 0.9)

    def check_16_kib_a_second(self):
        size = 100_000
        raw = HEAD.format("/v1/envs/") + f"Content-Length: {size}\r\n\r\n"
        with sent(self.server, raw) as connection:
            for _ in range(10):
                connection.sendall(b" " * (size // 10))
                time.sleep(0.4)
            status, _, body = read_reply(connection)
        self.assertEqual((status, json.loads(body)["code"]), (400, "invalid_json"))

    def check_a_reply_that_is_not_taken(self):
        env = create(self.server, "CustomFrames-v0", kwargs={"length": 10**6})
        post(self.server, f"{env}/reset/")
        wanted = '{"sample":200}'
        raw = HEAD.format(f"{env}/rollout/") + "Accept: application/msgpack\r\n"
        raw += f"Content-Length: {len(wanted)}\r\n\r\n{wanted}"
        self.closing([sent(self.server, raw, small=True)])
        eventually(lambda: counted(self.server).get("slow_reply") == 1)

    def check_who_ends_a_body_early(self):
        # In a tick in which nobody was late, for whom this could be taken.
        eventually(lambda: self.ends_early() == (400, "invalid_request"))

    def ends_early(self):
        with stuck(self.server) as connection:
            connection.shutdown(socket.SHUT_WR)
            status, _, body = read_reply(connection)
        return status, json.loads(body)["code"]


class Many(unittest.TestCase):
    """Room for 20 connections, four seconds for idle ones, and two requests worked on at once."""

    @classmethod
    def setUpClass(cls):
        flags = ["--max-connections", "20", "--threads", "2", "--busy-timeout", "1"]
        cls.server = ServerProcess(*flags, "--keep-alive", "4", "--import", "tests.custom_envs")
        cls.addClassCleanup(cls.server.stop)

    def idle(self, count):
        held = []
        for _ in range(count):
            held.append(sent(self.server, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            self.assertEqual(read_reply(held[-1])[0], 200)
            self.addCleanup(held[-1].close)
        return held

    def test_what_waits(self):
        together(self.check_one_that_is_idle_for_too_long, self.check_a_third_request)

    def test_of_too_many_the_idle_ones_end_longest_first(self):
        env = slow_env(self.server, 4)
        client = Client(self.server.url)
        idle_client = Client(self.server.url)
        other = idle_client.env_create("CustomOdd-v0")
        old = self.idle(5)
        with begin_step(self.server, env) as working:
            time.sleep(1.1)
            young = self.idle(40)
            eventually(lambda: all(map(is_ended, old)))
            eventually(lambda: sum(map(is_ended, young)) >= 26)
            for _ in range(20):
                client.registry()
            self.assertEqual(idle_client.env_reset(other), 0)  # its connection was one of them
            self.assertEqual(read_reply(working)[0], 200)
        self.assertGreaterEqual(counted(self.server)["crowded"], 26)
        self.assertGreater(40 - sum(map(is_ended, young)), 10)

    def check_one_that_is_idle_for_too_long(self):
        (one,) = self.idle(1)
        begun = time.monotonic()
        self.assertEqual(until_ended(one), b"")
        self.assertGreater(time.monotonic() - begun, 3.9)

    def check_a_third_request(self):
        """Also a numbered one: its number isn't used up. What takes no time is answered."""
        client = Client(self.server.url)
        env = client.env_create("CustomOdd-v0")
        client.env_reset(env)
        slow = [slow_env(self.server, 2) for _ in range(2)]
        held = [begin_step(self.server, path) for path in slow]
        time.sleep(0.2)
        for path in ("/healthz", "/metrics", "/v1/envs/", slow[0]):
            self.assertEqual(get(self.server, path)[0], 200)
        refusals = []

        def numbered():
            with self.assertRaises(ServerError) as caught:
                client.env_step(env, 0)
            refusals.append((caught.exception.status_code, {}, vars(caught.exception)))

        at_once(
            lambda: refusals.append(post(self.server, f"/v1/envs/{env}/step/", {"action": 0})),
            lambda: refusals.append(get(self.server, "/v1/registry/")),
            numbered,
        )
        for status, headers, reply in refusals:
            self.assertEqual((status, reply["code"]), (503, "overloaded"))
            self.assertEqual(headers.get("retry-after", "1"), "1")
            self.assertRegex(reply["message"], "2 requests.* in 1 s")
            self.assertRegex(reply["detail"], "--threads.*--busy-timeout")
        for connection in held:
            self.assertEqual(read_reply(connection)[0], 200)
            connection.close()
        self.assertEqual(client._counts.of(env).next, 2)
        self.assertEqual(client.env_step(env, 0)[0], 1)

    def test_of_large_bodies_no_more_at_once(self):
        size = 2_000_000
        raw = HEAD.format("/v1/envs/") + f"Content-Length: {size}\r\n\r\n" + " " * 1_900_000
        held = [sent(self.server, raw) for _ in range(2)]
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (size, b" " * size)
        for kind, body in (
            (f"Content-Length: {size}", b" " * size),
            ("Transfer-Encoding: chunked", chunked),
        ):
            raw = (HEAD.format("/v1/envs/") + f"{kind}\r\n\r\n").encode() + body
            eventually(lambda raw=raw: self.refused(raw) == "overloaded")
        create(self.server, "CustomOdd-v0")
        for connection in held:
            connection.sendall(b" " * 100_000)
            self.assertEqual(read_reply(connection)[0], 400)
            connection.close()
        reply = request(self.server, "POST", "/v1/envs/", b" " * size)[2]
        self.assertEqual(reply["code"], "invalid_json")

    def refused(self, raw):
        with socket.create_connection(self.server.address, timeout=20) as connection:
            connection.sendall(raw)
            return json.loads(read_reply(connection)[2])["code"]

    @params((1, 65_000, 200), (1, 66_000, 431), (1, 140_000, 431), (98, 90, 200), (99, 9, 431))
    def test_headers(self, count, size, status):
        headers = "".join(f"X-{n}: {'a' * size}\r\n" for n in range(count))
        got, _, reply = request(self.server, "GET", "/healthz", headers=headers)
        self.assertEqual(got, status)
        if size == 66_000:
            self.assertEqual((reply["code"], reply["retryable"]), ("headers_too_large", False))

    def test_a_long_url(self):
        env = create(self.server, "CustomOdd-v0")
        value = "[" + "1," * 29_000 + "1]"
        self.assertEqual(get(self.server, f"{env}/action_space/contains/{value}")[0], 200)
        self.assertEqual(get(self.server, "/" + "a" * 70_000)[0], 414)
