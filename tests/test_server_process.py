"""The real server process: how it starts, how it ends, and what its limits are."""

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from nose2.tools import params

from gym_http.web.supervisor import IMPATIENCE_S
from tests.support import (
    ROOT,
    ServerProcess,
    at_once,
    begin_step,
    create,
    eventually,
    exchange,
    get,
    post,
    read_reply,
    request,
)


def run_server(*flags, **environ):
    return subprocess.run(
        [sys.executable, str(ROOT / "gym_http_server.py"), *flags],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tempfile.gettempdir(),
        env={**os.environ, **environ},
    )


class Start(unittest.TestCase):
    def test_prints_its_url_and_what_it_can_make(self):
        with ServerProcess() as server:
            self.assertRegex(server.greeting, r"^Serving on http://127\.0\.0\.1:\d+: \d+ Gymnasium")
            said = int(re.search(r": (\d+) Gym", server.greeting)[1])
            _, _, offered = get(server, "/v1/registry/?engine=gymnasium")
            self.assertEqual(said, len(offered["envs"]))
            _, _, health = get(server, "/healthz")
            self.assertEqual((health["status"], health["instances"]), ("ok", 0))

    def test_a_port_in_use_is_one_clear_line(self):
        with ServerProcess() as server:
            port = server.address[1]
            ended = run_server("-p", str(port))
            self.assertEqual(ended.returncode, 1)
            self.assertEqual(
                ended.stderr,
                f"Error: can't listen on 127.0.0.1:{port}: Address already in use\n",
            )
            self.assertEqual(get(server, "/healthz")[0], 200)

    def test_a_port_that_was_just_given_up(self):
        with ServerProcess() as server:
            post(server, "/v1/shutdown/")
            server.wait()
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(server.address)

    @params(
        (["-l", "no.such.host.invalid"], 1, "can't listen on no.such.host.invalid"),
        (["-p", "70000"], 2, "--port must be at most 65535"),
        (["-p", "-1"], 2, "--port must be at least 0"),
        (["-p", "http"], 2, "not a valid integer"),
        (["--threads", "0"], 2, "--threads must be at least 1"),
        (["--body-timeout", "nan"], 2, "--body-timeout must be at least 1, got nan"),
        (
            ["--import", "no_such_module"],
            1,
            "--import no_such_module: ModuleNotFoundError",
        ),
        (["--log-level", "loud"], 2, "log-level"),
        (["--unknown"], 2, "No such option"),
    )
    def test_bad_flags_are_one_clear_line(self, flags, code, text):
        ended = run_server(*flags)
        self.assertEqual(ended.returncode, code, ended.stderr)
        self.assertIn(text, ended.stderr)
        self.assertNotIn("Traceback", ended.stderr)

    def test_variables_do_what_flags_do(self):
        ended = run_server(GYM_HTTP_THREADS="0")
        self.assertIn("--threads must be at least 1", ended.stderr)
        with ServerProcess(environ={"GYM_HTTP_STRICT_IDS": "1"}) as server:
            status, _, reply = post(server, "/v1/envs/", {"env_id": "Pendulum-v0"})
            self.assertEqual((status, reply["code"]), (400, "malformed_env_id"))

    def test_ipv6_and_names(self):
        for listen in ("::1", "localhost"):
            with self.subTest(listen=listen), ServerProcess("-l", listen) as server:
                self.assertEqual(get(server, "/healthz")[0], 200)

    def test_environments_of_ones_own(self):
        with ServerProcess("--import", "tests.custom_envs") as server:
            for env_id in ("CustomOdd-v0", "tests.custom_envs:CustomOdd-v0"):
                env = create(server, env_id)
                self.assertEqual(post(server, f"{env}/reset/")[2], {"observation": 0, "info": {}})
            status, _, reply = post(server, "/v1/envs/", {"env_id": "os:CustomOdd-v0"})
            self.assertEqual(status, 400)
            self.assertIn("--import os", reply["message"])


class End(unittest.TestCase):
    def setUp(self):
        self.server = ServerProcess("--import", "tests.custom_envs")
        self.addCleanup(self.server.stop)
        self.told = self.server.home / "told"
        for _ in range(2):
            create(self.server, "CustomTells-v0", kwargs={"path": str(self.told)})
        self.idle = socket.create_connection(self.server.address)  # kept alive by a client
        self.addCleanup(self.idle.close)

    def ended_well(self):
        self.assertEqual(self.server.wait(), 0, self.server.log())
        self.assertEqual(self.told.read_text(), "closed\n" * 2)
        self.assertNotIn("Traceback", self.server.log())

    @params(signal.SIGINT, signal.SIGTERM)
    def test_signals(self, number):
        self.server.send_signal(number)
        self.ended_well()

    def test_ctrl_c_in_a_terminal_reaches_the_whole_group(self):
        os.killpg(self.server.process.pid, signal.SIGINT)
        self.ended_well()

    def test_shutdown(self):
        status, headers, body = post(self.server, "/v1/shutdown/")
        self.assertEqual((status, body), (200, b"The server is shutting down.\n"))
        self.assertTrue(headers["content-type"].startswith("text/plain"))
        self.ended_well()

    def test_recordings_are_finished(self):
        env = create(self.server, "CustomOdd-v0")
        directory = self.server.home / "recording"
        post(self.server, f"{env}/monitor/start/", {"directory": str(directory)})
        post(self.server, f"{env}/reset/")
        for _ in range(3):
            post(self.server, f"{env}/step/", {"action": 0})
        self.server.send_signal(signal.SIGTERM)
        self.ended_well()
        self.assertEqual(len(list(directory.glob("*.manifest.json"))), 1)
        self.assertEqual(list(directory.glob("*.journal.jsonl")), [])

    def test_a_rollout_is_cut_short(self):
        """Its steps are answered, and its recording is finished."""
        env = create(self.server, "CustomSlow-v0", kwargs={"pause_s": 0.05, "length": 10**6})
        directory = self.server.home / "recording"
        post(self.server, f"{env}/monitor/start/", {"directory": str(directory)})
        post(self.server, f"{env}/reset/")
        answers = []
        waiting = threading.Thread(
            target=lambda: answers.append(post(self.server, f"{env}/rollout/", {"sample": 9999}))
        )
        waiting.start()
        eventually(lambda: get(self.server, env)[2]["steps"] > 2)
        self.server.send_signal(signal.SIGTERM)
        self.ended_well()
        waiting.join()
        ((status, _, reply),) = answers
        self.assertEqual(status, 200, reply)
        self.assertEqual(reply["steps"], len(reply["rewards"]))
        self.assertLess(2, reply["steps"])
        self.assertEqual(len(list(directory.glob("*.manifest.json"))), 1)
        self.assertEqual(list(directory.glob("*.journal.jsonl")), [])

    def test_the_terminal_is_gone(self):
        self.server.send_signal(signal.SIGHUP)
        self.ended_well()

    def test_a_call_that_does_not_return(self):
        """It can't be ended in an orderly way; its neighbours can."""
        server = ServerProcess("--import", "tests.custom_envs", "--shutdown-timeout", "3")
        self.addCleanup(server.stop)
        neighbour = create(server, "CustomOdd-v0", kwargs={"length": 1})
        directory = server.home / "recording"
        post(server, f"{neighbour}/monitor/start/", {"directory": str(directory)})
        post(server, f"{neighbour}/reset/")
        post(server, f"{neighbour}/step/", {"action": 0})
        told = server.home / "told"
        create(server, "CustomTells-v0", kwargs={"path": str(told)})
        env = create(server, "CustomSlow-v0", kwargs={"pause_s": 1000})
        post(server, f"{env}/reset/")
        with begin_step(server, env):
            eventually(lambda: get(server, f"{env}")[0] == 200)
            server.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait(20), 0)
        self.assertEqual(told.read_text(), "closed\n")
        self.assertEqual(len(list(directory.glob("*.manifest.json"))), 1)
        self.assertIn("had to be killed", server.log())

    def test_a_second_ctrl_c_does_not_wait(self):
        server = ServerProcess("--import", "tests.custom_envs", "--shutdown-timeout", "60")
        self.addCleanup(server.stop)
        env = create(server, "CustomSlow-v0", kwargs={"pause_s": 1000})
        post(server, f"{env}/reset/")
        with begin_step(server, env):
            server.send_signal(signal.SIGINT)
            eventually(lambda: "stopping" in server.log())
            asked = time.monotonic()
            eventually(lambda: time.monotonic() - asked > IMPATIENCE_S)
            server.send_signal(signal.SIGINT)
            self.assertEqual(server.wait(10), 0)


class AFreshServer(unittest.TestCase):
    def test_agents_that_start_together(self):
        """What is imported for the first of them is imported for all."""
        for _ in range(3):
            with ServerProcess() as server:
                replies = []

                def agent(server=server, replies=replies):
                    for env_id, engine in (("CartPole-v1", "gymnasium"), ("Taxi-v3", "gym")):
                        body = {"env_id": env_id, "engine": engine}
                        reply = post(server, "/v1/envs/", body)
                        replies.append(reply)
                        env = f"/v1/envs/{reply[2].get('instance_id')}"
                        replies.append(post(server, f"{env}/reset/"))
                        replies.append(get(server, f"{env}/render/"))

                at_once(*[agent] * 8)
                self.assertEqual(len(replies), 48)
                self.assertEqual([reply for reply in replies if reply[0] != 200], [])


class Limits(unittest.TestCase):
    def test_chunks_too_long_and_bodies_too_short(self):
        with ServerProcess("--max-body", "1000") as server:
            text = b'{"env_id":"CartPole-v1"}' + b" " * 2000
            chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(text), text)
            head = (
                "POST /v1/envs/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            )
            status, _, body = exchange(
                server.address, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunked
            )
            self.assertEqual((status, json.loads(body)["code"]), (413, "body_too_large"))
            with socket.create_connection(server.address) as connection:
                connection.sendall(f"{head}Content-Length: 500\r\n\r\n".encode() + text[:24])
                connection.shutdown(socket.SHUT_WR)
                with contextlib.suppress(OSError):
                    connection.recv(65536)
            self.assertEqual(get(server, "/v1/envs/")[2]["envs"], {})

    def test_who_waits_for_a_stuck_instance_keeps_nobody_from_being_served(self):
        with ServerProcess("--import", "tests.custom_envs", "--shutdown-timeout", "1") as server:
            env = create(server, "CustomSlow-v0", kwargs={"pause_s": 1000})
            post(server, f"{env}/reset/")
            body = '{"action":0}'
            step = (
                f"POST {env}/step/ HTTP/1.1\r\nHost: localhost\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            ).encode()
            waiting = [socket.create_connection(server.address) for _ in range(80)]
            for connection in waiting:
                connection.sendall(step)
            self.assertEqual(get(server, "/healthz")[0], 200)
            self.assertEqual(get(server, env)[2]["steps"], 0)
            refused, _, _ = select.select(waiting, [], [], 10)
            self.assertEqual(read_reply(refused[0])[0], 409)
            for connection in waiting:
                connection.close()

    def test_a_body_too_long(self):
        with ServerProcess("--max-body", "1000") as server:
            env = create(server)
            post(server, f"{env}/reset/")
            for path in ("/v1/envs/", f"{env}/step/", f"{env}/reset/"):
                status, _, reply = request(server, "POST", path, b" " * 1001)
                self.assertEqual((status, reply["code"]), (413, "body_too_large"))
                self.assertIn("--max-body", reply["message"])
            self.assertEqual(post(server, f"{env}/step/", {"action": 0})[0], 200)

    def test_a_busy_instance(self):
        with ServerProcess("--import", "tests.custom_envs", "--busy-timeout", "0.05") as server:
            env = create(server, "CustomSlow-v0", kwargs={"pause_s": 2})
            post(server, f"{env}/reset/")
            with socket.create_connection(server.address) as other:
                other.sendall(
                    f"POST {env}/step/ HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Type: application/json\r\nContent-Length: 12\r\n\r\n"
                    '{"action":0}'.encode()
                )
                replies = []

                def busy():
                    replies.append(get(server, f"{env}/action_space/sample"))
                    return replies[-1][0] == 409

                eventually(busy)
            self.assertEqual(replies[-1][2]["code"], "busy")
            self.assertIs(replies[-1][2]["retryable"], True)
