"""What is there to run the server with, as far as it can be tried without Docker and systemd: it
names files that there are, settings that are known, and a command that is understood.
`make container-test` builds and runs the image (tests/container.py); tests/test_nginx.py has nginx.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import yaml

from gym_http.cli import main
from gym_http.settings import Settings, knobs, variable_of
from tests.support import ROOT

VARIABLES = {variable_of(knob) for knob in knobs()}


def instructions(stage):
    """The Dockerfile's, of its first or last stage: (word, arguments), lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text()).replace("\\\n", " ")
    found = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    starts = [number for number, (word, _) in enumerate(found) if word == "FROM"]
    last = starts[-1]
    return found[starts[0] : last] if stage == "build" else found[last:]


def of(word, stage="last"):
    return [rest for name, rest in instructions(stage) if name == word]


def variables_in(text):
    return set(re.findall(r"\bGYM_HTTP_[A-Z_]+\b", text))


class Dockerfile(unittest.TestCase):
    def test_copies_what_there_is(self):
        """And what .dockerignore lets through; that says everything by name."""
        ignore = (ROOT / ".dockerignore").read_text().splitlines()
        let_in = {line[1:] for line in ignore if line.startswith("!")}
        self.assertIn("*", ignore)
        copied = {path for line in of("COPY", "build") for path in line.split()[:-1]}
        self.assertEqual(copied, let_in)
        for path in copied:
            self.assertTrue((ROOT / path).exists(), path)

    def test_has_all_that_the_package_is_made_of(self):
        copied = {path for line in of("COPY", "build") for path in line.split()[:-1]}
        project = (ROOT / "pyproject.toml").read_text()
        modules = re.search(r"py-modules = \[(.*)\]", project)[1]
        needed = {f"{name}.py" for name in re.findall(r'"(.*?)"', modules)}
        needed |= {name.split("/")[0] for name in re.findall(r'"(conformance/[^"]*)"', project)}
        self.assertGreater(len(needed), 2)
        self.assertLessEqual(needed | {"gym_http"}, copied)

    def test_its_settings_are_known(self):
        environment = dict(pair.split("=", 1) for line in of("ENV") for pair in shlex.split(line))
        told = {name for name in environment if name.startswith("GYM_HTTP_")}
        self.assertTrue(told)
        self.assertLessEqual(told, VARIABLES)
        self.assertEqual(environment["GYM_HTTP_DATA_DIR"], of("VOLUME")[0])
        self.assertEqual(environment["GYM_HTTP_DATA_ROOT"], of("WORKDIR")[0])
        self.assertEqual(environment["GYM_HTTP_LISTEN"], "0.0.0.0")

    def test_nobody_in_it_is_root(self):
        (user,) = of("USER")
        self.assertRegex(user, r"^[1-9]\d*:[1-9]\d*$")
        uid = user.partition(":")[0]
        self.assertIn(f"useradd --uid {uid} ", " ".join(of("RUN")))

    def test_its_command_is_understood(self):
        (entry,), (command,) = of("ENTRYPOINT"), of("CMD")
        words = yaml.safe_load(entry) + yaml.safe_load(command)
        self.assertEqual(words[:2], ["tini", "--"])
        self.check_command(words[2:])
        (check,) = of("HEALTHCHECK")
        self.check_command(yaml.safe_load(check.partition("CMD ")[2]))
        self.assertEqual(of("EXPOSE"), [str(Settings().port)])

    def check_command(self, words):
        self.assertEqual(words[0], "gym-http")
        command = main.commands[words[1]]
        command.make_context(words[1], words[2:])

    def test_installs_from_the_lock_alone(self):
        """And from hashed requirements; the package itself brings nothing, and is built with what
        is there."""
        commands = [part for line in of("RUN", "build") for part in line.split("&&")]
        installs = [line for line in commands if re.search(r" (sync|install) ", line)]
        self.assertEqual(len(installs), 4)
        for line in installs:
            exact = "--frozen" in line or "--require-hashes" in line or "--no-deps" in line
            self.assertTrue(exact, line)
            if " . " in line or "--group build " in line:
                self.assertIn("--no-build-isolation", line)

    def test_pins_its_base(self):
        bases = {line.split()[0] for stage in ("build", "last") for line in of("FROM", stage)}
        self.assertEqual(bases, {"python:${PYTHON}"})
        text = (ROOT / "Dockerfile").read_text()
        self.assertRegex(text, r"(?m)^ARG PYTHON=3\.\d+-slim-[a-z]+$")


class Compose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.text = (ROOT / "compose.yaml").read_text()
        cls.services = yaml.safe_load(cls.text)["services"]

    def test_is_understood(self):
        """By the real thing, which checks names and types of all that is in there."""
        for command in (["docker", "compose"], ["docker-compose"]):
            if shutil.which(command[0]) and not self.run_command([*command, "version"])[0]:
                break
        else:
            self.skipTest("docker compose is not installed")
        with tempfile.TemporaryDirectory() as directory:
            (Path(directory) / "secrets").mkdir()
            for name in ("token", "database_password"):
                (Path(directory) / "secrets" / name).write_text("x")
            shutil.copy(ROOT / "compose.yaml", directory)
            status, said = self.run_command(
                [*command, "-f", f"{directory}/compose.yaml", "config", "--quiet"]
            )
        self.assertEqual(status, 0, said)

    def run_command(self, words):
        ended = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
        return ended.returncode, ended.stderr

    def test_its_settings_are_known(self):
        server = self.services["server"]
        told = {name for name in server["environment"] if name.startswith("GYM_HTTP_")}
        self.assertLessEqual(told, VARIABLES)
        for secret in ("GYM_HTTP_TOKEN_FILE", "GYM_HTTP_SCOREBOARD_PASSWORD_FILE"):
            path = Path(server["environment"][secret])
            self.assertEqual(path.parent, Path("/run/secrets"))
            self.assertIn(path.name, server["secrets"])
        self.assertNotIn("password", server["environment"]["GYM_HTTP_SCOREBOARD_URL"])

    def test_nothing_has_more_than_it_needs(self):
        for name, service in self.services.items():
            with self.subTest(name):
                self.assertTrue(service["read_only"])
                self.assertEqual(service["cap_drop"], ["ALL"])
                self.assertEqual(service["security_opt"], ["no-new-privileges:true"])
                self.assertTrue(service["mem_limit"] and service["pids_limit"])
        self.assertNotIn("ports", self.services["database"])
        self.assertTrue(yaml.safe_load(self.text)["networks"]["inside"]["internal"])
        self.assertEqual(self.services["database"]["networks"], ["inside"])
        (port,) = self.services["server"]["ports"]
        self.assertTrue(port.startswith("${GYM_HTTP_PUBLISH:-127.0.0.1:"), port)

    def test_its_database_driver_is_in_the_image(self):
        extras = self.services["server"]["build"]["args"]["EXTRAS"]
        self.assertIn("postgres", extras)


class Systemd(unittest.TestCase):
    def setUp(self):
        self.text = (ROOT / "deploy" / "gym-http.service").read_text()
        if shutil.which("systemd-analyze") is None:
            self.skipTest("systemd is not installed")

    def analyze(self, *arguments):
        """Of the unit, with a command in it that there is."""
        with tempfile.TemporaryDirectory() as directory:
            unit = Path(directory) / "gym-http.service"
            unit.write_text(self.text.replace("/opt/gym-http/bin/gym-http", sys.executable))
            ended = subprocess.run(
                ["systemd-analyze", *arguments, str(unit)],
                capture_output=True,
                text=True,
                env={**os.environ, "SYSTEMD_COLORS": "0"},
            )
        return ended.returncode, ended.stdout + ended.stderr

    def test_is_understood(self):
        status, said = self.analyze("verify")
        self.assertEqual(status, 0, said)
        self.assertNotIn("gym-http.service:", said)

    def test_may_do_little(self):
        """On systemd's scale from 0 to 10, threshold in tenths."""
        status, said = self.analyze("security", "--offline=true", "--threshold=20", "--no-pager")
        self.assertEqual(status, 0, said[-200:])

    def test_its_commands_are_understood(self):
        commands = re.findall(r"^Exec\w+=/opt/gym-http/bin/gym-http (.*)$", self.text, re.M)
        self.assertEqual(len(commands), 2)
        for line in commands:
            name, *words = shlex.split(line)
            main.commands[name].make_context(name, words)

    def test_its_settings_are_known(self):
        self.assertLessEqual(variables_in(self.text), VARIABLES | {"GYM_HTTP_"})
        self.assertIn("GYM_HTTP_DATA_DIR=%S/gym-http", self.text)


class Page(unittest.TestCase):
    def test_names_settings_that_there_are(self):
        page = (ROOT / "docs" / "deploy.md").read_text()
        of_compose = {"GYM_HTTP_PUBLISH"}
        self.assertLessEqual(variables_in(page), VARIABLES | of_compose)
        for path in re.findall(r"`(deploy/[\w./-]+|compose\.yaml|Dockerfile)`", page):
            self.assertTrue((ROOT / path).exists(), path)
