"""benchmarks/soak.py in short, and that it finds what it looks for."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import gymnasium
from nose2.tools import params

from benchmarks.servers import gym_http
from benchmarks.soak import LOADS, STEPS_AN_INSTANCE, Wrong, check_steps, soak
from gym_http_client import Client
from tests.custom_envs import Odd
from tests.support import ROOT

IMPORTED = ("--import", "tests.test_soak")
KEEPING = LOADS[2]


class Leaking(Odd):
    """Leaves something behind in each step."""

    left: list = []  # by all instances

    def __init__(self, leave, length=1000):
        super().__init__(length=length)
        self.leave = leave

    def step(self, action):
        self.left.append(self.leave())
        return super().step(action)


def memory():
    return bytearray(b"x" * 30_000)


def file():
    return Path(__file__).open()


def thread():
    threading.Thread(target=threading.Event().wait, daemon=True).start()


def failure():
    if len(Leaking.left) == 30:
        raise RuntimeError("thirty are enough")


for _leave in (memory, file, thread, failure):
    _env_id = f"Leaking-{_leave.__name__}-v0"
    if _env_id not in gymnasium.registry:
        gymnasium.register(_env_id, Leaking, kwargs={"leave": _leave})


@unittest.skipUnless(Path("/proc/self/smaps_rollup").exists(), "needs Linux's /proc")
class Soak(unittest.TestCase):
    def command(self, *arguments):
        return subprocess.run(
            [sys.executable, "-m", "benchmarks.soak", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def test_a_short_one_finds_nothing(self):
        steps = 1000
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch, "soak.json")
            ended = self.command("--steps", str(steps), "--out", str(out))
            self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
            loads = json.loads(out.read_text())["loads"]
        self.assertEqual([load["troubles"] for load in loads], [[]] * len(LOADS))
        calls = [steps, steps, steps, steps // STEPS_AN_INSTANCE]
        # Of those that the server closed, the client's ports don't wait; but some looked at it.
        self.assertLess(loads[0]["waiting_ports"], 10)
        self.assertGreater(loads[1]["waiting_ports"], steps // 2)
        self.assertEqual([load["samples"][-1]["after"] for load in loads], calls)

    @params(
        ("memory", "MiB of memory more"),
        ("file", "open files more"),
        ("thread", "threads more"),
    )
    def test_what_grows_is_told(self, leaves, told):
        course = soak(KEEPING, 150, *IMPORTED, env_id=f"Leaking-{leaves}-v0")
        self.assertIn(told, ", ".join(course.troubles()))

    def test_what_fails_is_told_and_is_the_exit_code(self):
        ended = self.command(
            "--load", "3", "--steps", "100", *IMPORTED, "--env", "Leaking-failure-v0"
        )
        self.assertEqual(ended.returncode, 1, ended.stderr)
        self.assertIn("after call 30 or later: ServerError: ", ended.stdout)

    def test_lost_and_repeated_steps_are_noticed(self):
        with gym_http() as server, Client(server.url) as client:
            instance_id = client.env_create("CartPole-v1")
            client.env_reset(instance_id)
            client.env_step(instance_id, 0)
            check_steps(server, 1)
            for asked in (0, 2):
                with self.assertRaisesRegex(Wrong, f"^{asked} steps were asked for, 1 were made"):
                    check_steps(server, asked)


del _leave, _env_id
