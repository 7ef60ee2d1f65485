"""The Lua binding, on every Lua that is here and with each JSON library that it can load."""

import inspect
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from unittest import mock

from nose2.tools import params

import example_agent
from gym_http_client import Client
from tests.guarded import TOKEN, guarded_server
from tests.support import ROOT, ServerProcess, shared_server

BINDING = ROOT / "binding-lua"
LUAS = ["lua5.1", "lua5.2", "lua5.3", "lua5.4", "luajit"]
binaries = [os.path.realpath(shutil.which(lua) or "") for lua in LUAS]
if shutil.which("lua") and os.path.realpath(shutil.which("lua")) not in binaries:
    LUAS.append("lua")  # mostly it is one of them under another name
LIBRARIES = ("cjson", "dkjson")

PREAMBLE = f"package.path = [[{BINDING}/?.lua;]] .. package.path\n"


class LuaTest(unittest.TestCase):
    def run_lua(self, lua, *arguments, cwd=ROOT, key=None):
        """Run an interpreter to its end, with GYM_HTTP_API_KEY as `key`."""
        clean = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
        environ = {**clean, "GYM_HTTP_API_KEY": key} if key else clean
        return subprocess.run(
            [lua, *arguments], cwd=cwd, env=environ, capture_output=True, text=True, timeout=300
        )

    def output(self, lua, *arguments, **options):
        """What a program printed, which has to end well."""
        done = self.run_lua(lua, *arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def need(self, lua, *modules):
        """Skip the test, in CI fail it, where the interpreter or a module of its is missing."""
        lacking = None
        if shutil.which(lua) is None:
            lacking = f"{lua} is not installed"
        else:
            for module in ("socket.http", *modules):
                if self.run_lua(lua, "-e", f"require('{module}')").returncode:
                    lacking = f"{lua} can't load {module}"
        if lacking and os.environ.get("CI"):
            self.fail(lacking)
        if lacking:
            self.skipTest(lacking)


class Calls(LuaTest):
    @params(*product(LUAS, LIBRARIES))
    def test_the_client_on_a_server(self, lua, library):
        self.need(lua, library)
        with ServerProcess() as server:
            directory = str(server.home / "recordings")
            script = str(BINDING / "test_client.lua")
            said = self.output(lua, script, server.url, library, directory)
            self.assertRegex(said, r"^ok [1-9]\d* checks\n$")
            self.assertEqual(server.wait(), 0)  # it ends with shutdown_server

    @params(*product(LUAS, LIBRARIES))
    def test_the_client_with_odd_servers(self, lua, library):
        self.need(lua, library)
        with odd_server() as url:
            script = str(BINDING / "test_odd.lua")
            said = self.output(lua, script, shared_server().url, url, library)
        self.assertRegex(said, r"^ok [1-9]\d* checks\n$")

    @params(*product(LUAS, LIBRARIES))
    def test_the_trajectory_is_that_of_the_python_client(self, lua, library):
        self.need(lua, library)
        url = shared_server().url
        said = self.output(lua, "-e", PREAMBLE + TRAJECTORY % (url, library))
        with Client(url) as client:
            pendulum = client.env_create("Pendulum-v1")
            expected = [*client.env_reset(pendulum, seed=5)]
            for _ in range(30):
                observation, reward, *_ = client.env_step(pendulum, [0.1234567890123456789])
                expected += [*observation, reward]
            made = client.env_rollout(pendulum, [[0.1], [-1 / 3]])
            expected += [*made["observations"][0], *made["observations"][1], *made["rewards"]]
            client.env_close(pendulum)
        self.assertEqual([float(number) for number in said.split()], expected)

    @params(*LUAS)
    def test_it_has_the_methods_of_the_python_client(self, lua):
        self.need(lua, "dkjson")
        said = self.output(lua, "-e", PREAMBLE + METHODS)
        public = {name for name, _ in inspect.getmembers(Client, inspect.isfunction)}
        endpoints = {name for name in public if not name.startswith("_")} - {"close"}
        self.assertEqual(set(said.split()), endpoints)

    def test_the_test_fails_where_the_client_does(self):
        """That `output` would notice."""
        lua = next((lua for lua in LUAS if shutil.which(lua)), LUAS[0])
        self.need(lua, "dkjson")
        done = self.run_lua(lua, str(BINDING / "test_client.lua"), "http://127.0.0.1:1", "dkjson")
        self.assertEqual(done.returncode, 1)
        self.assertIn("failed: ", done.stderr)


class Tokens(LuaTest):
    @params(*LUAS)
    def test_which_is_sent(self, lua):
        """By a client without an option, with one, with an empty one, and with one that is none."""
        self.need(lua, "dkjson")
        program = PREAMBLE + TOKENS % (TOKEN, guarded_server().url)
        for variable, codes in (
            (TOKEN, "works works unauthorized bad_value"),
            ("another", "unauthorized works unauthorized bad_value"),
            ("", "unauthorized works unauthorized bad_value"),
        ):
            with mock.patch.dict(os.environ, {"GYM_HTTP_TOKEN": variable}):
                self.assertEqual(self.output(lua, "-e", program).split(), codes.split())


class Readme(LuaTest):
    @params(*LUAS)
    def test_its_programs_run(self, lua):
        self.need(lua, "dkjson")
        programs = re.findall(r"```lua\n(.*?)```", (BINDING / "README.md").read_text(), re.S)
        self.assertTrue(programs)
        for program in programs:
            self.assertIn("http://127.0.0.1:5000", program)
            here = program.replace("http://127.0.0.1:5000", shared_server().url)
            self.output(lua, "-e", PREAMBLE + here)

    def test_its_table_has_every_call(self):
        readme, client = (
            (BINDING / name).read_text() for name in ("README.md", "gym_http_client.lua")
        )
        rows = re.findall(r"^\| `(\w+)\(", readme, re.M)
        self.assertEqual(rows, re.findall(r"^function Client:(\w+)", client, re.M))


class ExampleAgent(LuaTest):
    def agent(self, lua, library, *arguments, script=BINDING / "example_agent.lua", **options):
        """Run the example where `library` is the only one."""
        other = next(name for name in LIBRARIES if name != library)
        hide = f"package.preload['{other}'] = function() error('hidden') end"
        return self.run_lua(lua, "-e", hide, str(script), *arguments, **options)

    @params(*product(LUAS, LIBRARIES))
    def test_it_prints_its_line_of_the_scoreboard(self, lua, library):
        self.need(lua, library)
        url, key = shared_server().url, f"{lua} {library}"
        with tempfile.TemporaryDirectory() as directory:
            for cwd, script, episodes in (
                (ROOT, "binding-lua/example_agent.lua", "100"),
                (BINDING, "example_agent.lua", "1"),
                (directory, BINDING / "example_agent.lua", "2"),
            ):
                arguments = ["--url", url, "--env-id", "Blackjack-v1", "--episodes", episodes]
                arguments += ["--directory", directory]
                done = self.agent(lua, library, *arguments, script=script, cwd=cwd, key=key)
                with Client(url) as client:
                    mine = max(client.scoreboard("Blackjack-v1"), key=lambda e: e["entry_id"])
                self.assertEqual(done.stdout, example_agent.line(mine) + "\n", done.stderr)
                self.assertEqual(mine["number_episodes"], int(episodes))
                self.assertEqual(mine["mean"] is None, episodes != "100")
                self.assertIn(f"{episodes}/{episodes} episodes", done.stderr)
                self.assertEqual(done.returncode, 0)

    @params(*LUAS)
    def test_it_says_what_is_wrong(self, lua):
        self.need(lua, "dkjson")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        for arguments, reason in (
            (["--url", nobody], f"nothing answers at {nobody}; is the server running?"),
            (["--url", "localhost"], "the server's URL is"),
            (["--url", shared_server().url, "--env-id", "No-v0"], "the server refused: Attempted"),
            (["--episodes", "many"], "--episodes takes a number"),
            (["--episode", "1"], "what is --episode?"),
            (["--url"], "what is --url?"),
        ):
            with self.subTest(arguments):
                done = self.agent(lua, "dkjson", *arguments)
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertTrue(done.stderr.startswith(reason), done.stderr)


TOKENS = """
local gym = require("gym_http_client")
for _, options in ipairs({ {}, { token = "%s" }, { token = "" }, { token = "a\\r\\nX: b" } }) do
  options.json = "dkjson"
  local client, _, code = gym.new("%s", options)
  if client then _, _, code = client:env_list_all() end
  print(code or "works")
end
"""

TRAJECTORY = """
local client = assert(require("gym_http_client").new("%s", { json = "%s" }))
local function show(numbers)
  for _, number in ipairs(numbers) do print(("%%.17g"):format(number)) end
end
local pendulum = assert(client:env_create("Pendulum-v1"))
show(client:env_reset(pendulum, { seed = 5 }))
for _ = 1, 30 do
  local observation, reward = client:env_step(pendulum, { 0.1234567890123456789 })
  show(observation)
  show({ reward })
end
local made = assert(client:env_rollout(pendulum, { { 0.1 }, { -1 / 3 } }))
show(made.observations[1])
show(made.observations[2])
show(made.rewards)
assert(client:env_close(pendulum))
"""

METHODS = """
local client = assert(require("gym_http_client").new("http://127.0.0.1"))
for name, value in pairs(getmetatable(client).__index) do
  if type(value) == "function" then print(name) end
end
"""


class odd_server:
    """A context manager: the URL of a server that is none of ours."""

    def __enter__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), OddReplies)
        self.server.ended = threading.Event()
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *exception):
        self.server.ended.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class OddReplies(BaseHTTPRequestHandler):
    """What is asked of an instance says what happens."""

    def do_POST(self):
        numbered = self.rfile.read(int(self.headers["Content-Length"])).decode()
        body = re.sub(r',?"client_id":"[^"]+"|,?"seq":\d+', "", numbered)
        headers = {name.lower(): value for name, value in self.headers.items()}
        about = {"path": self.path, "body": body, "headers": headers}
        if "/echo" in self.path:
            self.reply({"observation": json.loads(body)["action"], "info": about})
        else:
            nulls = {"a": None, "b": [1, None, 2, [None]], "c": {"d": None}, "body": body}
            self.reply({"observation": None, "info": nulls})

    def do_GET(self):
        match self.path.split("/")[3]:
            case "silent":
                self.server.ended.wait()
            case "late":
                self.reply({"message": "too late"}, 408)
            case "cut":
                self.reply({}, length=100)
            case "fold":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nName: a\r\n b\r\n")
            case "ssh":
                self.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n")
            case "moved":
                self.reply({}, 302, location=shared_server().url + "/v1/envs/")
            case "proxy":
                self.reply("<html>", 502)
            case "page":
                self.reply("<html>")
            case "one":
                self.reply("{}" if "action" in self.path else "1")

    def reply(self, body, status=200, length=None, location=None):
        sent = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(length or len(sent)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *args):
        pass
