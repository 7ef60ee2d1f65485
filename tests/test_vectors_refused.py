"""What vector environments are not made of, nor stepped with."""

from nose2.tools import params

from tests.support import ServerCase, create, get, post


class Refused(ServerCase):
    @params(0, -1, "8", 10**9, 1.5, True, [2], {}, 2**31, float(10**9), -0.5)
    def test_num_envs(self, num_envs):
        status, _, reply = post(
            self.server, "/v1/envs/", {"env_id": "CartPole-v1", "num_envs": num_envs}
        )
        self.assertEqual((status, reply["code"]), (400, "bad_value"), reply)
        self.assertIn("num_envs", reply["message"])

    @params(
        ({"vectorization": "many", "num_envs": 2}, "vectorization must be one of auto, native"),
        ({"autoreset": "never", "num_envs": 2}, "autoreset must be one of next_step"),
        ({"vectorization": 5, "num_envs": 2}, "vectorization"),
        ({"vectorization": "sync"}, "goes with num_envs"),
        ({"autoreset": "disabled"}, "goes with num_envs"),
        ({"vectorization": "async", "num_envs": 129}, "at most 128"),
        (
            {"vectorization": "native", "num_envs": 2, "autoreset": "same_step"},
            "has autoreset 'next_step'",
        ),
        ({"kwargs": {"num_envs": 3}}, "num_envs"),
        ({"kwargs": {"vectorization_mode": "sync"}, "num_envs": 2}, "vectorization_mode"),
    )
    def test_at_create(self, asked, message):
        status, _, reply = post(self.server, "/v1/envs/", {"env_id": "CartPole-v1", **asked})
        self.assertEqual((status, reply["code"]), (400, "bad_value"), reply)
        self.assertIn(message, reply["message"])

    def test_native_where_there_is_none(self):
        asked = {"env_id": "MountainCar-v0", "num_envs": 2, "vectorization": "native"}
        status, _, reply = post(self.server, "/v1/envs/", asked)
        self.assertEqual((status, reply["code"]), (400, "bad_value"))
        self.assertIn("no vector form of its own", reply["message"])

    def test_what_gymnasium_would_get_wrong(self):
        text = {"name": "Text", "min_length": 1, "max_length": 5, "charset": "ab"}
        asked = {"env_id": "CustomMirror-v0", "kwargs": {"space": text}, "num_envs": 2}
        status, _, reply = post(self.server, "/v1/envs/", {**asked, "vectorization": "async"})
        self.assertEqual((status, reply["code"]), (400, "bad_value"), reply)
        self.assertIn("has no 'next_step'", reply["message"])

    @params(
        {"seed": [1, 2]}, {"seed": [1, 2, "x"]}, {"seed": [1, 2, -1]}, {"seed": [1, 2, 0.5]},
        {"options": {"reset_mask": [True]}}, {"options": {"reset_mask": [1, 0, 1]}},
        {"options": {"reset_mask": [False] * 3}}, {"options": {"reset_mask": "all"}},
        {"options": {"reset_mask": None}}, {"options": {"reset_mask": [[True] * 3]}},
    )  # fmt: skip
    def test_at_reset(self, body):
        env = create(self.server, "CartPole-v1", num_envs=3)
        post(self.server, env + "/reset/", {"seed": 1})
        status, _, reply = post(self.server, env + "/reset/", body)
        self.assertEqual((status, reply["code"]), (400, "bad_value"), reply)
        _, _, going_on = post(self.server, env + "/step/", {"action": [1] * 3})
        self.assertEqual(going_on["reward"], [1.0] * 3)

    def test_a_list_of_seeds_for_a_single_one(self):
        env = create(self.server)
        status, _, reply = post(self.server, env + "/reset/", {"seed": [1]})
        self.assertEqual((status, reply["code"]), (400, "bad_value"))

    def test_a_mask_before_the_first_reset(self):
        env = create(self.server, num_envs=2, autoreset="disabled")
        body = {"options": {"reset_mask": [True, False]}}
        status, _, reply = post(self.server, env + "/reset/", body)
        self.assertEqual((status, reply["code"]), (400, "bad_value"))

    def test_a_mask_that_a_native_form_would_not_heed(self):
        env = create(self.server, num_envs=2, vectorization="native")
        post(self.server, env + "/reset/")
        body = {"options": {"reset_mask": [True, False]}}
        status, _, reply = post(self.server, env + "/reset/", body)
        self.assertEqual((status, reply["code"]), (400, "bad_value"))

    def test_seeds_for_each_of_a_native_form(self):
        env = create(self.server, num_envs=2, vectorization="native")
        post(self.server, env + "/reset/", {"seed": 1})
        status, _, reply = post(self.server, env + "/reset/", {"seed": [1, 2]})
        self.assertEqual((status, reply["code"]), (400, "bad_value"))
        self.assertEqual(post(self.server, env + "/step/", {"action": [1, 1]})[0], 200)

    def test_more_than_can_be_drawn(self):
        env = create(self.server, num_envs=65)
        post(self.server, env + "/reset/")
        status, _, reply = get(self.server, env + "/render/")
        self.assertEqual((status, reply["code"]), (400, "not_renderable"), reply)
        body = {"directory": str(self.scratch), "video_callable": True}
        status, _, reply = post(self.server, env + "/monitor/start/", body)
        self.assertEqual((status, reply["code"]), (400, "not_renderable"), reply)

    def test_an_environment_of_another_server(self):
        asked = {"env_id": "http/Remote-v0", "kwargs": {"url": "http://127.0.0.1:9"}}
        status, _, reply = post(self.server, "/v1/envs/", asked)
        self.assertEqual((status, reply["code"]), (400, "malformed_env_id"), reply)

    @params([0, 1], [0, 1, 2], 1, [[0, 1, 0]], [0, 1, None], "010", [])
    def test_actions(self, action):
        env = create(self.server, num_envs=3)
        post(self.server, env + "/reset/")
        status, _, reply = post(self.server, env + "/step/", {"action": action})
        self.assertEqual((status, reply["code"]), (400, "bad_value"), reply)
