"""What a server keeps within: how many instances, for how long, and that none outlives it."""

import json
import math
import signal
import socket
import tempfile
import threading
import time
import unittest
from pathlib import Path

import gymnasium
import msgspec
from nose2.tools import params

from gym_http.environments import Recipe
from gym_http.errors import GymHTTPError, MakeFailed, ServerStopping, TooManyInstances
from gym_http.remote.env import RemoteEnv
from gym_http.service import Service
from gym_http.settings import Settings
from gym_http.terms import Terms
from gym_http_client import Client, ServerError
from tests.limits_envs import told
from tests.support import (
    ServerCase,
    ServerProcess,
    at_once,
    create,
    eventually,
    get,
    post,
    read_reply,
    request,
)


class Scratch(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.told = Path(scratch.name) / "told"
        self.gate = Path(scratch.name) / "gate"
        self.slow = {"told": str(self.told), "gate": str(self.gate)}


class MaxInstances(Scratch):
    def serve(self, most, **more):
        service = Service(Settings(max_instances=most, shutdown_timeout_s=2), **more)
        self.addCleanup(service.close_all)
        return service

    def test_one_too_many_is_refused_before_it_is_made(self):
        service = self.serve(2)
        one, _ = [service.create(Recipe("CustomOdd-v0")).instance_id for _ in range(2)]
        recipe = Recipe("LimitsSlowMake-v0", kwargs={"told": str(self.told)})
        with self.assertRaises(TooManyInstances) as caught:
            service.create(recipe)
        self.assertEqual(told(self.told), [])
        self.assertRegex(caught.exception.message, "2 instances.*close one.*GET /v1/envs/")
        for way in ("lease_s", "--idle-timeout", "--max-instances"):
            self.assertIn(way, caught.exception.detail)
        service.close(one)
        service.create(recipe)
        with self.assertRaises(TooManyInstances):
            service.create(recipe)

    def test_of_64_at_once_as_many_as_there_is_room_for(self):
        service, outcomes = self.serve(5), []

        def agent():
            try:
                service.create(Recipe("LimitsSlowMake-v0", kwargs=self.slow))
                outcomes.append("made")
            except TooManyInstances as error:
                outcomes.append(error.code)
            if outcomes.count("too_many_instances") == 59:
                self.gate.touch()

        at_once(*[agent] * 64)
        self.assertEqual(outcomes.count("made"), 5)
        self.assertEqual(told(self.told), ["making"] * 5)
        self.assertEqual(len(service.instances()), 5)

    def test_what_fails_gives_its_place_back(self):
        service = self.serve(1)
        broken = Recipe("LimitsSlowMake-v0", kwargs={"told": str(self.told), "broken": True})
        for _ in range(3):
            with self.assertRaises(MakeFailed):
                service.create(broken)
            with self.assertRaises(GymHTTPError):
                service.create(Recipe("NoSuch-v0"))
            with self.assertRaises(GymHTTPError):  # made, and then found unfit
                service.create(Recipe("CustomUnheard-v0"))
        service.create(Recipe("CustomOdd-v0"))

    def test_who_has_gone_leaves_room(self):
        now = [0.0]
        service = self.serve(1, monotonic=lambda: now[0])
        for _ in range(3):
            service.create(Recipe("CustomOdd-v0"), terms=Terms(lease_s=10))
            now[0] += 10
            service.reaper.sweep()

    def test_over_http(self):
        with ServerProcess("--max-instances", "2") as server:
            env, _ = create(server), create(server)
            status, _, reply = post(server, "/v1/envs/", {"env_id": "CartPole-v1"})
            self.assertEqual((status, reply["code"]), (429, "too_many_instances"))
            self.assertIs(reply["retryable"], True)
            self.assertIn("--max-instances", reply["detail"])
            status, _, reply = post(server, "/v1/envs/", {"env_id": "CartPole-v1", "lease_s": -1})
            self.assertEqual((status, reply["code"]), (400, "bad_value"))
            self.assertEqual(get(server, "/healthz")[2]["instances"], 2)
            post(server, f"{env}/close/")
            create(server)


class Hostile(ServerCase):
    @params(
        -1, -0.001, 1e300, 10**30, -(10**30), "60", "soon", True, False, [60], {"s": 60},
    )  # fmt: skip
    def test_a_lease_that_is_none(self, value):
        before = get(self.server, "/v1/envs/")[2]
        status, _, reply = post(
            self.server, "/v1/envs/", {"env_id": "CartPole-v1", "lease_s": value}
        )
        self.assertEqual((status, reply["code"]), (400, "bad_value"), reply)
        self.assertIn("lease_s", reply["message"])
        self.assertEqual(get(self.server, "/v1/envs/")[2], before)

    @params(math.nan, math.inf, -math.inf)
    def test_a_number_that_only_msgpack_has(self, value):
        body = msgspec.msgpack.encode({"env_id": "CartPole-v1", "lease_s": value})
        status, _, reply = request(
            self.server, "POST", "/v1/envs/", body, content_type="application/msgpack"
        )
        self.assertEqual((status, reply["code"]), (400, "bad_value"), reply)
        self.assertIn("lease_s", reply["message"])

    @params((None, None), ([], None), ("", None), (0, 0), (0.0, 0), (30, 30), (2.5, 2.5))
    def test_one_that_is(self, value, told):
        env = create(self.server, lease_s=value)
        self.assertEqual(get(self.server, env)[2]["lease_s"], told)
        post(self.server, f"{env}/close/")


class OverHTTP(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ServerProcess(
            "--import", "tests.limits_envs", "--import", "tests.custom_envs",
            "--idle-timeout", "1", "--busy-timeout", "20",
        )  # fmt: skip

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def alive(self):
        return {f"/v1/envs/{one}" for one in get(self.server, "/v1/envs/")[2]["envs"]}

    def test_who_is_idle_is_ended_and_who_calls_stays(self):
        server = self.server
        looked_at, slow = (
            create(server),
            create(server, "CustomSlow-v0", kwargs={"pause_s": 1.5}, lease_s=0.4),
        )
        idle, forever = create(server, lease_s=0.5), create(server, lease_s=0)
        raises = create(server, "LimitsCloseRaises-v0", lease_s=0.3)
        usual = create(server)
        replies = []
        begun = time.monotonic()

        def play():  # one call is longer than the lease
            post(server, f"{slow}/reset/")
            replies.append(post(server, f"{slow}/step/", {"action": 0}))
            replies.append(post(server, f"{slow}/reset/"))

        player = threading.Thread(target=play)
        player.start()

        def only_those_left():
            self.assertEqual(get(server, looked_at)[0], 200)
            return not {idle, raises, usual} & self.alive()

        eventually(only_those_left)
        self.assertGreaterEqual(time.monotonic() - begun, 1)
        player.join()
        self.assertEqual([reply[0] for reply in replies], [200, 200])
        self.assertLessEqual({looked_at, forever}, self.alive())
        for env, seconds, rule in (
            (idle, "0.5 s", "lease_s"),
            (usual, "1 s", "--idle-timeout"),
            (raises, "0.3 s", "lease_s"),
        ):
            for method, path, body in (
                ("POST", "/reset/", None),
                ("POST", "/step/", '{"action":0}'),
                ("POST", "/rollout/", '{"sample":1}'),
                ("GET", "/render/", None),
                ("GET", "/action_space/sample", None),
                ("POST", "/observation_space/contains", "{}"),
                ("POST", "/monitor/close/", None),
            ):
                status, _, reply = request(server, method, env + path, body)
                self.assertEqual((status, reply["code"]), (400, "evicted"))
                self.assertEqual(reply["message"], f"Instance_id {env[9:]} unknown")
                self.assertIn(seconds, reply["detail"])
                self.assertIn(rule, reply["detail"])
        status, _, facts = get(server, idle)
        self.assertEqual((status, facts["last_error"]["code"]), (200, "evicted"))
        self.assertEqual(post(server, f"{idle}/close/")[::2], (200, {}))
        self.assertEqual(post(server, f"{idle}/close/")[2]["code"], "unknown_instance")
        eventually(lambda: slow not in self.alive())
        self.assertIn("not today", server.log())

    def test_one_in_a_process_of_its_own(self):
        path = self.server.home / "elsewhere"
        env = create(
            self.server,
            "CustomTells-v0",
            kwargs={"path": str(path)},
            backend="process",
            lease_s=0.2,
        )
        eventually(lambda: told(path) == ["closed"])
        self.assertEqual(post(self.server, f"{env}/reset/")[2]["code"], "evicted")

    def test_the_clients(self):
        with Client(self.server.url) as client:
            one = client.env_create("CartPole-v1", lease_s=0.2)
            self.assertEqual(client.env_info(one)["lease_s"], 0.2)
            eventually(lambda: one not in client.env_list_all())
            with self.assertRaises(ServerError) as caught:
                client.env_reset(one)
            self.assertEqual(caught.exception.code, "evicted")
        env = RemoteEnv(self.server.url, "CartPole-v1")
        path = f"/v1/envs/{env._connection.instance_id}"
        eventually(lambda: path not in self.alive())
        with self.assertRaises(gymnasium.error.ClosedEnvironmentError):
            env.reset()
        env.close()

    def test_two_clients_on_one_instance_are_served_one_at_a_time(self):
        path = self.server.home / "overlaps"
        env = create(self.server, "LimitsOneAtATime-v0", kwargs={"told": str(path)})
        post(self.server, f"{env}/reset/")
        seen = []
        body = b'{"action":0}'
        head = f"POST {env}/step/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        step = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

        def client():
            with socket.create_connection(self.server.address, timeout=30) as connection:
                for _ in range(25):
                    connection.sendall(step)
                    status, _, reply = read_reply(connection)
                    seen.append((status, json.loads(reply)["observation"]))

        at_once(client, client)
        self.assertEqual(told(path), [])
        self.assertEqual(sorted(seen), [(200, n) for n in range(1, 51)])


class TheEnd(Scratch):
    """What is being made when the server ends is closed, and not handed out."""

    def making(self, **settings):
        """(a service, a thread that is making an environment there, what came of that)."""
        service, outcomes = Service(Settings(**settings)), []

        def make():
            try:
                outcomes.append(service.create(Recipe("LimitsSlowMake-v0", kwargs=self.slow)))
            except ServerStopping as error:
                outcomes.append(error.code)

        maker = threading.Thread(target=make)
        maker.start()
        eventually(lambda: told(self.told) == ["making"])
        return service, maker, outcomes

    def test_a_service(self):
        service, maker, outcomes = self.making(shutdown_timeout_s=20)
        ender = threading.Thread(target=service.close_all)
        ender.start()

        def refused():
            try:
                service.close(service.create(Recipe("CustomOdd-v0")).instance_id)
            except ServerStopping:
                return True
            return False

        eventually(refused)
        self.assertTrue(ender.is_alive())  # it waits for what is being made
        self.gate.touch()
        ender.join()
        self.assertEqual(told(self.told), ["making", "closed"])
        maker.join()
        self.assertEqual(outcomes, ["server_stopping"])
        self.assertEqual(service.instances(), {})

    def test_one_that_is_made_too_late(self):
        service, maker, outcomes = self.making(shutdown_timeout_s=1)
        with self.assertLogs("gym_http.ending", "ERROR"):
            service.close_all()
        self.gate.touch()
        maker.join()
        self.assertEqual(outcomes, ["server_stopping"])
        self.assertEqual(told(self.told), ["making", "closed"])
        service.create(Recipe("CustomOdd-v0"))  # it was begun afterwards
        service.close_all()

    @params("SIGTERM", "SIGINT", "shutdown")
    def test_a_server(self, way):
        with ServerProcess("--import", "tests.limits_envs") as server:
            replies = []
            body = {"env_id": "LimitsSlowMake-v0", "kwargs": self.slow, "lease_s": 1000}
            maker = threading.Thread(target=lambda: replies.append(post(server, "/v1/envs/", body)))
            maker.start()
            eventually(lambda: told(self.told) == ["making"])
            if way == "shutdown":
                post(server, "/v1/shutdown/")
            else:
                server.send_signal(signal.Signals[way])
            eventually(lambda: "stopping" in server.log())
            self.gate.touch()
            maker.join()
            ((status, _, reply),) = replies
            self.assertEqual((status, reply["code"]), (503, "server_stopping"))
            self.assertEqual(server.wait(), 0, server.log())
            self.assertEqual(told(self.told), ["making", "closed"])
            self.assertNotIn("Traceback", server.log())
