"""The benchmark runs, and what it writes agrees with itself. How fast anything is isn't tested."""

import importlib.util
import json
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import unittest
from contextlib import closing
from pathlib import Path

import gymnasium
import numpy as np
from PIL import Image

from benchmarks import chart
from benchmarks.baselines.raw_tcp import ENDS, RESET, reply_bytes
from benchmarks.fake_env import FRAMES, Frames
from benchmarks.measuring import Comparison, Measured, at_least, at_most
from benchmarks.raw import BadReply, RawHTTP, RawTCP, post
from benchmarks.rows import ROWS
from benchmarks.servers import baseline
from tests.support import ROOT, create, shared_server

HAS_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None
ROUNDS = 2
WHITE = (255, 255, 255, 255)


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


@unittest.skipUnless(HAS_MATPLOTLIB, "matplotlib is not installed")
class ARun(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.chart, out = Path(scratch.name) / "chart.png", Path(scratch.name) / "results.json"
        flags = ["--launches", "2", "--rounds", "1", "--seconds", "0.02"]
        flags += ["--out", str(out), "--chart", str(cls.chart)]
        cls.ran = run("--rows", "vector,1,parallel", *flags)
        assert cls.ran.returncode == 0, cls.ran.stderr
        cls.results = json.loads(out.read_text("utf-8"))
        cls.lines = cls.results["lines"]

    def test_the_rows_that_were_named_in_the_tables_order(self):
        found = [(line["row"], line["name"], line["pinned"]) for line in self.lines]
        wanted = [(1, "step", True)] * 2 + [(5, "vector", True)] * 3 + [(9, "parallel", False)]
        self.assertEqual(found, wanted)
        self.assertEqual(self.results["not_measured"], {})

    def test_figures_are_plausible(self):
        for line in self.lines:
            least, most = {"µs": (2, 1e5), "steps/s": (20, 1e8)}[line["unit"]]
            for side in ("ours", "theirs"):
                self.assertTrue(least < line[side] < most, line)
        parallel = self.lines[-1]  # a step takes 1 ms at least
        self.assertLess(parallel["theirs"], 1000)
        self.assertLess(parallel["ours"], 8000)

    def test_medians_are_those_of_the_rounds(self):
        for line in self.lines:
            rounds = line["rounds"]
            for side in ("ours", "theirs", "ratio"):
                self.assertEqual(len(rounds[side]), ROUNDS)
                self.assertEqual(line[side], statistics.median(rounds[side]))
            ratios = np.divide(rounds["ours"], rounds["theirs"])
            np.testing.assert_allclose(rounds["ratio"], ratios)

    def test_goals_and_whether_they_are_met(self):
        step, bare, vector, bare_vector, by_client, parallel = self.lines
        self.assertEqual(step["goal"], {"ratio": 3.0, "at_most": True, "reach": 2.0})
        self.assertEqual(step["met"], step["ratio"] <= 3.0)
        self.assertEqual(vector["goal"], {"ratio": 0.45, "at_most": False, "reach": 0.6})
        self.assertEqual(vector["met"], vector["ratio"] >= 0.45)
        for told in (bare, bare_vector, by_client):
            self.assertIs(told["goal"] or told["met"], None)
        self.assertEqual(parallel["met"], parallel["ratio"] >= 7.0)

    def test_facts_of_the_machine(self):
        machine = self.results["machine"]
        self.assertEqual(machine["python"], platform.python_version())
        self.assertEqual(machine["packages"]["gymnasium"], gymnasium.__version__)
        self.assertEqual(machine["packages"]["numpy"], np.__version__)
        self.assertGreaterEqual(machine["cores"], 1)
        self.assertRegex(machine["date"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(self.results["launches"] * self.results["rounds_a_launch"], ROUNDS)

    def test_what_is_printed_is_what_is_written(self):
        _, head, *printed = self.ran.stdout.splitlines()
        self.assertRegex(head, "work .* against .* ours .* theirs .* ratio .* goal .* met")
        self.assertEqual(len(printed), len(self.lines))
        for text, line in zip(printed, self.lines, strict=True):
            self.assertIn(f" {line['work']} ", text)
            self.assertIn(f" {line['baseline']} ", text)
            self.assertIn(f" {line['ratio']:.2f}× ", text)
            met = {None: "", True: " yes ", False: " no "}[line["met"]]
            self.assertIn(met, text)

    def test_the_chart_is_a_picture_on_white(self):
        picture = np.asarray(Image.open(self.chart).convert("RGBA"))
        corners = {tuple(picture[y, x].tolist()) for y in (0, -1) for x in (0, -1)}
        self.assertEqual(corners, {WHITE})
        self.assertTrue((picture[..., 3] == 255).all())


@unittest.skipUnless(HAS_MATPLOTLIB, "matplotlib is not installed")
class AChart(unittest.TestCase):
    def drawn(self, *goals_and_ratios):
        """The chart's pixels, (height, width, 3)."""
        measured = [
            Measured(
                Comparison("work", "another", "µs", lambda s: s, lambda s: s, goal),
                ours=[0.99 * ratio, ratio, 1.01 * ratio],
                theirs=[1.0] * 3,
            )
            for goal, ratio in goals_and_ratios
        ]
        with tempfile.TemporaryDirectory() as scratch:
            chart.draw(measured, Path(scratch) / "chart.png")
            return np.asarray(Image.open(Path(scratch) / "chart.png").convert("RGB"))

    def columns(self, picture, colour):
        """Where a colour's bars begin and end."""
        wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
        found = np.flatnonzero((picture == wanted).all(axis=2).any(axis=0))
        return found.min(), found.max()

    def test_bars_go_to_the_right_where_a_goal_is_met_and_to_the_left_where_it_isnt(self):
        both = ((at_most(3.0), 1.5), (at_least(5.0), 2.5), (None, 7.0))
        picture = self.drawn(*both)
        missed_from, missed_to = self.columns(picture, chart.MISSED)
        met_from, met_to = self.columns(picture, chart.MET)
        self.assertLess(met_from - missed_to, 10)  # between them is the line of the goal
        self.assertGreater(met_from, missed_to)
        # Twice as good as the goal is as far from it as half as good.
        self.assertAlmostEqual(met_to - met_from, missed_to - missed_from, delta=5)
        self.assertGreater(met_to - met_from, 50)

    def test_where_all_goals_are_met(self):
        picture = self.drawn((at_most(3.0), 1.5), (at_least(5.0), 10.0))
        met_from, met_to = self.columns(picture, chart.MET)
        self.assertGreater(met_to - met_from, 100)
        with self.assertRaises(ValueError):
            self.columns(picture, chart.MISSED)


class Refused(unittest.TestCase):
    def test_a_row_that_isnt(self):
        ran = run("--rows", "1,steps", "--rounds", "1")
        self.assertEqual(ran.returncode, 2)
        self.assertIn("no row steps; there are 1 (step), 2 (v1), ", ran.stderr)
        self.assertEqual(ran.stdout, "")

    def test_no_rounds(self):
        ran = run("--rows", "1", "--rounds", "0")
        self.assertEqual(ran.returncode, 2)
        self.assertIn("at least 1", ran.stderr)


class Rows(unittest.TestCase):
    def test_ten_and_each_once(self):
        self.assertEqual([row.number for row in ROWS], list(range(1, 11)))
        self.assertEqual(len({row.name for row in ROWS}), 10)


class RawClients(unittest.TestCase):
    def test_a_refusal_isnt_measured(self):
        server = shared_server()
        env = create(server)
        with closing(RawHTTP(server.address)) as client:
            client.call(post(f"{env}/reset/"))
            client.call(post(f"{env}/step/", b'{"action":1}'))
            self.assertTrue(client.says(b'"reward":1.0'))
            self.assertFalse(client.says(b'"done":true'))
            with self.assertRaisesRegex(BadReply, "(?s)400 .*bad_value") as raised:
                client.call(post(f"{env}/step/", b'{"action":2}'))
            self.assertNotIn('"reward"', str(raised.exception))

    def test_long_replies_in_pieces(self):
        body = bytes(range(256)) * 12_000  # some 3 MB, more than the buffer
        reply = b"HTTP/1.1 200 OK\r\nConTent-LENGTH: %d\r\n\r\n%s" % (len(body), body)
        request = post("/")

        def serve():
            connection, _ = listening.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for _ in range(2):
                    self.assertEqual(connection.recv(len(request), socket.MSG_WAITALL), request)
                    for begin, end in ((0, 3), (3, 20), (20, 45), (45, len(reply))):
                        connection.sendall(reply[begin:end])
                connection.recv(len(request), socket.MSG_WAITALL)

        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=serve)
            thread.start()
            with closing(RawHTTP(listening.getsockname())) as client:
                for _ in range(2):
                    client.call(request)
                    self.assertEqual(client.body(), body)
                with self.assertRaisesRegex(BadReply, "closed the connection"):
                    client.call(request)
            thread.join()

    def test_raw_tcp_serves_the_same_environment(self):
        frames = Frames()
        expected, _ = frames.reset()
        with (
            baseline("raw_tcp", FRAMES) as server,
            closing(RawTCP(server.address, reply_bytes(FRAMES))) as client,
        ):
            client.call(RESET)
            for _ in range(10):
                self.assertEqual(bytes(client.last()[: -ENDS.size]), expected.tobytes())
                self.assertEqual(ENDS.unpack(client.last()[-ENDS.size :]), (0.0, False, False))
                client.call(b"\x03")
                expected = frames.step(3)[0]


class Readable(unittest.TestCase):
    def test_help_names_every_flag(self):
        told = run("--help").stdout
        for flag in (
            "--quick",
            "--rows",
            "--core",
            "--launches",
            "--rounds",
            "--seconds",
            "--out",
            "--chart",
        ):
            self.assertTrue(re.search(rf"^  {flag}\b", told, re.MULTILINE), flag)
