"""A server that may open no further files makes no instance, and loses none."""

import json
import os
import resource
import socket
import unittest
from http.client import HTTPConnection

import psutil
from nose2.tools import params

from tests.marked import MarkedServer
from tests.support import eventually, post
from tests.test_killed import one_instance


class Asking:
    """One connection, for a server that may take no other."""

    def __init__(self, server, backend):
        self.backend = backend
        self.connection = HTTPConnection(*server.address, timeout=60)

    def ask(self, path, body):
        headers = {"Content-Type": "application/json"}
        self.connection.request("POST", path, json.dumps(body), headers)
        return json.loads(self.connection.getresponse().read())

    def make(self):
        return self.ask("/v1/envs/", {"env_id": "Walk-v0", "backend": self.backend})

    def begun(self):
        """A new instance's path."""
        env = f"/v1/envs/{self.make()['instance_id']}"
        self.ask(f"{env}/reset/", {"seed": 1})
        return env


def files_of(pid):
    return sorted(map(int, os.listdir(f"/proc/{pid}/fd")))


def let_open(pid, spare):
    """So many files beside those that it has. Returns what it might open before."""
    taken, most = set(files_of(pid)), 0
    while spare or most in taken:
        spare -= most not in taken
        most += 1
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    return resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, usual[1]))


class OutOfFiles(unittest.TestCase):
    def test_the_next_instance_is_refused_and_the_others_stay(self):
        with MarkedServer() as server:
            worker, asking = server.worker_pid(), Asking(server, "process")
            kept = asking.begun()
            before = files_of(worker)
            for spare in range(20):
                usual = let_open(worker, spare)
                reply = asking.make()
                resource.prlimit(worker, resource.RLIMIT_NOFILE, usual)
                if "instance_id" in reply:
                    break
                self.assertEqual(reply["code"], "backend_lost", reply)
                self.assertIn("Too many open files", reply["message"])
                self.assertIn("observation", asking.ask(f"{kept}/step/", {"action": 0}), spare)
            self.assertIn(spare, range(6, 19))
            asking.ask(f"/v1/envs/{reply['instance_id']}/close/", {})
            eventually(lambda: files_of(worker) == before)

    def test_who_hangs_up_on_the_server_for_forks_ends_nobody(self):
        """As multiprocessing does where it finds no file left."""
        with MarkedServer() as server:
            env, pid = one_instance(server)
            forks = psutil.Process(pid).parent().parent()
            (address,) = {held.laddr for held in forks.net_connections("unix") if held.laddr}
            for _ in range(3):
                with socket.socket(socket.AF_UNIX) as caller:
                    caller.connect(address)
            other, _ = one_instance(server)
            for which in (env, other):
                self.assertEqual(post(server, f"{which}/step/", {"action": 0})[0], 200)
            self.assertTrue(forks.is_running())

    @params("worker", "driver")
    def test_on_ray(self, whose):
        with MarkedServer() as server:
            asking = Asking(server, "ray")
            kept = asking.begun()
            pid = server.worker_pid() if whose == "worker" else driver_of(server)
            usual = let_open(pid, 0)
            self.assertEqual(asking.make()["code"], "backend_lost")
            resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
            self.assertIn("observation", asking.ask(f"{kept}/step/", {"action": 0}))
            self.assertIn("observation", asking.ask(f"{asking.begun()}/step/", {"action": 0}))


def driver_of(server):
    below = psutil.Process(server.worker_pid()).children(recursive=True)
    return next(process.ppid() for process in below if process.name() == "raylet")
