"""Instances on a real Ray cluster of two nodes, and on one that the server starts itself."""

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import ray
from nose2.tools import params
from ray.cluster_utils import Cluster

from tests.support import ROOT, ServerProcess, create, eventually, get, post, request

FRAMES = "RayFrames-v0"
KINDS = (  # what is played on both
    {"env_id": "CartPole-v1"},
    {"env_id": "FrozenLake-v1"},
    {"env_id": "Pendulum-v1"},
    {"env_id": FRAMES},
    {"env_id": "RayGreedy-v0"},
    {"env_id": "CustomTelling-v0"},
    {"env_id": "CustomUnruly-v0"},
    {"env_id": "CartPole-v1", "num_envs": 3},
    {"env_id": "CartPole-v1", "num_envs": 2, "vectorization": "async"},
    {"env_id": "CartPole-v1", "num_envs": 3, "vectorization": "native"},
)
STORE = 80 * 1024 * 1024
IMPORTS = ("--import", "tests.ray_envs", "--import", "tests.custom_envs")
RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_period_ms": "1000",  # it learns of a node's death sooner than it would
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}


def setUpModule():
    global cluster, server, other_node
    os.environ.update(RAY)
    head = {"num_cpus": 2, "resources": {"here": 100}, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args={**head, "include_dashboard": False})
    other_node = cluster.add_node(
        num_cpus=2, resources={"there": 100}, object_store_memory=STORE, wait=True
    )
    server = ServerProcess(*IMPORTS, "--ray-address", cluster.address, "--backend", "ray")


def tearDownModule():
    server.stop()
    cluster.shutdown()


def made(where=None, **what):
    return create(where or server, what.pop("env_id", "RayPlaced-v0"), **what)


def both(**what):
    """The same instance on local and on ray."""
    return made(backend="local", **what), made(**what)


def node_named(resource):
    return {"resources": {resource: 1}}


def processes():
    """pid -> command line, of all that run."""
    lines = subprocess.run(["ps", "-eo", "pid=,stat=,args="], capture_output=True, text=True).stdout
    rows = (line.split(None, 2) for line in lines.splitlines())
    return {int(row[0]): row[2] for row in rows if len(row) == 3 and row[1][0] != "Z"}


def of_ray():
    marks = ("raylet", "gcs_server", "ray::", "/ray/")
    return {pid for pid, line in processes().items() if any(mark in line for mark in marks)}


class AsLocal(unittest.TestCase):
    maxDiff = 2000

    def alike(self, envs, method, path, body=None):
        """The answers, which have to be the same to the byte."""
        sent = None if body is None else json.dumps(body)
        answers = [request(server, method, env + path, sent) for env in envs]
        for _, _, value in answers:
            if isinstance(value, dict):
                value.pop("request_id", None)
        seen = [
            (status, json.dumps(value) if isinstance(value, dict) else base64.b64encode(value))
            for status, _, value in answers
        ]
        self.assertEqual(seen[1], seen[0], (path, body))
        return answers[1][0], answers[1][2]

    @params(*KINDS)
    def test_trajectories_frames_and_rollouts(self, what):
        envs = both(seed=3, **what)
        for path in ("/action_space/", "/observation_space/"):
            self.alike(envs, "GET", path)
        self.alike(envs, "POST", "/reset/", {"seed": 7})
        for _ in range(12):
            _, sampled = self.alike(envs, "GET", "/action_space/sample")
            _, reply = self.alike(envs, "POST", "/step/", sampled)
            if reply.get("done") is True:
                self.alike(envs, "POST", "/reset/")
        self.alike(envs, "GET", "/render/")
        count = 8 if what["env_id"] == FRAMES else 60
        self.alike(envs, "POST", "/reset/", {"seed": 8})
        fields = ["observations", "rewards", "done", "infos", "actions", "final_observations"]
        for plan in ({"on_done": "reset"}, {"on_done": "stop"}, {"on_done": "reset"}):
            _, reply = self.alike(
                envs, "POST", "/rollout/", {"sample": count, "fields": fields, **plan}
            )
            self.alike(envs, "POST", "/reset/")
        self.assertIn("steps", reply)
        keys = ("steps", "episodes", "last_episode_return", "last_episode_length")
        told = [get(server, env)[2] for env in envs]
        self.assertEqual(*[[one[key] for key in keys] for one in told])
        self.assertEqual(told[1]["backend"], "ray")

    def test_what_an_environment_raises(self):
        envs = both(env_id="CustomRaises-v0")
        status, reply = self.alike(envs, "POST", "/reset/", {"options": {"no": 1}})
        self.assertEqual((status, reply["code"]), (400, "bad_value"))
        self.alike(envs, "POST", "/reset/")
        status, reply = self.alike(envs, "POST", "/step/", {"action": 1})
        self.assertEqual((status, reply["code"]), (500, "env_failed"))
        self.alike(envs, "POST", "/reset/")
        status, reply = self.alike(envs, "POST", "/rollout/", {"actions": [0, 1, 0]})
        self.assertEqual((status, reply["code"]), (500, "env_failed"))
        self.alike(envs, "POST", "/reset/")
        self.alike(envs, "POST", "/step/", {"action": 0})

    def test_a_film_of_a_rollout(self):
        """Steps aren't made ahead of the frames."""
        films = []
        for env in both(env_id="CartPole-v1", seed=1):
            with tempfile.TemporaryDirectory() as directory:
                body = {"directory": directory, "video_callable": True}
                self.assertEqual(post(server, f"{env}/monitor/start/", body)[0], 200)
                post(server, f"{env}/reset/")
                self.assertEqual(post(server, f"{env}/rollout/", {"sample": 10})[0], 200)
                post(server, f"{env}/close/")
                films.append([path.read_bytes() for path in Path(directory).glob("*.mp4")])
        self.assertEqual(len(films[0]), 1)
        self.assertEqual(*films)

    def test_what_cannot_be_made(self):
        for what in ({"env_id": "CartPole-v1", "kwargs": {"x": 1}}, {"env_id": "Nothing-v7"}):
            replies = [
                post(server, "/v1/envs/", {"backend": backend, **what})
                for backend in ("local", "ray")
            ]
            for reply in replies:
                reply[2].pop("request_id", None)
            self.assertEqual(replies[1][0::2], replies[0][0::2])

    def test_it_is_always_called_on_its_own_thread(self):
        with tempfile.TemporaryDirectory() as directory:
            mark = Path(directory, "closed")
            env = made(kwargs={"mark": str(mark)})
            told = [
                post(server, f"{env}/reset/")[2],
                post(server, f"{env}/step/", {"action": 0})[2],
            ]
            played = post(server, f"{env}/rollout/", {"sample": 40, "fields": ["infos"]})[2]
            infos = [one["info"] for one in told] + played["infos"]
            self.assertTrue(all(info["at_home"] for info in infos), infos)
            self.assertEqual(get(server, f"{env}/render/")[2], b"at home: True")
            self.assertEqual(post(server, f"{env}/close/")[0], 200)
            self.assertEqual(mark.read_text(), "at home: True")
            eventually(lambda: infos[0]["pid"] not in processes())


class TheEndOfOne(unittest.TestCase):
    def doomed(self, **terms):
        env = made(env_id="RayTrouble-v0", **terms)
        post(server, f"{env}/reset/")
        for _ in range(2):
            self.assertEqual(post(server, f"{env}/step/", {"action": 0})[0], 200)
        return env

    @params(("os._exit", 1), ("segfault", 2))
    def test_its_process_ends(self, _, action):
        env, neighbour = self.doomed(), self.doomed()
        for path, body in (("step", {"action": action}), ("step", {"action": 0})):
            status, _, reply = post(server, f"{env}/{path}/", body)
            self.assertEqual((status, reply["code"]), (500, "backend_lost"))
            self.assertEqual(reply["last_good_step"], 2)
            self.assertIn("worker process has died", reply["message"])
        self.assertEqual(post(server, f"{neighbour}/step/", {"action": 0})[0], 200)

    @params(("sleeps", 3), ("loops", 4), ("holds the interpreter's lock", 5))
    def test_it_is_late(self, _, action):
        env, neighbour = self.doomed(step_timeout_s=0.5), self.doomed()
        begun = time.monotonic()
        status, _, reply = post(server, f"{env}/step/", {"action": action})
        self.assertLess(time.monotonic() - begun, 8)
        self.assertEqual((status, reply["code"], reply["last_good_step"]), (504, "timeout", 2))
        self.assertEqual(post(server, f"{env}/step/", {"action": 0})[0], 504)
        self.assertEqual(post(server, f"{neighbour}/step/", {"action": 0})[0], 200)

    @params(("sleeps", 3), ("loops", 4))
    def test_it_is_late_in_a_rollout(self, _, action):
        env = self.doomed(step_timeout_s=0.7)
        status, _, reply = post(server, f"{env}/rollout/", {"actions": [0, 0, 0, action, 0]})
        self.assertEqual((status, reply["code"], reply["last_good_step"]), (504, "timeout", 5))

    def test_the_limit_is_a_steps_not_a_rollouts(self):
        env = made(env_id="CustomSlow-v0", kwargs={"pause_s": 0.1}, step_timeout_s=1)
        post(server, f"{env}/reset/")
        status, _, reply = post(server, f"{env}/rollout/", {"sample": 20, "on_done": "reset"})
        self.assertEqual((status, reply.get("steps")), (200, 20))


class Resources(unittest.TestCase):
    def refused(self, resources, *words):
        status, _, reply = post(
            server, "/v1/envs/", {"env_id": "CartPole-v1", "resources": resources}
        )
        self.assertEqual((status, reply["code"]), (400, "bad_value"), reply)
        for word in words:
            self.assertIn(word, reply["message"])

    @params(
        ({"num_cpus": "2"},),
        ({"num_cpus": -1}, "num_cpus"),
        ({"num_cpus": 1e300}, "num_cpus"),
        ({"num_gpus": 1.5}, "whole"),
        ({"memory": 0.5}, "bytes"),
        ({"here": 1e-9}, "0.0001"),
        ({"CPU": 1}, "num_cpus"),
        ({"": 1}, "names"),
        ({"here": None},),
        ({"here": True},),
    )
    def test_no_resources(self, resources, *words):
        self.refused(resources, *words)

    @params({"num_gpus": 1}, {"elsewhere": 1}, {"here": 1, "there": 1}, {"memory": 10**14})
    def test_what_no_node_has(self, resources):
        self.refused(resources, "no node", next(iter(resources)))

    def test_what_no_node_has_free(self):
        env = made(resources={"here": 100})
        status, _, reply = post(
            server,
            "/v1/envs/",
            {"env_id": "CartPole-v1", "resources": {"here": 60}, "make_timeout_s": 1},
        )
        self.assertEqual((status, reply["code"]), (504, "timeout"))
        self.assertIn("here 60", reply["message"])
        post(server, f"{env}/close/")
        post(server, f"{made(resources={'here': 100})}/close/")

    def test_more_of_them_than_processors(self):
        """The usual ones take none while they run; also beside others that have all there are."""
        envs = [made() for _ in range(5)]
        for env in envs:
            self.assertEqual(post(server, f"{env}/reset/")[0], 200)
            post(server, f"{env}/close/")


class TheEndOfMore(unittest.TestCase):
    def test_a_node(self):
        with ServerProcess(*IMPORTS, "--ray-address", cluster.address) as second:
            here = made(backend="ray", **node_named("here"))
            there = made(**node_named("there"))
            seconds = made(second, backend="ray", **node_named("here"))
            for env, whose in ((here, server), (there, server), (seconds, second)):
                post(whose, f"{env}/reset/")
                self.assertEqual(post(whose, f"{env}/step/", {"action": 0})[0], 200)
            cluster.remove_node(other_node, allow_graceful=False)
            good = 1
            while (told := post(server, f"{there}/step/", {"action": 0}))[0] == 200:
                good += 1
            self.assertEqual((told[0], told[2]["code"]), (500, "backend_lost"))
            self.assertEqual(told[2]["last_good_step"], good)
            for env, whose in ((here, server), (seconds, second)):
                self.assertEqual(post(whose, f"{env}/step/", {"action": 0})[0], 200)
            post(server, f"{made()}/reset/")
        # Nor does the second server's end disturb the first one.
        self.assertEqual(post(server, f"{here}/step/", {"action": 0})[0], 200)


class StartedHere(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.before = of_ray()
        module = (ROOT / "tests" / "ray_envs.py").read_text().replace("tests.custom_envs", "odd")
        Path(scratch.name, "mine.py").write_text(module)
        Path(scratch.name, "odd.py").write_text((ROOT / "tests" / "custom_envs.py").read_text())
        # gym_http isn't installed, nor are the modules: they lie where the server was started.
        self.server = ServerProcess(
            "--import", "mine", "--backend", "ray", environ={"PYTHONPATH": scratch.name}
        )
        self.addCleanup(self.server.stop)

    def played(self):
        env = made(self.server)
        post(self.server, f"{env}/reset/")
        self.assertEqual(post(self.server, f"{env}/step/", {"action": 0})[0], 200)
        return env

    def nothing_is_left(self):
        eventually(lambda: not of_ray() - self.before, 30)

    def test_it_ends_with_the_server(self):
        self.played()
        self.assertTrue(of_ray() - self.before)
        self.server.send_signal(signal.SIGTERM)
        self.assertEqual(self.server.wait(), 0)
        self.nothing_is_left()

    def test_it_ends_when_the_server_is_killed(self):
        env = self.played()
        # First our connection alone: that is the end of its instances, and of nothing else.
        bystander = made(self.server, backend="local")
        parents = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True)
        rows = [line.split(None, 2) for line in parents.stdout.splitlines()]
        raylet = [row for row in rows if "raylet/raylet" in row[2] and int(row[0]) in of_ray()]
        drivers = {int(row[1]) for row in raylet if int(row[0]) not in self.before}
        self.assertEqual(len(drivers), 1)
        os.kill(drivers.pop(), signal.SIGKILL)
        status, _, reply = post(self.server, f"{env}/step/", {"action": 0})
        self.assertEqual((status, reply["code"], reply["last_good_step"]), (500, "backend_lost", 1))
        self.assertEqual(post(self.server, f"{bystander}/reset/")[0], 200)
        self.played()
        os.killpg(self.server.worker_pid(), signal.SIGKILL)
        self.server.process.kill()
        self.nothing_is_left()


class WithoutRay(unittest.TestCase):
    def refusal(self, *flags, **environ):
        with ServerProcess("--backend", "ray", *flags, environ=environ) as lacking:
            status, _, reply = post(lacking, "/v1/envs/", {"env_id": "CartPole-v1"})
            self.assertEqual(post(lacking, "/v1/envs/", {"env_id": "CartPole-v1"})[0], status)
        return status, reply["code"], reply["message"]

    def test_it_is_not_installed(self):
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "no_ray.py").write_text("import sys\nsys.modules['ray'] = None\n")
            status, code, text = self.refusal("--import", "no_ray", PYTHONPATH=directory)
        self.assertEqual((status, code), (400, "dependency_missing"))
        self.assertIn("[ray]", text)

    def test_an_address_of_another_kind(self):
        status, code, text = self.refusal("--ray-address", "ray://127.0.0.1:10001")
        self.assertEqual((status, code), (400, "dependency_missing"))
        self.assertIn("HOST:PORT", text)

    @params("127.0.0.1:9", "127.0.0.1:99999", "nonsense")
    def test_there_is_no_cluster(self, address):
        begun = time.monotonic()
        status, code, text = self.refusal("--ray-address", address)
        self.assertLess(time.monotonic() - begun, 25)
        self.assertEqual((status, code), (500, "backend_lost"))
        self.assertIn(address, text)

    def test_it_is_not_imported_unless_asked_for(self):
        code = "import sys, gym_http.service, gym_http_server; print('ray' in sys.modules)"
        said = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
        self.assertEqual(said.strip(), "False")
        self.assertFalse(ray.is_initialized())
