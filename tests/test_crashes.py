"""What the server survives, and what it says of what it didn't."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from tests.support import (
    ServerProcess,
    begin_step,
    create,
    eventually,
    get,
    post,
)


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and that nobody waited for doesn't."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return state.stdout.strip() not in ("", "Z", "Z+", "Zs")


class Crash(unittest.TestCase):
    def test_the_next_worker_serves_and_says_what_was_lost(self):
        with ServerProcess("--import", "tests.custom_envs") as server:
            bystander, culprit = create(server), create(server, "CustomExits-v0")
            post(server, f"{culprit}/reset/")
            before = server.worker_pid()
            with self.assertRaises(ConnectionError):
                post(server, f"{culprit}/step/", {"action": 0})
            eventually(lambda: served_by_another(server, before))
            for env in (bystander, culprit):
                status, _, reply = post(server, f"{env}/reset/")
                self.assertEqual((status, reply["code"]), (400, "instance_lost"))
                instance_id = env.rsplit("/", 1)[1]
                self.assertEqual(reply["message"], f"Instance_id {instance_id} unknown")
                self.assertIn("crashed", reply["detail"])
            self.assertEqual(post(server, "/v1/envs/bad_id/reset/")[2]["code"], "unknown_instance")
            self.assertEqual(post(server, f"{create(server)}/reset/")[0], 200)
            server.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0)

    def test_an_agent_that_tries_again_at_once(self):
        """Crash after crash, the server stays."""
        with ServerProcess("--import", "tests.custom_envs") as server:
            for _ in range(3):
                culprit = create(server, "CustomExits-v0")
                post(server, f"{culprit}/reset/")
                before = server.worker_pid()
                with self.assertRaises(ConnectionError):
                    post(server, f"{culprit}/step/", {"action": 0})
                eventually(lambda before=before: served_by_another(server, before))
            self.assertIn("another one starts", server.log())
            server.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0)

    def test_deep_recursion_in_an_environment_is_an_error_like_another(self):
        with ServerProcess("--import", "tests.custom_envs") as server:
            env = create(server, "CustomRecurses-v0")
            post(server, f"{env}/reset/")
            status, _, reply = post(server, f"{env}/step/", {"action": 0})
            self.assertEqual((status, reply["code"]), (500, "env_failed"), reply)
            self.assertIn("RecursionError", reply["message"])

    def test_the_ledger_is_gone(self):
        """Something cleaned /tmp: a convenience is lost, and nothing else."""
        with tempfile.TemporaryDirectory() as temporary:
            with ServerProcess(environ={"TMPDIR": temporary}) as server:
                before = server.worker_pid()
                (run,) = Path(temporary).glob("gym-http-*")
                shutil.rmtree(run)
                env = create(server)
                os.kill(before, signal.SIGKILL)
                eventually(lambda: served_by_another(server, before))
                self.assertEqual(post(server, f"{env}/reset/")[2]["code"], "unknown_instance")
                self.assertEqual(get(server, create(server))[0], 200)

    def test_no_worker_outlives_its_main_process(self):
        """Not even one with a call that does not return."""
        for env_id in ("CustomOdd-v0", "CustomSlow-v0"):
            flags = ("--import", "tests.custom_envs", "--shutdown-timeout", "1")
            with self.subTest(env_id), ServerProcess(*flags) as server:
                worker = server.worker_pid()
                env = create(server, env_id, kwargs={"length": 9})
                post(server, f"{env}/reset/")
                post(server, f"{env}/step/", {"action": 0})
                if env_id == "CustomSlow-v0":
                    env = create(server, env_id, kwargs={"pause_s": 1000})
                    post(server, f"{env}/reset/")
                    stuck = begin_step(server, env)
                    self.addCleanup(stuck.close)
                server.process.kill()
                server.process.wait()
                eventually(lambda worker=worker: not alive(worker), timeout_s=10)

    def test_what_an_environment_forked_does_not_outlive_it(self):
        """Else it would keep the port's half, and the recording's lock."""
        with ServerProcess("--import", "tests.custom_envs") as server:
            env = create(server, "CustomForks-v0", kwargs={"length": 1})
            directory = str(server.home / "recording")
            post(server, f"{env}/monitor/start/", {"directory": directory})
            post(server, f"{env}/reset/")
            post(server, f"{env}/step/", {"action": 0})
            before = server.worker_pid()
            os.kill(before, signal.SIGKILL)
            eventually(lambda: served_by_another(server, before))
            for _ in range(40):
                self.assertEqual(get(server, "/healthz")[0], 200)
            upload = {"training_dir": directory, "api_key": "k"}
            self.assertEqual(post(server, "/v1/upload/", upload)[0], 200)

    def test_the_end_right_after_a_crash(self):
        """A signal that comes while the next worker is being born is not lost."""
        for pause_s in (0.0, 0.01, 0.02, 0.03):
            with self.subTest(pause_s=pause_s), ServerProcess() as server:
                os.kill(server.worker_pid(), signal.SIGKILL)
                time.sleep(pause_s)
                server.send_signal(signal.SIGTERM)
                self.assertEqual(server.wait(timeout_s=8), 0)

    def test_a_killed_recording_is_scored_by_the_next_server(self):
        with tempfile.TemporaryDirectory() as directory:
            with ServerProcess("--import", "tests.custom_envs") as server:
                env = create(server, "CustomOddFrames-v0", kwargs={"length": 2})
                start = {"directory": directory, "video_callable": True}
                post(server, f"{env}/monitor/start/", start)
                for _ in range(4):
                    post(server, f"{env}/reset/")
                    for _ in range(2):
                        post(server, f"{env}/step/", {"action": 0})
                post(server, f"{env}/reset/")
                post(server, f"{env}/step/", {"action": 0})
                os.kill(server.worker_pid(), signal.SIGKILL)
                server.process.kill()
            for path in Path(directory).glob("*.json"):
                self.assertGreater(path.stat().st_size, 2, path)
            with ServerProcess("--import", "tests.custom_envs") as server:
                upload = {"training_dir": directory, "api_key": "k"}
                self.assertEqual(post(server, "/v1/upload/", upload)[0], 200)
                (entry,) = get(server, "/v1/scoreboard/")[2]["entries"]
                self.assertEqual(entry["number_episodes"], 4)
                self.assertEqual(entry["number_timesteps"], 8)


def served_by_another(server: ServerProcess, before: int) -> bool:
    try:
        return get(server, "/healthz")[0] == 200 and server.worker_pid() != before
    except (OSError, IndexError):
        return False
