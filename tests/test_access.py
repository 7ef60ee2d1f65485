"""Who may call: each route, each header, each client."""

import os
import socket
import subprocess
import sys
from unittest import mock

from nose2.tools import params

from gym_http.settings import Settings
from gym_http.web.app import create_app
from gym_http.web.routes import ROUTES
from gym_http_client import Client, ServerError
from tests.client_peer import Peer, PeerCase, reply
from tests.guarded import READ_TOKEN, SENT, TOKEN, Guarded
from tests.support import ROOT, read_reply, request

OPEN = {
    "GET /healthz/",
    "GET /v1/docs/",
    "GET /v1/docs/<file>/",
    "GET /v1/healthz/",
    "GET /v1/openapi.json/",
}
WATCHED = {
    "GET /metrics/",
    "GET /v1/envs/",
    "GET /v1/envs/<instance_id>/",
    "GET /v1/envs/<instance_id>/action_space/",
    "GET /v1/envs/<instance_id>/action_space/contains/",
    "GET /v1/envs/<instance_id>/action_space/contains/<path:x>/",
    "GET /v1/envs/<instance_id>/observation_space/",
    "GET /v1/envs/<instance_id>/render/",
    "GET /v1/registry/",
    "GET /v1/scoreboard/",
    "POST /v1/envs/<instance_id>/observation_space/contains/",
}


def verdict(route, who):
    """(status, code) of the refusal, or None where there is none."""
    if route.name in OPEN or who == "its user":
        return None
    if who != "a watcher":
        return 401, "unauthorized"
    return None if route.name in WATCHED else (403, "read_only")


class EveryRoute(Guarded):
    def test_is_there_to_be_watched_or_not(self):
        self.assertEqual({route.name for route in ROUTES if route.watches}, WATCHED)
        self.assertEqual({route.name for route in ROUTES if route.is_open}, OPEN)

    @params(*SENT)
    def test_on_a_server(self, who):
        env = self.create()
        for route in ROUTES:
            if (route.path, who) == ("/v1/shutdown/", "its user"):
                continue  # which would end it
            path = self.path_of(route, self.create() if "/close/" in route.path else env)
            for at in (path, path.rstrip("/")):
                with self.subTest(route=route.name, at=at):
                    body = {} if route.method == "POST" else None
                    status, headers, reply = self.ask(who, route.method, at, body)
                    self.check(route, who, status, headers, reply)

    @params(*SENT)
    def test_on_the_app_alone(self, who):
        app = create_app(Settings(token=TOKEN, read_token=READ_TOKEN))
        name, _, value = SENT[who].strip().partition(": ")
        client, given = app.test_client(), {name: value} if name else {}
        with self.assertLogs("gym_http"):  # else one would be on the screen
            for route in ROUTES:
                at = self.path_of(route, "/v1/envs/12345678")
                with self.subTest(route=route.name):
                    got = client.open(at, method=route.method, headers=given)
                    headers = {name.lower(): value for name, value in got.headers}
                    reply = got.get_json(silent=True)
                    self.check(route, who, got.status_code, headers, reply)

    def path_of(self, route, env):
        path = route.path.replace("/v1/envs/<instance_id>", env).replace("<path:x>", "1")
        return path.replace("<snapshot_id>", "0" * 16).replace("<file>", "start.js")

    def check(self, route, who, status, headers, reply):
        expected = verdict(route, who)
        if expected is None:
            self.assertNotIn(status, (401, 403))
            return
        self.assertEqual((status, reply["code"]), expected)
        self.assertEqual(headers.get("www-authenticate"), "Bearer" if status == 401 else None)
        self.assertIn("--token" if status == 401 else "--read-token", reply["message"])

    @params(
        ("GET", "/nothing"),
        ("PUT", "/v1/envs/"),
        ("GET", "/v1/shutdown/"),
        ("OPTIONS", "/v1/envs/"),
        ("OPTIONS", "*"),
        ("DELETE", "/v1/envs/12345678/step/"),
        ("GET", "/v1/envs/12345678/step"),
    )
    def test_what_is_none(self, method, path):
        for who in ("nobody", "a stranger"):
            self.assertEqual(self.ask(who, method, path)[0], 401)
        for who in ("a watcher", "its user"):
            self.assertIn(self.ask(who, method, path)[0], (200, 404, 405))

    def test_a_method_that_an_open_path_has_not(self):
        for path in ("/healthz", "/v1/docs/", "/v1/openapi.json"):
            self.assertEqual(self.ask("nobody", "DELETE", path)[0], 405)

    def test_asked_for_as_a_websocket(self):
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        for path, own, strange in (("/v1/envs/", 200, 401), ("/healthz", 200, 200)):
            for who, expected in (("its user", own), ("nobody", strange)):
                got = request(self.server, "GET", path, headers=SENT[who] + upgrade)
                self.assertEqual(got[0], expected, (path, who, got))

    def test_head(self):
        for who, path, status in (
            ("nobody", "/v1/envs/", 401),
            ("a watcher", "/v1/envs/", 200),
            ("a watcher", "/v1/envs/12345678/action_space/sample/", 403),
            ("nobody", "/healthz", 200),
        ):
            text = f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n{SENT[who]}\r\n"
            with socket.create_connection(self.server.address, timeout=30) as connection:
                connection.sendall(text.encode())
                self.assertEqual(connection.recv(12), f"HTTP/1.1 {status}".encode())


class Headers(Guarded):
    @params(
        f"bearer {TOKEN}",
        f"BEARER {TOKEN}",
        f"Bearer    {TOKEN}  ",
    )
    def test_that_will_do(self, value):
        self.assertEqual(self.statuses(f"Authorization: {value}\r\n"), {200})

    @params(
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Bearer{TOKEN}",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN} {TOKEN}",
        f"Bearer {TOKEN},Bearer {TOKEN}",
        f'Bearer token="{TOKEN}"',
        f"Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}",
        f"Bearer x\r\nAuthorization: Bearer {TOKEN}",
        f"Bearer \xe9{TOKEN}",
        "Bearer " + "x" * 100_000,
        "Bearer " + TOKEN * 1000,
    )
    def test_that_will_not(self, value):
        self.assertEqual(self.statuses(f"Authorization: {value}\r\n"), {401})

    def statuses(self, line):
        """Of a call that Flask answers and of one that it doesn't."""
        env = self.create()
        answers = (
            request(self.server, "GET", env, headers=line),
            request(self.server, "POST", f"{env}/reset/", b"", headers=line),
        )
        return {status for status, _, _ in answers}

    def test_in_a_query_it_is_none(self):
        self.assertEqual(self.ask("nobody", "GET", f"/v1/envs/?token={TOKEN}")[0], 401)

    def test_what_is_said(self):
        said = {
            line: request(self.server, "GET", "/v1/envs/", headers=line)[2]["message"]
            for line in ("", "Authorization: Basic eDp5\r\n", SENT["a stranger"])
        }
        for message, wrong in zip(
            said.values(), ("none came", "no bearer token", "isn't this server's"), strict=True
        ):
            self.assertIn(wrong, message)
            self.assertIn("Authorization: Bearer TOKEN", message)


class Refused(Guarded):
    """A call that is refused changes nothing, and costs the server little."""

    @params("nobody", "a stranger", "a watcher")
    def test_nothing_is_done(self, who):
        env = self.create("FrozenLake-v1", seed=3)
        self.ask("its user", "POST", f"{env}/reset/", {})
        before = self.ask("its user", "GET", env)[2]
        for verb in ("reset", "step", "rollout", "close", "monitor/start", "snapshot"):
            body = {"action": 1, "sample": 3, "directory": "x"}
            status, _, _ = self.ask(who, "POST", f"{env}/{verb}/", body)
            self.assertEqual(status, 403 if who == "a watcher" else 401)
        self.assertEqual(self.ask(who, "GET", f"{env}/action_space/sample/")[0], status)
        self.assertEqual(self.ask("its user", "GET", env)[2], before)

    @params("/v1/envs/", "/v1/envs/12345678/step/")
    def test_a_short_body_is_read_and_the_connection_kept(self, path):
        for framing in (b"Content-Length: 4\r\n\r\nabcd", CHUNKED + b"4\r\nabcd\r\n0\r\n\r\n"):
            with socket.create_connection(self.server.address, timeout=30) as connection:
                for _ in range(2):
                    connection.sendall(head(path) + framing)
                    status, headers, _ = read_reply(connection)
                    self.assertEqual((status, headers.get("connection")), (401, None))

    @params("/v1/envs/", "/v1/envs/12345678/step/")
    def test_a_long_one_is_not(self, path):
        long = b"Content-Length: 60000000\r\n\r\n" + b"x" * 1000
        chunks = CHUNKED + b"10000\r\n" + b"x" * 65536 + b"\r\n5\r\nabcde\r\n"
        waits = b"Content-Length: 60000000\r\nExpect: 100-continue\r\n\r\n"
        for sent in (long, chunks, waits):
            with socket.create_connection(self.server.address, timeout=30) as connection:
                connection.sendall(head(path) + sent)
                status, headers, _ = read_reply(connection)
                self.assertEqual((status, headers["connection"]), (401, "close"))
                self.assertEqual(connection.recv(1), b"")

    def test_a_client_hears_why(self):
        with Client(self.server.url, token="x") as client:
            for _ in range(2):
                with self.assertRaises(ServerError) as caught:
                    client.env_create("CartPole-v1", kwargs={"x": "y" * 5_000_000})
                self.assertEqual(caught.exception.code, "unauthorized")


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def head(path):
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\n".encode()


class Secrets(Guarded):
    def test_who_can_find_it(self):
        """Not who reads the log or the metrics, nor code of environments that looks around."""
        with Client(self.server.url, token=TOKEN) as client:
            for backend in ("local", "process"):
                words = {"words": f"{TOKEN} {READ_TOKEN} PATH"}
                env = client.env_create("AccessCurious-v0", backend=backend, kwargs=words)
                _, info = client.env_reset(env, with_info=True)
                self.assertEqual(info["found"], [])
                self.assertGreater(info["looked"], 100)
        for who in SENT:
            self.ask(who, "POST", "/v1/envs/", {"env_id": "Nowhere-v0"})
        _, _, numbers = self.ask("its user", "GET", "/metrics")
        self.assertIn(b'code="unauthorized"', numbers)
        self.assertIn("code=unauthorized", self.server.log())
        for secret in (TOKEN, READ_TOKEN):
            self.assertNotIn(secret, self.server.log())
            self.assertNotIn(secret.encode(), numbers)


class Clients(Guarded):
    def test_python(self):
        for given, environ, works in (
            ({"token": TOKEN}, "x", True),
            ({}, TOKEN, True),
            ({}, "x", False),
            ({"token": ""}, TOKEN, False),
            ({"token": "x"}, TOKEN, False),
        ):
            with (
                self.subTest(given=given, environ=environ),
                mock.patch.dict(os.environ, {"GYM_HTTP_TOKEN": environ}),
                Client(self.server.url, **given) as client,
            ):
                self.assertNotIn(TOKEN, repr(client))
                if works:
                    env = client.env_create("CartPole-v1")
                    client.env_reset(env)
                    client.env_step(env, 1)
                    client.env_close(env)
                    continue
                with self.assertRaises(ServerError) as caught:
                    client.env_list_all()
                self.assertEqual(
                    (caught.exception.status_code, caught.exception.code), UNAUTHORIZED
                )

    @params("a b", "a\nX: y", "é", "a ")
    def test_no_token(self, token):
        with self.assertRaisesRegex(ValueError, "^token: expected") as caught:
            Client(self.server.url, token=token)
        self.assertNotIn(token, str(caught.exception))

    def test_gymnasium(self):
        import gymnasium

        import gym_http.remote  # noqa: F401

        with mock.patch.dict(os.environ, {"GYM_HTTP_TOKEN": TOKEN}):
            env = gymnasium.make("http/Remote-v0", url=self.server.url, env_id="CartPole-v1")
        env.reset()
        self.assertNotIn(TOKEN, str(env.spec) + env.spec.to_json())
        env.close()

    def test_the_example(self):
        command = [sys.executable, str(ROOT / "example_agent.py"), "--url", self.server.url]
        command += ["--episodes", "2"]
        for more, code in ((["--token", TOKEN], 0), ([], 1)):
            environ = {k: v for k, v in os.environ.items() if k != "GYM_HTTP_TOKEN"}
            ended = subprocess.run(
                command + more, capture_output=True, text=True, timeout=60, env=environ
            )
            self.assertEqual(ended.returncode, code, ended.stderr)


class Redirects(PeerCase):
    """A token is for the server that it was given for."""

    @params("short", "ordinary")
    def test_to_another_server(self, way):
        other = Peer()
        self.addCleanup(other.close)
        client = self.client_of(self.peer.url, way, token=TOKEN)
        far, near = (
            reply(b"", "307 Temporary Redirect", [f"Location: {base}/v1/envs/there/step/"])
            for base in (other.url, "")
        )
        self.peer.scripts = {"far": [far], "near": [near]}
        client.env_step("far", 1)
        client.env_step("near", 1)
        self.assertEqual(len(self.peer.seen), 3)
        for _, _, headers, _ in self.peer.seen:
            self.assertEqual(headers["authorization"], f"Bearer {TOKEN}")
        ((_, _, headers, _),) = other.seen
        self.assertNotIn("authorization", headers)


UNAUTHORIZED = (401, "unauthorized")
