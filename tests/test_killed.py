"""kill -9 of each process of a server, while its environments do what is worst: what is left of it
ends within five seconds."""

import os
import signal
import threading
import time
import unittest
from contextlib import suppress

import psutil
from nose2.tools import params

from tests.marked import MarkedServer, gone
from tests.support import at_once, begin_step, create, eventually, get, post

LEFT_S = 5.0
BUSY = ("spins", "holds_the_gil", "blocks_signals", "sleeps")
LEAVING = ("starts_a_process", "starts_a_daemon", "forks", "starts_threads", "forks_in_two")


def one_instance(server, how="", **kwargs):
    """(its path, the environment's process)."""
    env = create(server, "Walk-v0", backend="process", kwargs={"how": how, "at": 1, **kwargs})
    return env, post(server, f"{env}/reset/", {"seed": 1})[2]["info"]["pid"]


def crowd(server):
    """Instances that are in the middle of a step, have left something behind, or do nothing.
    Returns the connections of those that wait."""
    waiting = []

    def join(how):
        env, _ = one_instance(server, how)
        if how in BUSY:
            waiting.append(begin_step(server, env))
        elif how:
            assert post(server, f"{env}/step/", {"action": 0})[0] == 200

    at_once(*[lambda how=how: join(how) for how in (*BUSY, *LEAVING, "")])
    create(server, num_envs=2, vectorization="async", backend="process")
    time.sleep(0.2)  # until those steps have begun
    return waiting


class OneInstance(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = MarkedServer()
        cls.addClassCleanup(cls.server.stop)

    @params(signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP)
    def test_whose_worker_is_killed(self, number):
        neighbour, _ = one_instance(self.server)
        for which in ("worker", "keeper"):
            env, pid = one_instance(self.server)
            os.kill(pid if which == "worker" else psutil.Process(pid).ppid(), number)
            gone({pid}, self.server.mark, 2)
            status, _, reply = post(self.server, f"{env}/step/", {"action": 0})
            self.assertEqual((status, reply["code"]), (500, "backend_lost"), reply)
            if which == "worker":
                self.assertIn(f"was ended by {number.name}", reply["message"])
        self.assertEqual(post(self.server, f"{neighbour}/step/", {"action": 0})[0], 200)

    def test_in_the_middle_of_a_step(self):
        env, pid = one_instance(self.server, "sleeps")
        replies = []
        step = threading.Thread(
            target=lambda: replies.append(post(self.server, f"{env}/step/", {"action": 0}))
        )
        step.start()
        time.sleep(0.2)
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        step.join()
        self.assertLess(time.monotonic() - began, 2)
        self.assertEqual(replies[0][2]["code"], "backend_lost")
        self.assertIn("was ended by SIGKILL", replies[0][2]["message"])

    def test_the_server_for_forks(self):
        """Its instances end, and others are made."""
        env, pid = one_instance(self.server)
        os.kill(psutil.Process(pid).parent().ppid(), signal.SIGKILL)
        made = []
        body = {"env_id": "Walk-v0", "backend": "process"}
        at_once(*[lambda: made.append(post(self.server, "/v1/envs/", body)[2])] * 6)
        self.assertEqual({reply.get("code", "backend_lost") for reply in made}, {"backend_lost"})
        gone({pid}, self.server.mark, 2)
        self.assertEqual(
            post(self.server, f"{env}/step/", {"action": 0})[2]["code"], "backend_lost"
        )
        env, _ = one_instance(self.server)
        self.assertEqual(post(self.server, f"{env}/step/", {"action": 0})[0], 200)


class Server(unittest.TestCase):
    @params("worker", "main", "both", "undertaker first")
    def test_is_killed(self, which):
        with MarkedServer("--shutdown-timeout", "30") as server:
            waiting = crowd(server)
            main, worker = server.process.pid, server.worker_pid()
            doomed = server.processes() - {main}
            self.assertGreater(len(doomed), 25)
            self.assertEqual(len(server.segments_left()), 3)
            victims = {"worker": [worker], "main": [main]}.get(which, [main, worker])
            if which == "undertaker first":
                for process in psutil.Process(worker).children():
                    if "undertaker" in " ".join(process.cmdline()):
                        process.kill()
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            gone(doomed, server.mark, LEFT_S)
            for connection in waiting:
                connection.close()
            if which == "worker":
                eventually(lambda: answers(server))
                self.assertEqual(post(server, f"{create(server)}/reset/")[0], 200)
            self.assertEqual(server.segments_left(), set())


def answers(server):
    with suppress(OSError):
        return get(server, "/healthz")[0] == 200
    return False
