"""What is answered in front of Flask is what Flask would have answered, to the byte."""

import io
import json
import re
import unittest
from typing import Any, NamedTuple

import gymnasium
import msgspec
import numpy as np
from nose2.tools import params

from gym_http.request_ids import HEADER
from gym_http.service import Service
from gym_http.settings import Settings
from gym_http.web.app import create_app
from gym_http.web.hot import HOT, Front
from gym_http.wire import to_msgpack
from tests import custom_envs  # noqa: F401  registers the environments
from tests.support import ServerCase, create, exchange, post

MSGPACK = "application/msgpack"
ACTION = np.array([0.5], np.float32)


class Answer(NamedTuple):
    status: str
    headers: list[tuple[str, str]]
    body: bytes


class Twin:
    """A server of its own, called as a WSGI app, whose one instance is as its twin's."""

    def __init__(self, hot: bool, env_id: str, **more: Any) -> None:
        self.app = create_app(Settings(max_body_bytes=100_000, max_rollout_steps=50), Service())
        self.called = 0
        flask_app = self.app.wsgi_app

        def counted(environ: Any, start_response: Any) -> Any:
            self.called += 1
            return flask_app(environ, start_response)

        self.app.wsgi_app = counted
        self.wsgi = Front(self.app) if hot else self.app
        created = self.ask("", {"env_id": env_id, "seed": 7, **more}, path="/v1/envs/")
        self.id = json.loads(created.body)["instance_id"]
        self.called = 0

    def ask(self, verb: str, body: Any = b"", **environ: Any) -> Answer:
        """environ: what WSGI says otherwise; None leaves a variable out. path: instead of the
        instance's."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = environ.pop("path", None)
        given = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path or f"/v1/envs/{self.id}/{verb}",
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "HTTP_HOST": "localhost",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(sent)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(sent),
            "wsgi.errors": io.StringIO(),
            **environ,
        }
        given = {name: value for name, value in given.items() if value is not None}
        begun: list[Any] = []
        parts = list(self.wsgi(given, lambda status, headers: begun.extend((status, headers))))
        text = b"".join(parts).replace(getattr(self, "id", "~").encode(), b"ID")
        text = re.sub(rb"[0-9a-f]{12}", b"REQUEST", text)
        headers = [
            (name, re.sub("^[0-9a-f]{12}$", "REQUEST", value) if name == HEADER else value)
            for name, value in begun[1]
            if name != "Content-Length"
        ]
        if given["REQUEST_METHOD"] != "HEAD":
            assert dict(begun[1])["Content-Length"] == str(len(b"".join(parts)))
        return Answer(begun[0], headers, text)


STEPS: tuple[Any, ...] = (
    {"action": 1},
    {"action": 0, "render": True},
    {"action": 1.0, "render": "false"},
    {"action": [0]},
    {"action": 2},
    {"action": None},
    {"action": ""},
    {"action": []},
    {"action": True},
    {"action": "1"},
    {"action": 0.5},
    {"action": 10**30},
    {"action": [[[[0]]]]},
    {"action": {"a": 1}},
    {"action": 0, "render": 3},
    {"action": 0, "render": None, "more": [1, {"x": None}]},
    {"render": True},
    {},
    [],
    [1],
    "text",
    None,
    b"",
    b"{",
    b'{"action": NaN}',
    b'{"action": 1e400}',
    b'{"action": 1, "action": 0}',
    b'{"action": "\xff"}',
    b"\xef\xbb\xbf{}",
    b'{"action": ' + b"[" * 3000 + b"]" * 3000 + b"}",
    b'{"action": 0, "x": ' + b"[" * 150 + b"]" * 150 + b"}",
)
RESETS: tuple[Any, ...] = (
    {},
    [],
    b"",
    b"nonsense",
    {"seed": 3},
    {"seed": 3.0},
    {"seed": None, "options": None},
    {"seed": ""},
    {"seed": []},
    {"seed": -1},
    {"seed": [1]},
    {"seed": True},
    {"seed": 2**70},
    {"options": {}},
    {"options": []},
    {"options": [1]},
    {"options": {"low": -0.01, "high": 0.01}},
    {"options": {"low": "x"}},
)
ROLLOUTS: tuple[Any, ...] = (
    {"actions": [0, 1, 0]},
    {"actions": [0, 1, 2]},
    {"actions": []},
    {"actions": None},
    {"sample": 3},
    {"sample": 60},
    {"sample": 30, "on_done": "reset", "fields": ["done", "infos"]},
    {"sample": 2, "fields": []},
    {"sample": 2, "fields": ["nothing"]},
    {"sample": 2, "actions": [1]},
    {},
    b"?",
)
HEADERS: tuple[dict[str, Any], ...] = (
    {},
    {"CONTENT_TYPE": None},
    {"CONTENT_TYPE": ""},
    {"CONTENT_TYPE": "text/plain"},
    {"CONTENT_TYPE": "Application/JSON; charset=utf-8"},
    {"CONTENT_TYPE": MSGPACK},
    {"HTTP_ACCEPT": MSGPACK},
    {"HTTP_ACCEPT": "text/html"},
    {"HTTP_ACCEPT": "image/png, */*;q=0.1"},
    {"HTTP_ACCEPT_ENCODING": "gzip"},
    {"QUERY_STRING": "action=1"},
    {"HTTP_EXPECT": "100-continue"},
    {"HTTP_X_REQUEST_ID": "mine-1.2_3"},
    {"HTTP_X_REQUEST_ID": "not mine"},
)
ODD: tuple[dict[str, Any], ...] = (
    {"CONTENT_LENGTH": None},
    {"CONTENT_LENGTH": ""},
    {"CONTENT_LENGTH": "0"},
    {"CONTENT_LENGTH": "5"},
    {"CONTENT_LENGTH": "-1"},
    {"CONTENT_LENGTH": "13x"},
    {"CONTENT_LENGTH": "14"},  # one more than there are
    {"CONTENT_LENGTH": "9" * 30},
    {"CONTENT_LENGTH": "100001"},
    {"CONTENT_LENGTH": None, "wsgi.input_terminated": True},  # in chunks
    {"REQUEST_METHOD": "GET"},
    {"REQUEST_METHOD": "HEAD"},
    {"REQUEST_METHOD": "PUT"},
    {"path": "/v1/envs/00000000/step/"},
    {"path": "/v1/envs//step/"},
    {"path": "/v1/envs/\xff/step/"},
    {"path": "/v1/envs/a b/step/"},
    {"path": "/v1/envs/a/b/step/"},
    {"path": "/v1/envs/abcd/fgh/step/"},
    {"path": "/v1/envs/abcdefgh/"},
    {"path": "/v1/envs/abcdefgh"},
    {"path": "/v1/envs/\xb2\xb2345678/step/"},
    {"path": "/v1/envs/%30000000/step/"},
    {"path": f"/v1/envs/{'a' * 200}/step/"},
    {"path": "/v1/envs/00000000/step//"},
    {"path": "/v1/envs/00000000/steps/"},
    {"path": "/v2/envs/00000000/step/"},
    {"path": "/v1/envs/00000000/render/"},
)


class Alike(unittest.TestCase):
    """Both answer each request of a conversation, and are in the same state all along."""

    def alike(self, env_id: str, talk: list[tuple[str, Any, dict[str, Any]]], **more: Any) -> int:
        """Returns how many of them Flask had to answer."""
        hot, flask = Twin(True, env_id, **more), Twin(False, env_id, **more)
        for verb, body, environ in talk:
            with self.subTest(verb=verb, body=str(body)[:60], **environ):
                self.assertEqual(hot.ask(verb, body, **environ), flask.ask(verb, body, **environ))
        self.assertEqual(flask.called, len(talk))
        return hot.called

    @params(*HEADERS)
    def test_bodies(self, environ):
        verbs = {verb.rstrip("/") for verb in HOT}
        self.assertEqual(verbs, {"reset", "step", "rollout"})
        talk = [("step", body, environ) for body in STEPS[:2]]  # before the first reset
        for reset in RESETS:
            talk.append(("reset/", reset, environ))
            talk += [("step/", {"action": 1}, environ)]
        talk += [("reset", {"seed": 1}, {})]
        talk += [("step/", body, environ) for body in STEPS]
        for body in ROLLOUTS:
            talk += [("reset/", {}, {}), ("rollout/", body, environ), ("step", STEPS[0], environ)]
        self.assertEqual(self.alike("CartPole-v1", talk), 0)

    def test_unusual_requests_are_flasks(self):
        talk = [("reset", {}, {})]
        talk += [("step/", b'{"action": 1}', odd) for odd in ODD]
        talk += [("step/", b'{"action": 1}', {})]  # and all are still in step
        with_a_short_body = sum("CONTENT_LENGTH" in odd for odd in ODD)
        self.assertGreater(self.alike("CartPole-v1", talk), with_a_short_body)

    def test_messagepack(self):
        environ = {"CONTENT_TYPE": MSGPACK, "HTTP_ACCEPT": MSGPACK}
        bodies = [
            to_msgpack({"action": ACTION}),
            to_msgpack({"action": ACTION.astype(np.float64)}),
            to_msgpack({"action": np.zeros((2, 2))}),
            to_msgpack({"action": [0.1]}),
            to_msgpack({"action": 5.0}),
            msgspec.msgpack.encode({"action": {"dtype": "O", "shape": [1], "data": b"1"}}),
            msgspec.msgpack.encode([1]),
            b"\xc1",
            b"",
        ]
        talk = [("reset", b"\x80", environ)]
        talk += [("step", body, environ) for body in bodies]
        talk += [("rollout", to_msgpack({"actions": np.zeros((9, 1), "<f4")}), environ)]
        self.assertEqual(self.alike("Pendulum-v1", talk), 0)

    def test_a_failing_environment(self):
        talk = [("reset", {}, {})] + [("step", {"action": action}, {}) for action in (0, 1, 0)]
        talk += [("reset", {"options": {"a": 1}}, {}), ("reset", {}, {}), ("step", STEPS[1], {})]
        with self.assertLogs("gym_http", "ERROR"):
            self.assertEqual(self.alike("CustomRaises-v0", talk), 0)

    @params({}, {"HTTP_ACCEPT_ENCODING": "gzip"}, {"HTTP_ACCEPT_ENCODING": "br, gzip;q=0"})
    def test_long_replies(self, environ):
        talk = [("reset", {"seed": 1}, environ), ("rollout", {"sample": 50}, environ)]
        talk += [("step", {"action": [0] * 40}, environ)]
        self.assertEqual(self.alike("CartPole-v1", talk, num_envs=40), 0)


class OnTheWire(ServerCase):
    def test_a_query_changes_nothing(self):
        env = create(self.server, "CartPole-v1", seed=1)
        single = gymnasium.make("CartPole-v1")
        expected = single.reset(seed=1)[0].tolist()
        self.assertEqual(post(self.server, f"{env}/reset?x=1")[2]["observation"], expected)

    def test_chunks(self):
        env = create(self.server, "CartPole-v1")
        post(self.server, f"{env}/reset")
        head = f"POST {env}/step HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = b'3\r\n{"a\r\na\r\nction": 1}\r\n0\r\n\r\n'
        status, _, reply = exchange(self.server.address, head.encode() + body)
        self.assertEqual((status, json.loads(reply)["reward"]), (200, 1.0))
