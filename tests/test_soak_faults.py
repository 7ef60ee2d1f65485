"""benchmarks/faults.py in short, and that it finds what it looks for."""

import os
import subprocess
import sys
import unittest
from dataclasses import replace
from pathlib import Path

from nose2.tools import params

from benchmarks.errands import Errand, Run, Talk, Wrong
from benchmarks.faults import Course, Quiet, Soak
from tests.marked import MARK, MarkedServer
from tests.support import ROOT, eventually
from tests.walk import CODES


@unittest.skipUnless(Path("/proc/self/smaps_rollup").exists(), "needs Linux's /proc")
class Short(unittest.TestCase):
    def test_a_short_one_finds_nothing(self):
        options = ("--minutes", "0.15", "--clients", "5", "--rounds", "1")
        ended = subprocess.run(
            [sys.executable, "-m", "benchmarks.faults", *options],
            capture_output=True,
            text=True,
            timeout=180,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        self.assertIn("backend_lost", ended.stdout)


class Found(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = MarkedServer("--backend", "process")
        cls.addClassCleanup(cls.server.stop)

    def run_one(self, errand, twin=None, code=None):
        talk = Talk(self.server.address)
        self.addCleanup(talk.close)
        run = Run(errand, talk, self.server.mark)
        if twin is not None:
            run.twin = twin
        if code is not None:
            before = CODES[errand.how]
            self.addCleanup(CODES.__setitem__, errand.how, before)
            CODES[errand.how] = code
        return run.run()

    def test_what_is_as_it_should_be(self):
        for how, code in (("", ""), ("exits", "backend_lost"), ("raises", "env_failed")):
            self.assertEqual(self.run_one(Errand(3, how, at=4)), code)

    def test_another_trajectory(self):
        other = Run(Errand(3), None, "").twin
        reset = other.reset
        other.reset = lambda seed=None: reset(seed=seed and seed + 1)
        with self.assertRaisesRegex(Wrong, "isn't its twin's"):
            self.run_one(Errand(3), twin=other)

    def test_what_does_not_happen(self):
        with self.assertRaisesRegex(Wrong, "step 4 was made"):
            self.run_one(Errand(3, "prints", at=4), code="backend_lost")

    @params("raises", "exits")
    def test_another_code(self, how):
        with self.assertRaisesRegex(Wrong, f"{how}, step: step was answered"):
            self.run_one(Errand(3, how, at=4), code="timeout" if how == "raises" else "env_failed")

    def test_no_reply(self):
        talk = Talk(("127.0.0.1", 1))
        with self.assertRaisesRegex(Wrong, "no reply to POST"):
            Run(Errand(3), talk, "").run()

    @unittest.skipUnless(Path("/proc/self/smaps_rollup").exists(), "needs Linux's /proc")
    def test_a_process_that_is_left(self):
        soak = Soak(self.server, 1, 0)
        soak._quiet(0.0, settle_s=0.1)
        before = self.server.processes()
        with subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: self.server.mark}) as left:
            eventually(lambda: left.pid in self.server.processes() - before)
            soak._quiet(1.0, settle_s=0.1)
            left.kill()
        self.assertRegex(str(soak.course.troubles()), "left 1 s .*: 1 processes: .*sleep 60")

    def test_growth(self):
        first = Quiet(2.0, 9, 5, 17, 20, 0, 70.0, 160.0)
        flat = Course([first, first, replace(first, after_s=10.0, memory_mib=72.0)])
        self.assertEqual(flat.troubles(), [])
        grown = Course(
            [first, *flat.quiet, replace(first, after_s=10.0, memory_mib=79.0, threads=30)]
        )
        self.assertEqual(
            grown.troubles(),
            [
                "memory_mib: 9.0 MiB more since the first fifth",
                "10 threads more since the first fifth",
            ],
        )
