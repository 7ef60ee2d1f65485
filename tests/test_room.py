"""What a system has room for, and an end that waits for nobody."""

import signal
import subprocess
import sys
import textwrap
import time
import unittest

from nose2.tools import params

from tests.support import ROOT, ServerProcess, get
from tests.test_connections import stuck, until_ended


class Room(unittest.TestCase):
    @params(
        ("RLIMIT_NOFILE", 400, "136, by the limit on open files"),
        ("RLIMIT_NPROC", 600, "236, by the limit on processes"),
        ("RLIMIT_AS", 2**30, r"\d+, by the limit on address space"),
    )
    def test_no_more_than_there_is_room_for(self, name, limit, text):
        code = f"""
            import resource
            resource.setrlimit(resource.{name}, ({limit}, {limit}))
            from gym_http.web import room
            print(room.most_connections(1024))
        """
        command = [sys.executable, "-c", textwrap.dedent(code)]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        self.assertRegex(ended.stderr, f"--max-connections is lowered to {text}")
        self.assertRegex(ended.stderr, rf"\b{ended.stdout.strip()}, by")


class End(unittest.TestCase):
    def test_a_stopping_server_does_not_wait_for_a_body(self):
        with ServerProcess() as server:
            held = stuck(server)
            get(server, "/healthz")
            begun = time.monotonic()
            server.send_signal(signal.SIGTERM)
            self.assertIn(b" 408 ", until_ended(held))
            server.wait()
            self.assertLess(time.monotonic() - begun, 8)
            self.assertNotIn("had to be killed", server.log())
