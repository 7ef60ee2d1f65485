"""The Python client by itself: what it is, what it needs, and what it makes of odd answers."""

import contextlib
import inspect
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import requests
from nose2.tools import params

import gym_http_client
from gym_http_client import Client, ServerError
from tests.support import ROOT, shared_server


class Shape(unittest.TestCase):
    def test_all(self):
        self.assertEqual(gym_http_client.__all__, ["Client", "ServerError"])

    @params(
        ("env_create", ["env_id"]),
        ("env_list_all", []),
        ("env_reset", ["instance_id"]),
        ("env_step", ["instance_id", "action", "render"]),
        ("env_action_space_info", ["instance_id"]),
        ("env_action_space_sample", ["instance_id"]),
        ("env_action_space_contains", ["instance_id", "x"]),
        ("env_observation_space_info", ["instance_id"]),
        ("env_observation_space_contains", ["instance_id", "params"]),
        (
            "env_monitor_start",
            ["instance_id", "directory", "force", "resume", "video_callable"],
        ),
        ("env_monitor_close", ["instance_id"]),
        ("env_close", ["instance_id"]),
        ("upload", ["training_dir", "algorithm_id", "api_key"]),
        ("shutdown_server", []),
    )
    def test_v1_signatures_stay(self, name, expected):
        """Positional arguments are v1's; what is new is keyword-only."""
        signature = inspect.signature(getattr(Client, name))
        positional = [
            p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD
        ]
        self.assertEqual(positional[1:], expected)

    def test_the_file_alone_is_enough(self):
        """Copied somewhere else, with nothing of ours and no NumPy to import."""
        code = (
            "import sys\n"
            "for name in ('numpy', 'gymnasium', 'gym', 'gym_http', 'flask', 'msgspec'):\n"
            "    sys.modules[name] = None\n"
            "from gym_http_client import Client\n"
            "with Client(sys.argv[1]) as client:\n"
            "    one = client.env_create('CartPole-v1')\n"
            "    client.env_reset(one)\n"
            "    print(client.env_step(one, 1)[1])\n"
            "    client.env_close(one)\n"
        )
        with tempfile.TemporaryDirectory() as directory:
            shutil.copy(ROOT / "gym_http_client.py", directory)
            ended = subprocess.run(
                [sys.executable, "-c", code, shared_server().url],
                cwd=directory,
                capture_output=True,
                text=True,
                env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
            )
        self.assertEqual((ended.stdout, ended.stderr), ("1.0\n", ""))


class Answers(BaseHTTPRequestHandler):
    """A peer that isn't our server: a proxy, or one that takes its time."""

    reply = (200, "application/json", b"{}")
    seen: list = []
    hold: threading.Event | None = None

    def do_GET(self):
        self.seen.append((self.path, dict(self.headers)))
        if self.hold is not None:
            self.hold.wait(30)
        status, kind, body = self.reply
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # who waited has gone
            self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *arguments):
        pass


class Peers(unittest.TestCase):
    def setUp(self):
        Answers.hold, Answers.seen = None, []
        self.server = HTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    @params(
        (502, "text/html", b"<h1>Bad Gateway</h1>", "502 Bad Gateway: <h1>Bad Gateway</h1>", None),
        (400, "application/json", b'{"message": "no", "code": "x"}', "no", "x"),
        (400, "application/json", b'{"message": "no", "code": "x", "detail": "d"}', "no (d)", "x"),
        (400, "application/json", b"[]", "400 Bad Request: []", None),
        (500, "application/json", b"", "500 Internal Server Error: ", None),
    )
    def test_errors_of_all_kinds(self, status, kind, body, text, code):
        Answers.reply = (status, kind, body)
        with Client(self.url) as client, self.assertRaises(ServerError) as caught:
            client.env_list_all()
        self.assertEqual(str(caught.exception), text)
        self.assertEqual((caught.exception.status_code, caught.exception.code), (status, code))

    def test_the_token_is_sent(self):
        Answers.reply = (200, "application/json", b'{"all_envs": {}}')
        with Client(self.url, token="secret") as client:
            client.env_list_all()
        self.assertEqual(Answers.seen[0][1]["Authorization"], "Bearer secret")

    def test_ids_are_quoted(self):
        Answers.reply = (200, "application/json", b'{"info": {}}')
        with Client(self.url) as client:
            client.env_action_space_info("a/b?c")
        self.assertEqual(Answers.seen[0][0], "/v1/envs/a%2Fb%3Fc/action_space/")

    def test_it_does_not_wait_for_ever(self):
        Answers.hold = threading.Event()
        self.addCleanup(Answers.hold.set)
        with Client(self.url, timeout=0.2) as client, self.assertRaises(requests.Timeout):
            client.env_list_all()
        Answers.hold.set()

    def test_proxies_of_the_environment(self):
        os.environ["HTTP_PROXY"] = "http://127.0.0.1:9"
        self.addCleanup(os.environ.pop, "HTTP_PROXY")
        self.assertEqual(Client("http://far.example").session.proxies["http"], "http://127.0.0.1:9")


class Vectors(unittest.TestCase):
    def test_one_method_for_one_and_for_many(self):
        with Client(shared_server().url) as client:
            one = client.env_create("CartPole-v1", num_envs=2, vectorization="sync")
            self.assertEqual(client.env_info(one)["num_envs"], 2)
            first = client.env_reset(one, seed=[5, 5])
            self.assertEqual(first[0], first[1])
            observation, reward, done, _info = client.env_step(one, np.array([0, 1]))
            self.assertEqual((len(observation), reward, done), (2, [1.0, 1.0], [False, False]))
            client.env_close(one)


class Urls(unittest.TestCase):
    @params("127.0.0.1:5000", "localhost", "", "ftp://localhost")
    def test_that_are_none(self, url):
        with self.assertRaisesRegex(ValueError, "http://"):
            Client(url)


class Paths(unittest.TestCase):
    def test_path_objects(self):
        with tempfile.TemporaryDirectory() as directory, Client(shared_server().url) as client:
            one = client.env_create("CartPole-v1")
            client.env_monitor_start(one, Path(directory) / "here")
            client.env_close(one)
            self.assertTrue((Path(directory) / "here").is_dir())
