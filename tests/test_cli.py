"""`gym-http`: what its commands print."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from gym_http import __version__
from gym_http.scoreboard.store import Scoreboard
from tests.support import ROOT
from tests.test_scoreboard import a_score


class Commands(unittest.TestCase):
    def run_command(self, *arguments, cwd=ROOT):
        return subprocess.run(
            [sys.executable, "-m", "gym_http", *arguments],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def printed(self, *arguments):
        ended = self.run_command(*arguments)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        return ended.stdout

    def test_help_lists_the_commands(self):
        text = self.printed("--help")
        for command in ("serve", "health", "envs", "scores"):
            self.assertIn(command, text)

    def test_envs(self):
        lines = self.printed("envs", "--import", "tests.custom_envs").splitlines()
        for line in ("CartPole-v1  gymnasium", "CustomOdd-v0  gymnasium", "CartPole-v1  gym"):
            self.assertIn(line, lines)
        self.assertIn("Ant-v2  gymnasium  (needs: gymnasium-robotics, where it has moved)", lines)
        only = self.printed("envs", "--engine", "gym")
        self.assertNotIn("gymnasium", only)

    def test_a_module_in_the_users_own_directory(self):
        text = "import gymnasium\ngymnasium.register('Mine-v0', entry_point=gymnasium.Env)\n"
        with tempfile.TemporaryDirectory() as directory:
            (Path(directory) / "my_envs.py").write_text(text)
            ended = self.run_command("envs", "--import", "my_envs", cwd=directory)
            self.assertIn("Mine-v0  gymnasium\n", ended.stdout, ended.stderr)

    def test_a_module_with_a_mistake(self):
        with tempfile.TemporaryDirectory() as directory:
            (Path(directory) / "mistaken.py").write_text("\n{}['key']\n")
            ended = self.run_command("envs", "--import", "mistaken", cwd=directory)
            self.assertRegex(
                ended.stderr, r"^Error: --import mistaken: KeyError: 'key' \(.*mistaken\.py:2\)\n$"
            )

    def test_scores(self):
        with tempfile.TemporaryDirectory() as directory:
            text = self.printed("scores", "--data-dir", directory)
            self.assertEqual(text.splitlines()[0].partition(":")[0], "No scores yet")
            board = Scoreboard(Path(directory))
            board.add("CartPole-v0", "gym", "dqn", "key", a_score(12.345))
            board.add("CartPole-v0", "gym", None, "key", a_score(None))
            board.close()
            scored, unscored = self.printed("scores", "--data-dir", directory).splitlines()
            self.assertRegex(
                scored,
                r"^CartPole-v0  12\.3[45] ± 0\.50  200 episodes  dqn  [0-9a-f]{8}  [\d-]{10}$",
            )
            self.assertRegex(unscored, r"^CartPole-v0  -  200 episodes  -  ")
            other = self.printed("scores", "--data-dir", directory, "--env-id", "Acrobot-v1")
            self.assertNotIn("CartPole", other)

    def test_mistakes_are_one_line(self):
        for arguments, reason in (
            (["envs", "--engine", "unity"], "Error: engine must be one of gymnasium, gym"),
            (
                ["envs", "--import", "no_such_module"],
                "Error: --import no_such_module: ModuleNotFoundError: No module named",
            ),
            (
                ["envs", "--import", "tests/custom_envs.py"],
                "Error: --import tests/custom_envs.py: give the module's name, without .py",
            ),
            (["scores", "--data-dir", "/dev/null/x"], "Error: the scoreboard can't be used"),
        ):
            with self.subTest(arguments):
                ended = self.run_command(*arguments)
                self.assertEqual(ended.returncode, 1)
                self.assertTrue(ended.stderr.startswith(reason), ended.stderr)

    def test_version(self):
        self.assertTrue(self.printed("--version").endswith(f"version {__version__}\n"))
