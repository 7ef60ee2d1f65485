"""Whatever is wrong with a request: a 4xx in the one shape, and an instance as it was."""

import json
import unittest

from nose2.tools import params

from tests.support import ServerCase, create, get, post, request, shared_server

HUGE = "9" * 4000
DEEP = "[" * 100_000


class BadInput(ServerCase):
    def refused(self, reply, code=None, status=400):
        got, headers, body = reply
        self.assertEqual((got, headers.get("content-type")), (status, "application/json"), body)
        self.assertIsInstance(body["message"], str)
        self.assertIs(body["retryable"], False)
        self.assertTrue(
            {"message", "code", "retryable"}
            <= set(body)
            <= {"message", "code", "retryable", "detail"}
        )
        self.assertLess(len(body["message"]), 1500)
        self.assertNotIn("Traceback", body["message"])
        if code is not None:
            self.assertEqual(body["code"], code, body)
        return body["message"]


class Create(BadInput):
    @params(
        ("env_id", 5, "bad_value"),
        ("env_id", True, "bad_value"),
        ("env_id", ["CartPole-v1"], "bad_value"),
        ("env_id", {"a": 1}, "bad_value"),
        ("env_id", None, "missing_parameter"),
        ("env_id", "", "missing_parameter"),
        ("env_id", [], "missing_parameter"),
        ("env_id", "../../etc/passwd", "malformed_env_id"),
        ("env_id", "x" * 100_000, "malformed_env_id"),
        ("env_id", "\0", "malformed_env_id"),
        ("env_id", "os:system", "malformed_env_id"),
        ("seed", -1, "bad_value"),
        ("seed", 0.5, "bad_value"),
        ("seed", "7", "bad_value"),
        ("seed", True, "bad_value"),
        ("seed", 2**63, "bad_value"),
        ("seed", 10**300, "bad_value"),
        ("seed", 1e300, "bad_value"),
        ("seed", [1], "bad_value"),
        ("engine", "unity", "bad_value"),
        ("engine", 1, "bad_value"),
        ("kwargs", [1], "bad_value"),
        ("kwargs", "x", "bad_value"),
        ("kwargs", {"colour": 1}, "make_failed"),
        ("kwargs", {"render_mode": "human"}, "bad_value"),
        ("kwargs", {"": 1}, "make_failed"),
        ("render_mode", "human", "bad_value"),
        ("render_mode", "x", "bad_value"),
        ("render_mode", 1, "bad_value"),
        ("max_episode_steps", 0, "bad_value"),
        ("max_episode_steps", -1, "bad_value"),
        ("max_episode_steps", "9", "bad_value"),
        ("max_episode_steps", 1.5, "bad_value"),
        ("max_episode_steps", 10**12, "bad_value"),
    )
    def test_values(self, name, value, code):
        before = get(self.server, "/v1/envs/")[2]
        body = {"env_id": "CartPole-v1", name: value}
        message = self.refused(post(self.server, "/v1/envs/", body), code)
        if code == "bad_value":
            self.assertIn(name, message)
        self.assertEqual(get(self.server, "/v1/envs/")[2], before)

    @params("", "{", "null", "5", '"x"', "[1]", "NaN", '{"env_id": NaN}', DEEP, HUGE, "\ufeff{}")
    def test_bodies(self, body):
        reply = request(self.server, "POST", "/v1/envs/", body)
        self.assertEqual(self.refused(reply, "invalid_json"), "Request is not a valid json")
        self.assertTrue(reply[2]["detail"])

    def test_bytes_that_are_no_text(self):
        self.refused(request(self.server, "POST", "/v1/envs/", b"\xff\xfe"), "invalid_json")
        self.refused(
            request(self.server, "POST", "/v1/envs/", b'{"env_id":"\xff"}'), "invalid_json"
        )

    def test_a_space_without_a_row(self):
        reply = post(self.server, "/v1/envs/", {"env_id": "CustomUnheard-v0"})
        self.refused(reply, "unsupported_space")


class OnAnInstance(BadInput):
    """Each test ends with a step, which has to be that of an undisturbed twin."""

    def setUp(self):
        super().setUp()
        self.envs = create(self.server), create(self.server)
        self.env = self.envs[0]
        for env in self.envs:
            post(self.server, f"{env}/reset/", {"seed": 11})

    def tearDown(self):
        one, twin = (post(self.server, f"{env}/step/", {"action": 1})[2] for env in self.envs)
        self.assertEqual(one, twin)
        facts = [get(self.server, env)[2] for env in self.envs]
        self.assertEqual(facts[0]["steps"], facts[1]["steps"])

    @params(2, -1, 0.5, "1", True, [0, 1], [[1]], {}, 10**30, 1e300, [[]])
    def test_actions(self, action):
        message = self.refused(
            post(self.server, f"{self.env}/step/", {"action": action}), "bad_value"
        )
        self.assertIn("integer from 0 to 1", message)

    @params(None, "")
    def test_no_action(self, action):
        reply = post(self.server, f"{self.env}/step/", {"action": action})
        expected = "A required request parameter 'action' was not provided"
        self.assertEqual(self.refused(reply, "missing_parameter"), expected)

    @params("1", 1, 0.5, "yes", [True], {})
    def test_render(self, value):
        reply = post(self.server, f"{self.env}/step/", {"action": 1, "render": value})
        self.assertIn("render", self.refused(reply, "bad_value"))

    @params("{", "", "null", '{"action": NaN}', '{"action": 1e999}', DEEP)
    def test_step_bodies(self, body):
        self.refused(request(self.server, "POST", f"{self.env}/step/", body), "invalid_json")

    @params(
        {"seed": -1},
        {"seed": "x"},
        {"seed": True},
        {"options": 5},
        {"options": [1]},
        {"options": "x"},
    )
    def test_reset(self, body):
        self.refused(post(self.server, f"{self.env}/reset/", body), "bad_value")

    @params("abc", "%22", "nan", "%7B", "1%200", "%FF", "%00")
    def test_contains(self, x):
        reply = get(self.server, f"{self.env}/action_space/contains/{x}")
        self.refused(reply, "bad_value")

    @params(
        ("directory", 5, "bad_value"),
        ("directory", None, "missing_parameter"),
        ("directory", "a\0b", "bad_directory"),
        ("directory", "/dev/null/x", "forbidden_directory", 403),
        ("directory", "log/x", "bad_directory"),
        ("directory", "x" * 5000, "bad_value"),
        ("directory", "x" * 300, "bad_directory"),
        ("force", "yes", "bad_value"),
        ("resume", 1, "bad_value"),
        ("video_callable", 0, "bad_value"),
        ("video_callable", -3, "bad_value"),
        ("video_callable", 2.5, "bad_value"),
        ("video_callable", "always", "bad_value"),
        ("video_callable", {}, "bad_value"),
    )
    def test_monitor(self, name, value, code, status=400):
        body = {"directory": str(self.server.home / "unused"), name: value}
        self.refused(post(self.server, f"{self.env}/monitor/start/", body), code, status)
        self.assertIsNone(get(self.server, self.env)[2]["monitor"])
        self.assertFalse((self.server.home / "unused").exists())


class BoxActions(BadInput):
    @params([3.0], [-2.5], [[0.0]], [0.0, 0.0], [], "0", True, [True], ["0"], {}, [1e39], [10**400])
    def test_pendulum(self, action):
        env = create(self.server, "Pendulum-v1")
        post(self.server, f"{env}/reset/", {"seed": 1})
        body = json.dumps({"action": action})
        reply = request(self.server, "POST", f"{env}/step/", body)
        self.refused(reply, "bad_value")
        self.assertEqual(get(self.server, env)[2]["steps"], 0)
        self.assertEqual(post(self.server, f"{env}/step/", {"action": [0.5]})[0], 200)


class EpisodeOrder(BadInput):
    def test_step_before_reset_and_after_the_end(self):
        env = create(self.server, "CustomOdd-v0", kwargs={"length": 1})
        message = self.refused(post(self.server, f"{env}/step/", {"action": 0}), "reset_needed")
        self.assertIn("reset it", message)
        self.refused(get(self.server, f"{env}/render/"), "reset_needed")
        post(self.server, f"{env}/reset/")
        self.assertTrue(post(self.server, f"{env}/step/", {"action": 0})[2]["done"])
        message = self.refused(post(self.server, f"{env}/step/", {"action": 0}), "reset_needed")
        self.assertIn("reset it", message)
        self.assertEqual(get(self.server, env)[2]["steps"], 1)

    def test_nothing_to_draw(self):
        env = create(self.server, "CustomOdd-v0")
        post(self.server, f"{env}/reset/")
        self.refused(get(self.server, f"{env}/render/"), "not_renderable")


class Ids(BadInput):
    @params("bad_id", "%00", "x" * 5000, "%F0%9F%98%80", "null")
    def test_unknown(self, instance_id):
        message = self.refused(get(self.server, f"/v1/envs/{instance_id}/"), "unknown_instance")
        self.assertTrue(message.startswith("Instance_id ") and message.endswith(" unknown"))

    def test_closed(self):
        env = create(self.server)
        self.assertEqual(post(self.server, f"{env}/close/")[2], {})
        self.refused(post(self.server, f"{env}/close/"), "unknown_instance")


class Upload(BadInput):
    @params(
        ({"api_key": "k"}, "missing_parameter"),
        ({"training_dir": "/tmp"}, "missing_parameter"),
        ({"training_dir": 5, "api_key": "k"}, "bad_value"),
        ({"training_dir": "/tmp", "api_key": 5}, "bad_value"),
        ({"training_dir": "/no/such/directory", "api_key": "k"}, "forbidden_directory", 403),
        ({"training_dir": "no/such/directory", "api_key": "k"}, "bad_directory"),
        ({"training_dir": "a\0b", "api_key": "k"}, "bad_directory"),
        ({"training_dir": "x" * 5000, "api_key": "k"}, "bad_value"),
        ({"training_dir": "log", "api_key": "k"}, "bad_directory"),
        ({"training_dir": ".", "api_key": "k"}, "no_recording"),
        ({"training_dir": ".", "api_key": "k", "algorithm_id": "x" * 256}, "bad_value"),
        ({"training_dir": ".", "api_key": "k", "algorithm_id": "\0"}, "bad_value"),
        ({"training_dir": ".", "api_key": "k", "algorithm_id": "\x1b[2J"}, "bad_value"),
        ({"training_dir": ".", "api_key": "k", "algorithm_id": 5}, "bad_value"),
        ({"training_dir": ".", "api_key": "x" * 1025}, "bad_value"),
    )
    def test_values(self, body, code, status=400):
        self.refused(post(self.server, "/v1/upload/", body), code, status)

    def test_a_monitor_still_open(self):
        env = create(self.server, "CustomOdd-v0")
        directory = str(self.server.home / "still-open")
        post(self.server, f"{env}/monitor/start/", {"directory": directory})
        status, _, reply = post(
            self.server, "/v1/upload/", {"training_dir": directory, "api_key": "k"}
        )
        self.assertEqual((status, reply["code"], reply["retryable"]), (400, "recording_open", True))


class Paths(BadInput):
    @params("/", "/v1", "/v2/envs/", "/v1/envs/x/y", "/v1//envs", "/v1/envs/../envs", "/%00")
    def test_unknown(self, path):
        self.refused(get(self.server, path), "unknown_path", 404)

    @params(
        ("DELETE", "/v1/envs/"),
        ("GET", "/v1/upload/"),
        ("PUT", "/v1/envs/x/step/"),
        ("FOO", "/v1/envs"),
    )
    def test_wrong_method(self, method, path):
        reply = request(self.server, method, path)
        self.refused(reply, "method_not_allowed", 405)
        self.assertIn("POST", reply[1]["allow"])

    def test_a_query_that_is_wrong(self):
        self.refused(get(self.server, "/v1/registry/?engine=unity"), "bad_value")


class TheEnvironmentsFault(unittest.TestCase):
    @params(
        ("exit", 500, "env_failed"),
        ("interrupt", 500, "env_failed"),
        ("make exit", 400, "make_failed"),
        ("make interrupt", 500, "internal"),
    )
    def test_is_answered_whatever_it_raises(self, how, status, code):
        server = shared_server()
        reply = post(server, "/v1/envs/", {"env_id": "CustomFaulty-v0", "kwargs": {"how": how}})
        if not how.startswith("make"):
            env = f"/v1/envs/{reply[2]['instance_id']}"
            post(server, f"{env}/reset/")
            reply = post(server, f"{env}/step/", {"action": 0})
        self.assertEqual((reply[0], reply[2]["code"]), (status, code))

    def test_is_a_500_without_a_traceback(self):
        server = shared_server()
        env = create(server, "CustomRaises-v0")
        post(server, f"{env}/reset/")
        status, headers, reply = post(server, f"{env}/step/", {"action": 1})
        self.assertEqual((status, reply["code"]), (500, "env_failed"))
        self.assertEqual(headers["content-type"], "application/json")
        self.assertNotIn("custom_envs.py", reply["message"])
        self.assertNotIn("done", reply)
        self.assertEqual(post(server, f"{env}/reset/")[0], 200)
