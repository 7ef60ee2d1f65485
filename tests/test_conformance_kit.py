"""The kit beside its verdicts: the command, its scripts, its page."""

import json
import re
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import msgspec
from click.testing import CliRunner
from nose2.tools import params

from gym_http.cli import main
from gym_http.fake_server.player import Player
from gym_http.fake_server.script import LEVELS, BadScript, find, read
from gym_http.fake_server.values import differences, plain, with_arrays
from gym_http.web.routes import ROUTES
from gym_http.web.schema import ErrorReply
from tests.support import ROOT, exchange
from tests.test_conformance import KIT, PLAIN

ENTRY = [sys.executable, "-c", "from gym_http.cli import main; main()", "fake-server"]


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
        self.assertIn("access        7 of 7", done.output)

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
        (["--timeout", "0"], "'--timeout': 0.0 is not in the range"),
        (["--port", "65536"], "'--port': 65536 is not in the range"),
        (["--report", "/dev/null/r.json"], "--report /dev/null/r.json: there is no such"),
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
        with subprocess.Popen(
            [*ENTRY, str(KIT), "--only", "close", "--only", "no-content"],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
        ) as served:  # fmt: skip
            self.addCleanup(served.kill)
            for expected in ("core/close", "connections/no-content"):
                announced = served.stdout.readline()
                self.assertIn(expected, announced)
                url = announced.split()[0]
                for call in ("close", "")[: 1 if "core" in expected else 2]:
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
        with subprocess.Popen(
            [*ENTRY, str(KIT), "--only", "close"], stdout=subprocess.PIPE, text=True, cwd=ROOT
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
            options = ["--drive", f"{PLAIN} hangs", "--report", str(report)]
            with subprocess.Popen(
                [*ENTRY, *options, "--only", "list", "--only", "step"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
            ) as running:  # fmt: skip
                self.assertIn("ok    core/list", running.stdout.readline())
                running.send_signal(signal.SIGINT)
                running.stdout.read()
            self.assertEqual(running.wait(10), 1)
            self.assertEqual(len(json.loads(report.read_text())["scenarios"]), 1)


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
    def test_each_file_is(self):
        """A wheel of ours has it, where the command looks for it."""
        text = (ROOT / "pyproject.toml").read_text()
        listed = text.partition("[tool.setuptools.data-files]")[2].partition("\n[")[0]
        rows = re.findall(r'^"share/gym-http/(\S+)" = \[(.*)\]$', listed, re.M)
        self.assertEqual(rows[0][0], "conformance")
        there = {
            path
            for directory, patterns in rows
            for pattern in re.findall(r'"(.*?)"', patterns)
            for path in ROOT.glob(pattern)
            if path.parent == ROOT / directory
        }
        files = {path for path in KIT.rglob("*") if path.is_file() and path.suffix != ".pyc"}
        self.assertEqual(files, there)


class Scripts(unittest.TestCase):
    def test_every_level_has_some(self):
        self.assertEqual(list(dict.fromkeys(x.level for x in find([KIT]))), list(LEVELS))

    def test_the_first_levels_make_the_calls_of_the_first(self):
        """A client without recordings, say, can be certified for connections."""
        calls = {level: set() for level in LEVELS}
        for script in find([KIT]):
            calls[script.level] |= {step.call for one in script.scenarios for step in one.steps}
        for level in ("errors", "connections", "exactly-once", "access"):
            self.assertLessEqual(calls[level] - {"new_client"}, calls["core"], level)

    def test_names_are_unique_in_a_level(self):
        names = [(script.level, one.name) for script in find([KIT]) for one in script.scenarios]
        self.assertEqual(len(names), len(set(names)))

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


class Stale(unittest.TestCase):
    def test_the_scripts_are_of_this_protocol(self):
        """What their requests and replies are made of is what the server's are."""
        checked = 0
        for script in find([KIT]):
            for scenario in script.scenarios:
                for one in [x for step in scenario.steps for x in step.exchanges]:
                    path = one.expect.path.partition("?")[0].rstrip("/") + "/"
                    if one.expect.value is not msgspec.UNSET:
                        path += "x/"
                    route = next((x for x in ROUTES if self.is_of(x, one, path)), None)
                    with self.subTest(level=script.level, scenario=scenario.name):
                        if path == "/nowhere/":
                            continue
                        self.assertIsNotNone(route, path)
                        checked += self.check(route, one)
        self.assertGreater(checked, 200)

    def is_of(self, route, one, path):
        pattern = re.sub(r"<path:\w+>", ".+", route.path)
        pattern = re.sub(r"<\w+>", "[^/]+", pattern)
        return route.method == one.expect.method and re.fullmatch(pattern, path)

    def check(self, route, one):
        checked = 0
        sent, reply = one.expect.body, one.reply
        if isinstance(sent, dict) and isinstance(route.body, type) and route.body is not dict:
            msgspec.convert(sent, route.body)
            self.assertLessEqual(sent.keys(), {x.name for x in msgspec.structs.fields(route.body)})
        if reply.body is not msgspec.UNSET:
            kind = route.reply if reply.status == 200 else ErrorReply
            if reply.status == 200 or "code" in reply.body:
                msgspec.convert(plain(with_arrays(reply.body)), kind)
                checked += 1
        return checked


class Values(unittest.TestCase):
    """What languages agree on, and what they needn't."""

    @params(
        (1, 1.0), (1.0, 1), (0.1, 0.10000000149), ([], {}), ({}, []), (None, float("nan")),
        (None, "NaN"), (1e100, "Infinity"), (1e100, float("inf")), ("NaN", None),
        ({"a": [1, {"b": None}]}, {"a": [1.0, {"b": None}]}), (-0.0, 0.0), (5e-324, 5e-324),
        (2**63 - 1, 2.0**63),
    )  # fmt: skip
    def test_the_same(self, expected, came):
        self.assertEqual(list(differences(expected, came, "value")), [])

    @params(
        (1, True), (0, False), (False, 0), (None, 0), (None, []), (None, "null"), (None, 1e100),
        (1, "1"), ("1", 1), (0, None), ([1], 1), ([1], [1, 1]), ([None], [0]), ({"a": 1}, {}),
        ({"a": 1}, {"a": 1, "b": 1}), ({}, {"a": 1}), (1e100, -1e100), (1e100, "-Infinity"),
        (0.1, 0.1001), (2**53, 2**53 - 1), (2**63 - 1, -(2**63)), (5e-324, 0.0), ("NaN", 0),
        ("", None), (2, 3),
    )  # fmt: skip
    def test_another(self, expected, came):
        self.assertNotEqual(list(differences(expected, came, "value")), [])

    def test_exactly(self):
        single = 0.10000000149011612
        self.assertNotEqual(list(differences(0.1, single, "value", exact=True)), [])
        self.assertEqual(list(differences(0.1, 0.1, "value", exact=True)), [])


class Requests(unittest.TestCase):
    """What HTTP lets a client send."""

    def ask(self, head, body):
        script = read(KIT / "scenarios" / "core.json")
        scenario = next(one for one in script.scenarios if one.name == "step")
        player = Player(scenario)
        self.addCleanup(player.close)
        player.begin("step", scenario.steps[0].exchanges)
        address = ("127.0.0.1", int(player.url.rpartition(":")[2]))
        raw = "POST /v1/envs/3c657dbc/step HTTP/1.1\r\nHost: x\r\n" + "".join(
            f"{line}\r\n" for line in [*head, ""]
        )
        status, _, _ = exchange(address, raw.encode() + body)
        player.finish()
        return status, [problem.expected for problem in player.problems]

    @params(
        ('{"action": 1}', []), ('{"action": 1.0}', []), ('{"action": [1]}', []),
        ('{"action": 1, "render": "false", "instance_id": "x", "seq": null}', []),
        ('{"action": 1, "render": true}', ["no render in the body"]),
        ('{"action": true}', ["body.action = 1"]), ('{"action": "1"}', ["body.action = 1"]),
        ('{}', ["body.action = 1"]), ("null", ["a body that is an object"]),
        ("", ["a body that is an object"]), ("{", ["a body that is an object"]),
    )  # fmt: skip
    def test_a_body(self, text, expected):
        typed = "Content-Type: application/json; charset=utf-8"
        status, wrong = self.ask([typed, f"content-length: {len(text)}"], text.encode())
        self.assertEqual(status, 400 if expected else 200)
        self.assertEqual(len(wrong), len(expected), wrong)
        for one, other in zip(wrong, expected, strict=True):
            self.assertIn(other, one)

    def test_chunks_after_100_continue(self):
        head = ["Content-Type: application/json", "Expect: 100-continue"]
        chunks = b'5\r\n{"act\r\n8\r\nion": 1}\r\n0\r\n\r\n'
        self.assertEqual(self.ask([*head, "Transfer-Encoding: chunked"], chunks), (200, []))

    @params("Content-Type: text/plain", "X-None: 1", "Content-Type: application/octet-stream")
    def test_another_type(self, line):
        status, wrong = self.ask([line, "Content-Length: 13"], b'{"action": 1}')
        self.assertEqual(status, 400)
        self.assertIn("Content-Type: application/json", wrong[0])
