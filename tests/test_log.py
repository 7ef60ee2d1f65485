"""The log of a real server: one line an event, whatever callers send, under the reply's own id."""

import json
import re
import shlex
import socket
import unittest

from nose2.tools import params

from gym_http.logs import LONGEST, MOST_REFUSALS
from tests.support import (
    ServerProcess,
    create,
    eventually,
    exchange,
    get,
    post,
    request,
    shared_server,
)

FORGED = "2026-01-01T00:00:00.000Z INFO gym_http.registry created instance_id=00000000"
HOSTILE = (
    f"x\n{FORGED}",
    f"x\r\n{FORGED}",
    f"x\u2028{FORGED}\u0085y\x0b\x0c\x1c",
    "\x1b[2J\x1b]0;title\x07\x00",
    '"}{"level": "error"',
    'a=b "c\\" d\\',
    "\ud800",
    "%s %d {} {0}",
    "é" * 5000,
    "$(id) `id`",
)


class Log:
    """What a server wrote to standard error from here on."""

    def __init__(self, server, form):
        self.server, self.form = server, form
        self.begin = len(server.log())

    def events(self):
        """Each as a dict. A line that is none fails."""
        text = self.server.log()[self.begin :]
        read = json.loads if self.form == "json" else self.read_text
        return [read(line) for line in text.split("\n") if line and not line.startswith("    ")]

    @staticmethod
    def read_text(line):
        head = re.match(r"(\S+Z) ([A-Z]+) ([\w.]+) ([\w ]+?)(?: (\w+=.*))?$", line, re.S)
        assert head, line
        time, level, logger, event, fields = head.groups()
        lexer = shlex.shlex(fields or "", posix=True)
        lexer.whitespace, lexer.whitespace_split, lexer.commenters = " ", True, ""
        lexer.quotes = '"'
        told = dict(part.split("=", 1) for part in lexer)
        return {"time": time, "level": level.lower(), "logger": logger, "event": event, **told}


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.servers = {
            form: ServerProcess("--import", "tests.custom_envs", "--log-format", form)
            for form in ("text", "json")
        }
        for server in cls.servers.values():
            cls.addClassCleanup(server.stop)
            post(server, "/v1/envs/", {"env_id": "Nope-v0"})  # which imports gym, which talks

    def on(self, form):
        return self.servers[form], Log(self.servers[form], form)


class Lines(Case):
    @params("text", "json")
    def test_one_for_each_event(self, form):
        server, log = self.on(form)
        replies = [post(server, "/v1/envs/", {"env_id": "CustomRaises-v0"})]
        one = replies[0][2]["instance_id"]
        env = f"/v1/envs/{one}"
        self.assertEqual(get(server, env)[0], 200)
        self.assertEqual(post(server, f"{env}/reset/")[0], 200)
        self.assertEqual(post(server, f"{env}/step/", {"action": 0})[0], 200)
        replies += [
            post(server, f"{env}/step/", {"action": 2}),
            post(server, f"{env}/step/", {"action": 1}),
            post(server, "/v1/envs/", {"env_id": "CartPole-v1", "kwargs": {"x": 1}}),
            post(server, f"{env}/close/"),
            post(server, f"{env}/close/"),
            request(server, "PUT", "/v1/envs/", "{}"),
        ]
        events = log.events()
        self.assertEqual(
            [(event["event"], event["level"]) for event in events],
            [
                ("created", "info"),
                ("refused", "info"),
                ("failed", "error"),
                ("refused", "info"),
                ("closed", "info"),
                ("refused", "info"),
                ("refused", "info"),
            ],
        )
        for event, (status, headers, reply) in zip(events, replies, strict=True):
            self.assertEqual(event["request_id"], headers["x-request-id"])
            self.assertRegex(event["time"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertEqual(list(event)[:4], ["time", "level", "logger", "event"])
            if status >= 400:
                self.assertEqual(event["code"], reply["code"])
                self.assertEqual(int(event["status"]), status)
                self.assertEqual(event["error"], reply["message"])
            if status >= 500:
                self.assertEqual(reply["request_id"], headers["x-request-id"])
            else:
                self.assertNotIn("request_id", reply)
        step, create_ = "POST /v1/envs/<instance_id>/step/", "POST /v1/envs/"
        self.assertEqual(
            [event.get("route") for event in events],
            [None, step, step, create_, None, step.replace("step", "close"), "PUT /v1/envs/"],
        )
        self.assertEqual(
            [event.get("instance_id") for event in events], [one] * 3 + [None] + [one] * 2 + [None]
        )
        self.assertEqual(events[0]["backend"], "local")
        self.assertEqual((events[4]["reason"], int(events[4]["steps"])), ("closed", 1))
        traces = [event.get("exception", "") for event in events]
        if form == "json":
            self.assertIn("ZeroDivisionError", traces[2])
            self.assertIn("unexpected keyword argument", traces[3])
            self.assertEqual("".join(traces[:2] + traces[4:]), "")
        else:
            text = server.log()[log.begin :]
            self.assertEqual(len(re.findall(r"^    ZeroDivisionError", text, re.M)), 1)

    @params("text", "json")
    def test_whatever_is_sent(self, form):
        server, log = self.on(form)
        count = 0
        for hostile in HOSTILE:
            for body in (
                {"env_id": hostile},
                {"env_id": f"{hostile}:CartPole-v1"},
                {"env_id": "CartPole-v1", "engine": hostile},
                {"env_id": "CartPole-v1", "kwargs": {hostile: 1}},  # told by an exception
                {"env_id": "CartPole-v1", "vectorization": hostile, "num_envs": 1},
            ):
                status, headers, _ = post(server, "/v1/envs/", body)
                count += 1
                with self.subTest(body=ascii(body)[:80]):
                    self.assertTrue(400 <= status < 500)
                    events = log.events()
                    self.assertEqual(len(events), count)
                    self.assertEqual(events[-1]["request_id"], headers["x-request-id"])
                    self.assertEqual(events[-1]["event"], "refused")
                    self.assertLessEqual(len(events[-1]["error"]), 6 * LONGEST)
        for path in ("/%0A%0Dx", "/v1/envs/%0Aforged%22%7D/step", '/a"}{', "/%1b[2J", "/%ff"):
            with self.subTest(path):
                get(server, path)
                count += 1
                self.assertEqual(len(log.events()), count)
        for line in server.log()[log.begin :].split("\n"):
            self.assertTrue(line.isprintable() or form == "json", ascii(line))
            self.assertTrue(line.isascii() or form == "text", ascii(line))
            self.assertFalse(line.startswith(FORGED[:20]), line)


class RequestIds(Case):
    def asked(self, server, env, verb, body, sent):
        line = f"X-Request-Id: {sent}\r\n" if sent is not None else ""
        return request(server, "POST", f"{env}/{verb}", body, headers=line)

    def test_a_sane_one_comes_back(self):
        server, log = self.on("json")
        env = create(server, "CustomRaises-v0")
        for sent in ("a", "A-b_c.9", "0" * 64):
            with self.subTest(sent):
                for verb, body, status in (
                    ("reset", "{}", 200),
                    ("step/", '{"action": 0}', 200),
                    ("step", '{"action": 7}', 400),
                    ("step", '{"action": 1}', 500),
                    ("nowhere", "{}", 404),
                ):
                    got, headers, reply = self.asked(server, env, verb, body, sent)
                    self.assertEqual((got, headers["x-request-id"]), (status, sent), reply)
                    if status == 500:
                        self.assertEqual(reply["request_id"], sent)
        self.assertEqual(
            [event["request_id"] for event in log.events()[1:]],
            ["a"] * 3 + ["A-b_c.9"] * 3 + ["0" * 64] * 3,
        )

    def test_another_is_replaced(self):
        server, log = self.on("json")
        env = create(server, "MountainCar-v0")
        post(server, f"{env}/reset/")
        for sent in ("", " ", "0" * 65, "x" * 5000, "a b", 'x"}{', "é", "\xff", "a,b", "<script>"):
            with self.subTest(sent[:10]):
                status, headers, _ = self.asked(server, env, "step/", '{"action": 7}', sent)
                self.assertEqual(status, 400)
                self.assertRegex(headers["x-request-id"], "^[0-9a-f]{12}$")
                self.assertEqual(log.events()[-1]["request_id"], headers["x-request-id"])
                status, headers, _ = self.asked(server, env, "step/", '{"action": 1}', sent)
                self.assertEqual(status, 200)
                self.assertNotIn("x-request-id", headers)

    def test_each_request_has_its_own(self):
        """Those of one connection, which one thread may answer, too."""
        server, _ = self.on("text")
        env = create(server, "CartPole-v1")
        seen = [post(server, f"{env}/step/", {"action": 0})[1]["x-request-id"] for _ in range(20)]
        self.assertEqual(len(set(seen)), 20)
        self.assertNotIn("x-request-id", post(server, f"{env}/reset/")[1])

    def test_also_where_little_is_logged(self):
        with ServerProcess("--log-level", "error") as server:
            for _, headers, _ in (
                post(server, "/v1/envs/", {"env_id": "CartPole-v1"}),
                post(server, "/v1/envs/00000000/step/", {"action": 1}),
                get(server, "/nowhere"),
            ):
                self.assertRegex(headers["x-request-id"], "^[0-9a-f]{12}$")
            self.assertEqual(server.log(), "")


class Spate(unittest.TestCase):
    def test_of_refusals_without_end_most_are_a_number(self):
        """Of every one of them, all the same."""
        log = Log(shared_server(), "text")
        count, raw = 1000, b"GET /spate HTTP/1.1\r\nHost: localhost\r\n\r\n"

        def told():
            exchange(log.server.address, raw)
            told = [event for event in log.events() if "spate" in event.get("route", "")]
            self.sent += 1
            lines.append(len(told))
            return len(told) + sum(int(event.get("more", 0)) for event in told) == self.sent

        lines, self.sent = [], count
        with socket.create_connection(log.server.address, timeout=30) as connection:
            last = raw.replace(b"Host", b"Connection: close\r\nHost")
            connection.sendall(raw * (count - 1) + last)
            with connection.makefile("rb") as replies:
                self.assertEqual(replies.read().count(b"HTTP/1.1 404 "), count)
        eventually(told)
        self.assertLess(lines[0], 1.5 * MOST_REFUSALS)
