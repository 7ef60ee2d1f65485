"""The conformance kit: the bundled clients are certified, and what is wrong with others is told."""

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from click.testing import CliRunner
from nose2.tools import params

from gym_http.cli import main
from gym_http.fake_server.certifying import by_driver
from gym_http.fake_server.report import line
from gym_http.fake_server.script import LEVELS, BadScript, chosen, find, read
from tests.support import ROOT
from tests.test_lua import LuaTest

KIT = ROOT / "conformance"
PYTHON = f"{sys.executable} {KIT}/drivers/python_client.py"
LUA = f"{KIT}/drivers/lua_client.lua"
PLAIN = f"{sys.executable} {ROOT}/tests/plain_driver.py"
IN_JSON = tuple(level for level in LEVELS if level != "messagepack")


def outcomes(command, levels=LEVELS, names=(), timeout_s=10):
    return list(by_driver(chosen(find([KIT]), levels, names), command, timeout_s))


CERTIFIED = {
    "python": (PYTHON, IN_JSON),
    "messagepack": (f"{PYTHON} --msgpack", ("core", "errors", "spaces", "rollout", "messagepack")),
    # One that was written for the kit, and has nothing in common with the others.
    "plain": (PLAIN, ("core", "errors", "connections", "exactly-once", "access")),
    "lua5.4 cjson": (f"lua5.4 {LUA} cjson", IN_JSON),
    **{
        lua: (f"{lua.split()[0]} {LUA} {lua.split()[1]}", ("core", "errors", "spaces"))
        for lua in ("lua5.1 dkjson", "lua5.2 cjson", "lua5.3 dkjson", "luajit cjson")
    },
}


class Certified(LuaTest):
    @classmethod
    def setUpClass(cls):
        """Each takes seconds, most of which it waits: they run at once."""
        with ThreadPoolExecutor(len(CERTIFIED)) as pool:
            cls.found = {
                client: pool.submit(outcomes, *how)
                for client, how in CERTIFIED.items()
                if shutil.which(how[0].split()[0])
            }

    @params(*CERTIFIED)
    def test_the_client(self, client):
        if "lua" in client:
            self.need(client.split()[0], client.split()[1], "dkjson")
        found = self.found[client].result()
        self.assertEqual([line(one) for one in found if not one.passed], [])
        self.assertEqual({one.level for one in found}, set(CERTIFIED[client][1]))


class Wrong(unittest.TestCase):
    """What a bad client does wrong is found where it is to be, and told."""

    def told(self, way, name, timeout_s=10):
        (outcome,) = outcomes(f"{PLAIN} {way}", names=(name,), timeout_s=timeout_s)
        self.assertFalse(outcome.passed)
        return line(outcome)

    @params(
        (
            "repeats_with_a_new_number",
            "lost-reply",
            'the same body as before: {"action": 1, "seq": 2',
        ),
        ("repeats_with_a_new_number", "lost-reset", "the same body as before"),
        ("gives_up", "lost-in-the-body", "POST /v1/envs/3c657dbc/step/, the same once more"),
        ("repeats_blindly", "a-server-without-numbers", "no further request"),
        ("repeats_blindly", "a-server-without-health", "no further request"),
        ("never_counts", "exactly-once/numbers", "body.seq = 2"),
        ("never_counts", "failed-takes-the-number", "body.seq = 2"),
        ("changes_its_client_id", "exactly-once/numbers", "the client_id that it had"),
        ("makes_two", "cut-before", "no further request"),
        ("makes_two", "cut-by-a-reset", "no further request"),
        ("takes_half_a_reply", "cut-in-the-body", "an error: connection"),
        ("takes_half_a_reply", "a-reply-that-is-cut", "an error: any"),
        ("keeps_stale_bytes", "doubled", "value.observation"),
        ("keeps_stale_bytes", "closed-silently", "GET /v1/envs/"),
        ("ignores_the_code", "bad-value", "error.code = bad_value"),
        ("takes_null_for_zero", "core/numbers-that-json-lacks", "value.observation[0] = null"),
        ("takes_null_for_zero", "nan-anywhere", "value.observation[0][1] = null"),
        ("sends_no_content_type", "create", "Content-Type: application/json"),
        ("escapes_nothing", "an-id-is-escaped", "an HTTP/1.1 request"),
        ("forgets_the_token", "a-token", "Authorization: Bearer s3cret.token-1"),
        ("rounds", "doubles-arrive-as-they-are", "body.action[1] = -0.3333333333333333"),
        ("chatters", "create", "an answer from the driver"),
        ("crashes", "step", "an answer from the driver"),
        ("right", "info", "a client that has this call (or leave out its level)"),
    )
    def test_it_is_told(self, way, name, expected):
        self.assertIn(f"expected {expected}", self.told_as_expected(way, name))

    def told_as_expected(self, way, name):
        return re.sub(r"expected POST \S+ with ", "expected ", self.told(way, name))

    def test_a_hang(self):
        self.assertIn("came     no answer within 0.5 s", self.told("hangs", "step", 0.5))

    def test_what_a_driver_said_at_its_end(self):
        self.assertIn("it has ended; it said: out of cheese", self.told("crashes", "step"))

    def test_no_driver(self):
        (outcome,) = outcomes("no-such-program", names=("create",))
        self.assertIn("it can't be started", line(outcome))

    def test_the_next_scenario_has_a_driver_again(self):
        found = outcomes(f"{PLAIN} crashes", names=("step", "close", "list"))
        self.assertEqual([(one.name, one.passed) for one in found],
                         [("list", True), ("step", False), ("close", True)])  # fmt: skip

    def test_two_clients_of_one_id(self):
        """Each client of this driver's has the same."""
        with tempfile.TemporaryDirectory() as directory:
            source = (ROOT / "tests" / "plain_driver.py").read_text()
            path = Path(directory) / "driver.py"
            path.write_text(
                source.replace(
                    "= secrets.token_hex(8)\n        self.num", '= "me"\n        self.num'
                )
            )
            (outcome,) = outcomes(f"{sys.executable} {path}", names=("two-clients",))
        self.assertIn("a client_id of its own", line(outcome))


class Command(unittest.TestCase):
    def run_kit(self, *arguments):
        return CliRunner().invoke(main, ["fake-server", *map(str, arguments)])

    def test_a_report(self):
        with tempfile.TemporaryDirectory() as directory:
            report = Path(directory) / "report.json"
            options = ["--drive", f"{PLAIN} ignores_the_code", "--report", report]
            done = self.run_kit(KIT, *options, "--only", "bad-value", "--only", "create")
            told = json.loads(report.read_text())
        self.assertEqual(done.exit_code, 1)
        self.assertIn("ok    core/create\nFAIL  errors/bad-value\n", done.output)
        self.assertIn("1 of 2 scenarios passed", done.output)
        self.assertEqual(told["passed"], False)
        self.assertEqual(told["levels"]["core"], {"passed": 1, "of": 1})
        (problem,) = told["scenarios"][1]["problems"]
        self.assertEqual(problem["during"], 'env_step(instance_id="3c657dbc", action=2)')
        self.assertEqual(problem["expected"], "error.code = bad_value")
        self.assertIn('"code": "failed"', problem["came"])

    def test_a_file_by_level(self):
        options = ["--drive", PLAIN, "--level", "access"]
        done = self.run_kit(KIT / "scenarios" / "access.json", *options)
        self.assertEqual(done.exit_code, 0, done.output)
        self.assertIn("access        8 of 8", done.output)

    def test_list(self):
        done = self.run_kit("--list")
        self.assertEqual(done.exit_code, 0)
        every = sum(len(script.scenarios) for script in find([KIT]))
        self.assertEqual(len(done.output.splitlines()), every)

    @params(
        (["--level", "hard"], "--level hard: there are core, errors"),
        (["--only", "nothing"], "--only nothing: there is no such scenario"),
        (["--level", "core", "--only", "bad-value"], "no scenario is left"),
        (["nowhere"], "does not exist"),
        ([KIT / "schema"], "exchanges.json: Object contains unknown field"),
        ([KIT / "schema" / "scenarios.json"], "scenarios.json: "),
        ([KIT / "drivers"], "there are no scripts"),
        ([KIT / "README.md"], "JSON is malformed"),
    )
    def test_what_it_refuses(self, arguments, reason):
        done = self.run_kit(*arguments, "--drive", PLAIN)
        self.assertNotEqual(done.exit_code, 0)
        self.assertIn(reason, done.output)

    def test_by_hand(self):
        """Without a driver: here curl is the client."""
        command = [sys.executable, "-c", "from gym_http.cli import main; main()", "fake-server"]
        with subprocess.Popen(
            [*command, str(KIT), "--only", "close", "--only", "no-content"],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
        ) as served:  # fmt: skip
            self.addCleanup(served.kill)
            for expected in ("core/close", "connections/no-content"):
                announced = served.stdout.readline()
                self.assertIn(expected, announced)
                url = announced.split()[0]
                for call in ("close", "monitor/close", "")[: 1 if "core" in expected else 3]:
                    self.assertIn("  call env_", served.stdout.readline())
                    path = f"/v1/envs/{'3c657dbc/' if call else ''}{call}"
                    post = ["-X", "POST"] if call else []
                    curl = ["curl", "-s", "-w", "%{http_code}", *post, url + path]
                    said = subprocess.run(curl, capture_output=True, text=True).stdout
                    self.assertEqual(
                        said[-3:], "200" if expected == "core/close" or not call else "204"
                    )
                self.assertIn(f"ok    {expected}", served.stdout.readline())
            self.assertIn("2 of 2", served.stdout.read())
            self.assertEqual(served.wait(10), 0)

    def test_by_hand_what_is_wrong(self):
        command = [sys.executable, "-c", "from gym_http.cli import main; main()", "fake-server"]
        with subprocess.Popen(
            [*command, str(KIT), "--only", "close"], stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as served:
            self.addCleanup(served.kill)
            url = served.stdout.readline().split()[0]
            served.stdout.readline()
            curl = ["curl", "-s", f"{url}/v1/envs/"]
            said = json.loads(subprocess.run(curl, capture_output=True).stdout)
            self.assertEqual(said["code"], "not_in_script")
            self.assertIn("FAIL  core/close", served.stdout.read())
            self.assertEqual(served.wait(10), 1)

    def test_ctrl_c_reports(self):
        with tempfile.TemporaryDirectory() as directory:
            report = Path(directory) / "report.json"
            command = [sys.executable, "-c", "from gym_http.cli import main; main()"]
            options = ["--drive", f"{PLAIN} hangs", "--report", str(report)]
            with subprocess.Popen(
                [*command, "fake-server", *options, "--only", "list", "--only", "step"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
            ) as running:  # fmt: skip
                self.assertIn("ok    core/list", running.stdout.readline())
                running.send_signal(signal.SIGINT)
                running.stdout.read()
            self.assertEqual(running.wait(10), 1)
            self.assertEqual(len(json.loads(report.read_text())["scenarios"]), 1)


class Scripts(unittest.TestCase):
    def test_every_level_has_some(self):
        self.assertEqual([script.level for script in find([KIT])], list(LEVELS))

    def test_names_are_unique_in_a_level(self):
        for script in find([KIT]):
            names = [scenario.name for scenario in script.scenarios]
            self.assertEqual(len(names), len(set(names)), script.level)

    @params(
        ('{"about": "", "level": "core"}', "missing required field `scenarios`"),
        ('{"about": "", "level": "hard", "scenarios": []}', "Invalid enum value 'hard'"),
        ('{"about": "", "level": "core", "scenario": []}', "unknown field `scenario`"),
        ('{"about": "", "level": "core", "scenarios": [{"name": "a b", "about": "", "steps": []}]}',
         "$.scenarios[0].name"),
        ('{"about": "", "level": "core", "scenarios": [{"name": "a", "about": "", "steps": '
         '[{"call": "x", "gives": [{}]}]}]}', "gives one of done, value, has, error"),
        ("{NaN}", "JSON is malformed"),
        ("[]", "Expected `object`"),
    )  # fmt: skip
    def test_what_is_wrong_with_a_file_is_told(self, text, reason):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "script.json"
            path.write_text(text)
            with self.assertRaises(BadScript) as caught:
                read(path)
        self.assertIn(reason, str(caught.exception))
        self.assertIn(str(path), str(caught.exception))


class Page(unittest.TestCase):
    def test_its_driver_is_the_one_that_is_certified(self):
        page = (KIT / "README.md").read_text()
        (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
        self.assertEqual(code, (KIT / "drivers" / "python_client.py").read_text())

    def test_it_names_every_level_and_every_call(self):
        page = (KIT / "README.md").read_text()
        levels = page.partition("## Levels")[2].partition("\n## ")[0]
        self.assertEqual(re.findall(r"^\| `([\w-]+)` \|", levels, re.M), list(LEVELS))
        calls = set(re.findall(r"^\| `(\w+)\(", page, re.M))
        used = {
            step.call for script in find([KIT]) for one in script.scenarios for step in one.steps
        }
        self.assertEqual(calls, used | {"new_client"})

    def test_every_argument_is_told(self):
        page = (KIT / "README.md").read_text()
        rows = dict(re.findall(r"^\| `(\w+)\(([^`]*)\)`", page, re.M))
        for script in find([KIT]):
            for scenario in script.scenarios:
                for step in scenario.steps:
                    for name in step.arguments:
                        if (step.call, rows[step.call][-1:]) != ("env_create", "…"):
                            self.assertRegex(rows[step.call], rf"\b{name}\b", step.call)


class Installed(unittest.TestCase):
    def test_the_scripts_are_installed(self):
        """That a wheel has them, where the command looks for them."""
        if shutil.which("git") is None or not (ROOT / ".git").exists():
            self.skipTest("not a checkout")
        text = (ROOT / "pyproject.toml").read_text()
        for directory in ("scenarios", "exchanges", "schema", "drivers"):
            self.assertIn(f'"share/gym-http/conformance/{directory}"', text)
