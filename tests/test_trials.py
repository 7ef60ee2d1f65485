"""A snapshot's trial may crash or hang: the instance goes on, and so does everybody else."""

import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from pathlib import Path

import numpy as np
from nose2.tools import params

from gym_http import trials
from gym_http.catalogue import Policy
from gym_http.environments import Recipe
from gym_http.errors import Unsupported
from gym_http.settings import Settings
from gym_http.terms import Terms
from tests.marked import MarkedServer, described
from tests.support import create, eventually, post
from tests.trial_envs import Mined

WORKER_MEMORY = 1 << 29
LIMIT_S = 1.5


class Trials(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = MarkedServer(
            "--import", "tests.trial_envs", "--worker-memory", str(WORKER_MEMORY)
        )
        first = create(cls.server, backend="process")  # whose processes' parents stay
        post(cls.server, f"{first}/close/")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.log = Path(folder.name) / "log"
        self.worker = self.server.worker_pid()

    def begun(self, name, **how):
        """An instance, and a twin of it here, both in the middle of an episode."""
        how.setdefault("kwargs", {"log": str(self.log)})
        env = create(self.server, f"trial/{name}-v0", **how)
        self.addCleanup(post, self.server, f"{env}/close/")
        post(self.server, f"{env}/reset/", {"seed": 3})
        twin = Mined()
        twin.reset(seed=3)
        self.goes_on(env, twin)
        return env, twin

    def goes_on(self, env, twin):
        for action in (0, 1, 2, 3) * 3:
            status, _, reply = post(self.server, f"{env}/step/", {"action": action})
            self.assertEqual(status, 200, reply)
            observation, reward, *_ = twin.step(action)
            self.assertEqual(reply["observation"], observation.tolist())
            self.assertEqual(reply["reward"], reward)

    def refused(self, env):
        status, _, reply = post(self.server, f"{env}/snapshot/")
        self.assertEqual((status, reply["code"]), (400, "unsupported"), reply)
        return reply["message"]

    def made(self):
        return len(self.log.read_text().split())

    def check_nothing_left(self, before):
        eventually(lambda: self.server.processes() <= before)
        self.assertEqual(self.server.worker_pid(), self.worker, "the server's worker has died")

    @params("local", "process")
    def test_one_that_crashes(self, backend):
        env, twin = self.begun("Crashing", backend=backend)
        neighbour, its_twin = self.begun("Mined")
        before = self.server.processes()
        message = self.refused(env)
        for kind in ("copy", "replay", "whole replay"):
            self.assertRegex(message, f"{kind}: the trial crashed: [^;]* ended with exit code 9")
        self.goes_on(env, twin)
        self.goes_on(neighbour, its_twin)
        self.check_nothing_left(before)
        made = self.made()
        self.assertEqual(self.refused(env), message)
        self.assertEqual(self.made(), made, "it was tried again")
        self.goes_on(env, twin)

    @params("local", "process")
    def test_one_that_hangs(self, backend):
        env, twin = self.begun("Hanging", backend=backend, make_timeout_s=LIMIT_S)
        before = self.server.processes()
        self.assertRegex(self.refused(env), "copy: the trial took longer than 1.5 s;")
        self.goes_on(env, twin)
        self.check_nothing_left(before)
        made = self.made()
        Path(f"{self.log}.free").touch()
        self.refused(env)  # as was found out
        self.assertEqual(self.made(), made)
        other, _ = self.begun("Hanging", backend=backend, make_timeout_s=60)
        status, _, reply = post(self.server, f"{other}/snapshot/")
        self.assertEqual((status, reply.get("kind")), (200, "copy"), reply)
        self.assertEqual(post(self.server, f"{env}/snapshot/")[0], 200)

    @params("local", "process")
    def test_one_that_needs_much(self, backend):
        env, twin = self.begun("Greedy", backend=backend)
        self.assertRegex(self.refused(env), "copy: the trial crashed: [^;]* of --worker-memory")
        self.goes_on(env, twin)

    @params("local", "process")
    def test_one_trial_for_many(self, backend):
        env, _ = self.begun("Mined", backend=backend, max_episode_steps=999)
        self.assertEqual(post(self.server, f"{env}/snapshot/")[0], 200)
        once = self.made() - 1
        self.assertGreater(once, 0)
        self.log.write_text("")
        how = {"backend": backend, "max_episode_steps": 998}
        envs = [self.begun("Mined", **how)[0] for _ in range(8)]
        self.assertEqual(self.made(), 8)
        with ThreadPoolExecutor(8) as threads:
            replies = list(threads.map(lambda one: post(self.server, f"{one}/snapshot/"), envs))
        self.assertEqual([reply[0] for reply in replies], [200] * 8, replies)
        self.assertEqual(self.made(), 8 + once)
        before = self.server.processes()
        self.assertEqual(post(self.server, f"{env}/snapshot/")[0], 200)
        self.assertEqual(self.made(), 8 + once)
        self.assertEqual(self.server.processes(), before, described(before))

    def test_one_that_cannot_be_made_with_so_little(self):
        """Nor is it tried where nothing bounds it."""
        env, twin = self.begun("Large")
        self.assertRegex(self.refused(env), "copy: the trial crashed: [^;]* of --worker-memory")
        self.goes_on(env, twin)

    def test_one_that_is_made_in_the_server_only(self):
        env, twin = self.begun("Unmade", backend="local")
        status, _, reply = post(self.server, f"{env}/snapshot/")
        self.assertEqual((status, reply.get("kind")), (200, "copy"), reply)
        self.goes_on(env, twin)
        self.assertEqual(post(self.server, f"{env}/snapshot/")[0], 200)


class OnRay(unittest.TestCase):
    def test_one_that_is_made_there_only(self):
        """It is tried on another actor, which may crash as well."""
        environ = {"RAY_USAGE_STATS_ENABLED": "0"}
        imports = ("--import", "tests.trial_envs")
        with MarkedServer(*imports, "--backend", "ray", environ=environ) as server:
            fine, crashing = (
                create(server, "trial/OnRay-v0", kwargs={"crashes": crashes})
                for crashes in (False, True)
            )
            for env in (fine, crashing):
                post(server, f"{env}/reset/", {"seed": 3})
            status, _, reply = post(server, f"{fine}/snapshot/")
            self.assertEqual((status, reply.get("kind")), (200, "copy"), reply)
            status, _, reply = post(server, f"{crashing}/snapshot/")
            self.assertEqual((status, reply["code"]), (400, "unsupported"), reply)
            self.assertRegex(reply["message"], "copy: the trial crashed: the actor of ")
            steps = [post(server, f"{env}/step/", {"action": 1}) for env in (fine, crashing)]
            self.assertEqual([step[0] for step in steps], [200, 200])
            self.assertEqual(steps[0][2]["observation"], steps[1][2]["observation"])


class Memory(unittest.TestCase):
    def test_recipes_that_are_one(self):
        one = [Recipe("x", kwargs={"size": np.arange(5000)}) for _ in range(2)]
        self.assertEqual(trials._key(one[0]), trials._key(one[1]))
        values = (1, 1.0, True, "1", None, [1], {"a": 1}, np.int64(1), IntEnum("One", "one").one)
        arrays = [np.zeros(5000), np.zeros(5000, np.float32), np.zeros(5000)]
        arrays[2][2500] = 1  # in the middle, which repr leaves out
        keys = [trials._key(Recipe("x", kwargs={"a": value})) for value in (*values, *arrays)]
        self.assertEqual(len({key for key in keys if key}), len(values) + len(arrays))

    def test_what_nobody_can_tell_from_others(self):
        self.assertIsNone(trials._key(Recipe("x", kwargs={"a": object()})))
        known = trials.Trials(Policy(), Settings())
        recipe = Recipe("CartPole-v1", kwargs={"nonsense": print})
        with self.assertRaisesRegex(Unsupported, "no twin could be made"):
            known.replay(recipe, Terms("process").settled(Settings()))
        self.assertFalse(known._known)

    def test_it_is_bounded(self):
        known = trials.Trials(Policy(), Settings())
        first = known._of(Recipe("0"))
        for number in range(trials.MOST_KNOWN + 1):
            known._of(Recipe(str(number)))
        self.assertEqual(len(known._known), trials.MOST_KNOWN)
        self.assertIsNot(known._of(Recipe("0")), first)
