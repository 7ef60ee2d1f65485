"""The example agent against a real server, as a user starts it."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from gym_http_client import Client
from tests.support import ROOT, ServerProcess


class ExampleAgent(unittest.TestCase):
    def start(self, *flags):
        return subprocess.run(
            [sys.executable, str(ROOT / "example_agent.py"), *flags],
            capture_output=True,
            text=True,
            timeout=120,
        )

    def test_plays_records_and_scores(self):
        with ServerProcess() as server:
            ended = self.start("--url", server.url)
            self.assertEqual(ended.returncode, 0, ended.stderr)
            self.assertRegex(
                ended.stdout,
                r"^CartPole-v1: best 100-episode mean \d+\.\d\d ± \d\.\d\d, 100 episodes, "
                r"\d+ steps, by random-agent \([0-9a-f]{8}\)\n$",
            )
            self.assertIn("100/100", ended.stderr)  # the progress bar
            with Client(server.url) as client:
                self.assertEqual(client.env_list_all(), {})
                self.assertEqual(len(client.scoreboard("CartPole-v1")), 1)

    def test_its_flags(self):
        with ServerProcess() as server, tempfile.TemporaryDirectory() as directory:
            flags = ["--env-id", "FrozenLake-v0", "--episodes", "3", "--directory", directory]
            ended = self.start("--url", server.url, *flags)
            self.assertEqual(ended.returncode, 0, ended.stderr)
            self.assertRegex(ended.stdout, r"^FrozenLake-v1: no score: .*, 3 episodes")
            self.assertEqual(len(list(Path(directory).glob("openaigym.*"))), 2)

    def test_no_server(self):
        ended = self.start("--url", "http://127.0.0.1:1")
        self.assertEqual(ended.returncode, 1)
        self.assertRegex(ended.stderr, "^nothing answers at http://127.0.0.1:1; .*make serve")
