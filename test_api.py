"""The public contract, through the bundled client, over a real socket.

Every test runs twice: against `python gym_http_server.py`, which serves on Granian, and against
`gym_http_server.app.run` on a thread of this process, as old test suites drive it.
"""

import json
import logging
import os
import re
import socket
import tempfile
import threading
import unittest
import warnings
from pathlib import Path

import numpy as np
import requests

from gym_http_client import Client, ServerError
from tests.support import ServerProcess, at_once, eventually


class Contract:
    """What each server has to do. `url` and `directory` are given by the two classes below."""

    url: str
    directory: str

    def setUp(self):
        self.client = Client(self.url)
        self.addCleanup(self.client.close)

    def create(self, env_id="CartPole-v0", **more):
        instance_id = self.client.env_create(env_id, **more)
        self.addCleanup(self.end, instance_id)
        return instance_id

    def end(self, instance_id):
        if instance_id in self.client.env_list_all():
            self.client.env_close(instance_id)

    def refused(self, code, call, *arguments, **more):
        with self.assertRaises(ServerError) as caught:
            call(*arguments, **more)
        self.assertEqual(caught.exception.code, code)
        self.assertEqual(caught.exception.status_code, 400)
        return caught.exception.message

    # ---- create, list, info, close

    def test_create_and_close(self):
        instance_id = self.create("CartPole-v0")
        self.assertEqual(self.client.env_list_all()[instance_id], "CartPole-v0")
        self.client.env_close(instance_id)
        self.assertNotIn(instance_id, self.client.env_list_all())
        message = self.refused("unknown_instance", self.client.env_close, instance_id)
        self.assertEqual(message, f"Instance_id {instance_id} unknown")

    def test_create_malformed(self):
        message = self.refused("malformed_env_id", self.client.env_create, "bad string")
        expected = "Attempted to look up malformed environment ID 'bad string'"
        self.assertTrue(message.startswith(expected), message)

    def test_a_bad_environment_does_no_harm(self):
        good = self.create("CartPole-v0")
        self.refused("malformed_env_id", self.client.env_create, "Nothing-v0")
        self.refused("make_failed", self.client.env_create, "CartPole-v1", kwargs={"x": 1})
        self.client.env_reset(good)
        self.assertEqual(len(self.client.env_step(good, 0)), 4)

    def test_a_retired_id_is_served_by_its_successor(self):
        with self.assertWarnsRegex(UserWarning, "FrozenLake-v1 serves it"):
            instance_id = self.create("FrozenLake-v0")
        self.assertEqual(self.client.env_list_all()[instance_id], "FrozenLake-v0")
        self.assertEqual(self.client.env_info(instance_id)["env_id"], "FrozenLake-v1")

    def test_nothing_to_warn_of(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.create("CartPole-v0")

    def test_env_info(self):
        instance_id = self.create("CartPole-v0")
        self.client.env_reset(instance_id)
        done = False
        total = 0.0
        while not done:
            _, reward, done, _ = self.client.env_step(instance_id, 1)
            total += reward
        info = self.client.env_info(instance_id)
        self.assertLessEqual(info.pop("created"), info.pop("last_used"))
        self.assertEqual(
            info,
            {
                "instance_id": instance_id,
                "env_id": "CartPole-v0",
                "engine": "gymnasium",
                "render_mode": "rgb_array",
                "render_fps": 50.0,
                "max_episode_steps": 200,
                "reward_threshold": 195.0,
                "nondeterministic": False,
                "num_envs": None,
                "vectorization": None,
                "autoreset": None,
                "steps": int(total),
                "episodes": 1,
                "last_episode_return": total,
                "last_episode_length": int(total),
                "monitor": None,
                "backend": "local",
                "step_timeout_s": 0.0,
                "make_timeout_s": 0.0,
                "lease_s": None,
                "last_error": None,
                "restored": 0,
            },
        )

    def test_create_options(self):
        instance_id = self.create(
            "FrozenLake-v1",
            seed=3,
            engine="gymnasium",
            kwargs={"map_name": "8x8"},
            render_mode="ansi",
            max_episode_steps=1,
        )
        self.assertEqual(self.client.env_observation_space_info(instance_id)["n"], 64)
        self.client.env_reset(instance_id)
        self.assertIn("F", self.client.env_render(instance_id))
        self.assertTrue(self.client.env_step(instance_id, 0)[2])

    # ---- reset, step, render

    def test_reset_and_step(self):
        instance_id = self.create("CartPole-v0")
        observation = self.client.env_reset(instance_id)
        self.assertEqual(len(observation), 4)
        observation, reward, done, info = self.client.env_step(instance_id, 0)
        self.assertEqual((len(observation), reward, done, info), (4, 1.0, False, {}))

    def test_the_old_positional_calls(self):
        instance_id = self.create("CartPole-v0")
        self.client.env_reset(instance_id)
        self.assertEqual(len(self.client.env_step(instance_id, 1, True)), 4)
        self.client.env_monitor_start(instance_id, self.path("old"), True, False, False)
        self.client.env_monitor_close(instance_id)

    def test_reset_in_the_middle_of_an_episode(self):
        instance_id = self.create("CartPole-v0")
        for _ in range(3):
            self.client.env_reset(instance_id)
            self.client.env_step(instance_id, 1)

    def test_seeds(self):
        one, other = self.create(seed=5), self.create()
        self.assertEqual(self.client.env_reset(one), self.client.env_reset(other, seed=5))

    def test_options(self):
        instance_id = self.create("CartPole-v1")
        options = {"low": 0.01, "high": 0.02}
        observation = self.client.env_reset(instance_id, options=options)
        self.assertTrue(all(0.01 <= number <= 0.02 for number in observation))

    def test_gymnasiums_own_order(self):
        instance_id = self.create("Taxi-v4", max_episode_steps=1)
        observation, info = self.client.env_reset(instance_id, seed=1, with_info=True)
        self.assertEqual(len(info["action_mask"]), 6)
        self.assertIsInstance(observation, int)
        step = self.client.env_step(instance_id, 0, with_truncated=True)
        self.assertEqual((step[2], step[3]), (False, True))

    def test_numpy_actions(self):
        instance_id = self.create("Pendulum-v1")
        self.client.env_reset(instance_id)
        for action in (np.array([0.5], np.float32), [np.float64(0.5)], np.float32(0.5), 0.5):
            self.client.env_step(instance_id, action)
        cart = self.create("CartPole-v0")
        self.client.env_reset(cart)
        self.client.env_step(cart, np.int64(1))

    def test_an_action_that_is_nan(self):
        instance_id = self.create("Pendulum-v1")
        self.client.env_reset(instance_id)
        with self.assertRaises(ValueError):
            self.client.env_step(instance_id, [float("nan")])

    def test_out_of_order(self):
        instance_id = self.create("CartPole-v0", max_episode_steps=1)
        self.refused("reset_needed", self.client.env_step, instance_id, 0)
        self.client.env_reset(instance_id)
        self.client.env_step(instance_id, 0)
        self.refused("reset_needed", self.client.env_step, instance_id, 0)

    def test_rollout(self):
        instance_id = self.create("CartPole-v0", max_episode_steps=5)
        self.client.env_reset(instance_id)
        message = self.refused("bad_value", self.client.env_rollout, instance_id, [0, 1, 2])
        self.assertIn("actions[2]", message)
        reply = self.client.env_rollout(instance_id, [0, 1] * 9)
        self.assertEqual((reply["steps"], reply["rewards"]), (5, [1.0] * 5))
        self.assertEqual(reply["final_observations"], [reply["observations"][4]])
        self.refused("reset_needed", self.client.env_rollout, instance_id, [0])
        self.client.env_reset(instance_id)
        reply = self.client.env_rollout(instance_id, sample=12, on_done="reset", fields=["done"])
        self.assertEqual(
            reply, {"steps": 12, "done": [False, False, False, False, True] * 2 + [False] * 2}
        )

    def test_render(self):
        instance_id = self.create("CartPole-v0")
        self.client.env_reset(instance_id)
        png = self.client.env_render(instance_id)
        self.assertEqual(png[:8], b"\x89PNG\r\n\x1a\n")

    def test_the_gym_engine(self):
        instance_id = self.create("CartPole-v1", engine="gym")
        self.assertEqual(self.client.env_info(instance_id)["engine"], "gym")
        self.assertEqual(len(self.client.env_reset(instance_id, seed=1)), 4)
        self.assertEqual(self.client.env_step(instance_id, 1)[1], 1.0)

    # ---- spaces

    def test_action_space(self):
        instance_id = self.create("CartPole-v0")
        info = self.client.env_action_space_info(instance_id)
        self.assertEqual((info["name"], info["n"]), ("Discrete", 2))
        for _ in range(10):
            action = self.client.env_action_space_sample(instance_id)
            self.assertIs(self.client.env_action_space_contains(instance_id, action), True)
        for stranger in (2, -1, 0.5, "1", [0, 1], None, True):
            member = self.client.env_action_space_contains(instance_id, stranger)
            self.assertIs(member, False, stranger)

    def test_a_box_of_actions(self):
        instance_id = self.create("Pendulum-v1")
        info = self.client.env_action_space_info(instance_id)
        self.assertEqual((info["shape"], info["low"], info["high"]), ([1], [-2.0], [2.0]))
        self.assertIs(self.client.env_action_space_contains(instance_id, np.array([1.5])), True)
        self.assertIs(self.client.env_action_space_contains(instance_id, [2.5]), False)

    def test_observation_space(self):
        instance_id = self.create("CartPole-v0")
        info = self.client.env_observation_space_info(instance_id)
        self.assertEqual((info["name"], info["shape"]), ("Box", [4]))
        self.assertEqual(info["high"][1], 1e100)
        contains = self.client.env_observation_space_contains
        self.assertIs(contains(instance_id, {"name": "Box", "shape": [4]}), True)
        self.assertIs(contains(instance_id, {}), True)
        self.assertIs(contains(instance_id, {"name": "Discrete"}), False)
        self.assertIs(contains(instance_id, {"colour": 1}), False)
        self.assertIs(contains(instance_id, {"value": self.client.env_reset(instance_id)}), True)
        self.assertIs(contains(instance_id, {"value": [9, 9, 9, 9]}), False)
        self.assertIs(contains(instance_id, {"value": None}), False)

    def test_unknown_instances(self):
        for method, more in (
            ("env_reset", ()),
            ("env_step", (1,)),
            ("env_rollout", ([1],)),
            ("env_info", ()),
            ("env_render", ()),
            ("env_close", ()),
            ("env_action_space_info", ()),
            ("env_action_space_sample", ()),
            ("env_action_space_contains", (1,)),
            ("env_observation_space_info", ()),
            ("env_observation_space_contains", ({},)),
            ("env_monitor_start", ("/tmp/x",)),
            ("env_monitor_close", ()),
        ):
            with self.subTest(method=method):
                call = getattr(self.client, method)
                message = self.refused("unknown_instance", call, "bad_id", *more)
                self.assertEqual(message, "Instance_id bad_id unknown")

    # ---- monitor and scoreboard

    def path(self, name):
        return os.path.join(self.directory, type(self).__name__ + name)

    def play(self, instance_id, episodes):
        for _ in range(episodes):
            self.client.env_reset(instance_id)
            done = False
            while not done:
                action = self.client.env_action_space_sample(instance_id)
                done = self.client.env_step(instance_id, action)[2]

    def test_monitor(self):
        directory = self.path("monitor")
        instance_id = self.create("CartPole-v0")
        self.client.env_monitor_start(instance_id, directory, video_callable=2)
        self.assertEqual(self.client.env_info(instance_id)["monitor"], directory)
        self.refused("recording_open", self.client.env_monitor_start, instance_id, directory)
        self.play(instance_id, 3)
        self.client.env_monitor_close(instance_id)
        self.client.env_monitor_close(instance_id)  # twice is no error, as in v1
        names = sorted(os.listdir(directory))
        kinds = ["manifest.json", "meta.json", "meta.json", "mp4", "mp4", "stats.json"]
        endings = [re.sub(r"^openaigym\.\w+\.\d+\.\d+\.(video\d+\.)?", "", name) for name in names]
        self.assertEqual(sorted(endings), kinds)
        self.play(instance_id, 1)
        self.refused("recording_exists", self.client.env_monitor_start, instance_id, directory)
        self.client.env_monitor_start(instance_id, directory, resume=True)
        self.client.env_monitor_close(instance_id)
        self.client.env_monitor_start(instance_id, directory, force=True)
        self.client.env_monitor_close(instance_id)
        self.assertEqual(len(os.listdir(directory)), 2)

    def test_a_recorded_episode_has_a_beginning(self):
        instance_id = self.create("CartPole-v0")
        self.client.env_reset(instance_id)
        self.client.env_monitor_start(instance_id, self.path("begin"), force=True)
        self.refused("reset_needed", self.client.env_step, instance_id, 0)

    def test_upload(self):
        directory = self.path("upload")
        instance_id = self.create("CartPole-v0", seed=1)
        self.client.env_monitor_start(instance_id, directory, force=True)
        self.play(instance_id, 100)
        self.refused("recording_open", self.client.upload, directory, "random", "secret key")
        self.client.env_close(instance_id)
        self.client.upload(directory, "random", "secret key")
        self.client.upload(directory, api_key="secret key")
        first, second = self.client.scoreboard("CartPole-v0")[:2]
        self.assertEqual((first["algorithm_id"], second["algorithm_id"]), ("random", None))
        self.assertEqual(first["number_episodes"], 100)
        self.assertGreater(first["mean"], 8)
        self.assertEqual(first["reward_threshold"], 195.0)
        self.assertEqual(first["uploader"], second["uploader"])
        self.assertNotIn("secret", str(first))
        self.assertEqual(self.client.scoreboard("Acrobot-v1"), [])

    def test_upload_of_gyms_own_files(self):
        """A recording by Gym itself, whose manifest names no engine."""
        directory = Path(self.path("gym"))
        directory.mkdir()
        name = "openaigym.episode_batch.0.77.stats.json"
        stats = {
            "initial_reset_timestamp": 1.0,
            "timestamps": [2.0 + n for n in range(100)],
            "episode_lengths": [5] * 100,
            "episode_rewards": [200.0] * 100,
            "episode_types": ["t"] * 101,
        }
        manifest = {
            "stats": name,
            "videos": [],
            "env_info": {"gym_version": "0.7.4", "env_id": "MountainCar-v0", "engine": None},
        }
        (directory / name).write_text(json.dumps(stats))
        (directory / "openaigym.manifest.0.77.manifest.json").write_text(json.dumps(manifest))
        self.client.upload(directory, api_key="key")
        (entry,) = self.client.scoreboard("MountainCar-v0")
        self.assertEqual((entry["mean"], entry["engine"]), (200.0, "gym"))
        self.assertEqual((entry["episode_t_value"], entry["timestep_t_value"]), (0, 0))

    def test_upload_without_a_key(self):
        for name in ("GYM_HTTP_API_KEY", "OPENAI_GYM_API_KEY"):
            os.environ.pop(name, None)
        message = self.refused("missing_parameter", self.client.upload, "/no/such")
        self.assertEqual(message, "A required request parameter 'api_key' was not provided")
        os.environ["OPENAI_GYM_API_KEY"] = "key"
        self.addCleanup(os.environ.pop, "OPENAI_GYM_API_KEY")
        self.refused("bad_directory", self.client.upload, self.path("no-such"))

    # ---- the server

    def test_registry(self):
        offered = {env["env_id"]: env for env in self.client.registry("gymnasium")}
        self.assertEqual(offered["CartPole-v1"]["reward_threshold"], 475.0)
        self.assertIn("gym", {env["engine"] for env in self.client.registry()})

    def test_two_clients_share_instances(self):
        instance_id = self.create("CartPole-v0")
        with Client(self.url + "/") as other:
            other.env_reset(instance_id)
            other.env_step(instance_id, 0)

    def test_threads_on_one_instance_take_turns(self):
        instance_id = self.create("MountainCar-v0", max_episode_steps=1000)
        self.client.env_reset(instance_id)

        def steps():
            with Client(self.url) as client:
                for _ in range(50):
                    client.env_step(instance_id, 0)

        at_once(*[steps] * 4)
        self.assertEqual(self.client.env_info(instance_id)["steps"], 200)


class OnGranian(Contract, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ServerProcess()
        cls.addClassCleanup(cls.server.stop)
        cls.url, cls.directory = cls.server.url, str(cls.server.home)

    def test_shutdown(self):
        with ServerProcess() as server, Client(server.url) as client:
            client.env_create("CartPole-v0")
            client.shutdown_server()
            self.assertEqual(server.wait(), 0)
            with self.assertRaises(requests.ConnectionError):
                client.env_list_all()


class OnAThread(Contract, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.directory = temporary.name
        os.environ["GYM_HTTP_DATA_DIR"] = temporary.name
        cls.addClassCleanup(os.environ.pop, "GYM_HTTP_DATA_DIR")
        logging.getLogger("werkzeug").setLevel("WARNING")  # else a line for each request
        import gym_http_server
        from gym_http.cli import read_settings
        from gym_http.web.app import create_app

        assert gym_http_server.app.name == "gym_http"
        cls.app = create_app(read_settings())
        cls.url, cls.thread = run_on_a_thread(cls.app)
        cls.addClassCleanup(cls.thread.join)
        cls.addClassCleanup(lambda: Client(cls.url).shutdown_server())

    def test_shutdown_and_start_again(self):
        import gym_http_server

        for _ in range(2):
            url, thread = run_on_a_thread(gym_http_server.app)
            with Client(url) as client:
                self.assertEqual(client.env_list_all(), {})
                client.env_create("CartPole-v0")
                client.shutdown_server()
                thread.join(20)
                self.assertFalse(thread.is_alive())
                with self.assertRaises(requests.ConnectionError):
                    client.env_list_all()


def run_on_a_thread(app):
    """`app.run` as old tests call it, with the port as a string. Returns (url, thread)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {"threaded": True, "host": "127.0.0.1", "port": str(port)}
    thread = threading.Thread(target=app.run, kwargs=options, daemon=True)
    thread.start()

    def listening():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    eventually(listening)
    return f"http://127.0.0.1:{port}", thread
