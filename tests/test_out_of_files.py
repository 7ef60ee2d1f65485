"""A server that may open no further files makes no instance, and loses none."""

import json
import os
import resource
import socket
import unittest
from http.client import HTTPConnection

import psutil

from tests.marked import MarkedServer
from tests.support import eventually, post
from tests.test_killed import one_instance


class OutOfFiles(unittest.TestCase):
    def test_the_next_instance_is_refused_and_the_others_stay(self):
        with MarkedServer() as server:
            worker = server.worker_pid()
            connection = HTTPConnection(*server.address, timeout=60)
            self.addCleanup(connection.close)

            def ask(path, body):
                headers = {"Content-Type": "application/json"}
                connection.request("POST", path, json.dumps(body), headers)
                return json.loads(connection.getresponse().read())

            def make():
                return ask("/v1/envs/", {"env_id": "Walk-v0", "backend": "process"})

            def files():
                return len(os.listdir(f"/proc/{worker}/fd"))

            kept = make()["instance_id"]
            ask(f"/v1/envs/{kept}/reset/", {"seed": 1})
            before = files()
            usual = resource.prlimit(worker, resource.RLIMIT_NOFILE)
            highest = max(map(int, os.listdir(f"/proc/{worker}/fd")))
            made = []
            for spare in range(20):
                most = highest + 1 + spare
                resource.prlimit(worker, resource.RLIMIT_NOFILE, (most, usual[1]))
                reply = make()
                if "instance_id" in reply:
                    made.append(reply["instance_id"])
                    break
                self.assertEqual(reply["code"], "backend_lost", reply)
                self.assertIn("Too many open files", reply["message"])
                step = ask(f"/v1/envs/{kept}/step/", {"action": 0})
                self.assertIn("observation", step, spare)
            self.assertEqual(len(made), 1)
            self.assertGreater(spare, 5)
            resource.prlimit(worker, resource.RLIMIT_NOFILE, usual)
            ask(f"/v1/envs/{made[0]}/close/", {})
            eventually(lambda: files() == before)

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
