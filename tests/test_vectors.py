"""Vector environments: made, stepped, counted, refused. tests/test_vector_trajectories.py compares
them with single ones."""

import os
import signal
import unittest
from pathlib import Path

import numpy as np
from nose2.tools import params

from gym_http.environments import Recipe
from gym_http.errors import BadValue, MakeFailed, ResetNeeded
from gym_http.service import Service
from gym_http.settings import Settings
from tests.support import ServerCase, create, eventually, get, post

WAYS = ("sync", "async", "native")


class Made(ServerCase):
    @params(*WAYS)
    def test_carries_as_many_of_everything(self, way):
        env = create(self.server, "CartPole-v1", num_envs=3, vectorization=way)
        _, _, reply = post(self.server, env + "/reset/", {"seed": 1})
        self.assertEqual(np.shape(reply["observation"]), (3, 4))
        _, _, reply = post(self.server, env + "/step/", {"action": [0, 1, 0]})
        self.assertEqual(np.shape(reply["observation"]), (3, 4))
        self.assertEqual(reply["reward"], [1.0] * 3)
        for key in ("done", "terminated", "truncated"):
            self.assertEqual(reply[key], [False] * 3)
        self.assertEqual(reply["info"], {})
        _, _, facts = get(self.server, env)
        self.assertEqual(
            [facts[key] for key in ("num_envs", "vectorization", "autoreset", "steps")],
            [3, way, "next_step", 3],
        )
        self.assertEqual(post(self.server, env + "/close/")[2], {})

    @params(
        ({}, "sync", "next_step"),
        ({"vectorization": "auto", "autoreset": "same_step"}, "sync", "same_step"),
        ({"vectorization": "async", "autoreset": "disabled"}, "async", "disabled"),
    )
    def test_by_default(self, asked, way, autoreset):
        env = create(self.server, "CartPole-v1", num_envs=1, **asked)
        _, _, facts = get(self.server, env)
        self.assertEqual((facts["vectorization"], facts["autoreset"]), (way, autoreset))

    def test_a_single_one_has_no_number(self):
        _, _, facts = get(self.server, create(self.server))
        self.assertEqual(
            [facts[key] for key in ("num_envs", "vectorization", "autoreset")], [None] * 3
        )

    def test_spaces_are_those_of_all_and_of_one(self):
        env = create(self.server, "CartPole-v1", num_envs=3)
        _, _, action = get(self.server, env + "/action_space/")
        self.assertEqual(
            (action["info"]["name"], action["info"]["nvec"]), ("MultiDiscrete", [2] * 3)
        )
        self.assertEqual((action["single"]["name"], action["single"]["n"]), ("Discrete", 2))
        _, _, seen = get(self.server, env + "/observation_space/")
        self.assertEqual((seen["info"]["shape"], seen["single"]["shape"]), ([3, 4], [4]))
        _, _, single = get(self.server, create(self.server) + "/action_space/")
        self.assertNotIn("single", single)
        _, _, sample = get(self.server, env + "/action_space/sample")
        self.assertEqual(len(sample["action"]), 3)
        for value, member in (
            ("[0,1,1]", True),
            ("[0,1]", False),
            ("0", False),
            ("[0,1,2]", False),
        ):
            _, _, reply = get(self.server, f"{env}/action_space/contains/{value}")
            self.assertEqual(reply["member"], member, value)

    @params(*WAYS)
    def test_frames_side_by_side(self, way):
        env = create(self.server, "CartPole-v1", num_envs=3, vectorization=way)
        post(self.server, env + "/reset/")
        status, headers, picture = get(self.server, env + "/render/")
        self.assertEqual((status, headers["content-type"]), (200, "image/png"))
        width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
        self.assertEqual((width, height), (1200, 800))

    def test_texts_one_after_the_other(self):
        env = create(self.server, "FrozenLake-v1", num_envs=2, render_mode="ansi")
        post(self.server, env + "/reset/")
        _, headers, text = get(self.server, env + "/render/")
        self.assertEqual(headers["content-type"], "text/plain; charset=utf-8")
        self.assertEqual(text.decode().count("FHFH"), 2)

    def test_of_the_gym_engine(self):
        env = create(self.server, "CartPole-v1", num_envs=2, engine="gym")
        _, _, reply = post(self.server, env + "/reset/", {"seed": 5})
        single = create(self.server, "CartPole-v1", engine="gym")
        _, _, other = post(self.server, single + "/reset/", {"seed": 6})
        self.assertEqual(reply["observation"][1], other["observation"])

    @params("sync", "async")
    def test_nested_spaces(self, way):
        """Of every environment the action, echoed; in batches as Gymnasium makes them."""
        env = create(self.server, "CustomNested-v0", num_envs=2, vectorization=way)
        post(self.server, env + "/reset/")
        _, _, sample = get(self.server, env + "/action_space/sample")
        _, _, reply = post(self.server, env + "/step/", sample)
        self.assertEqual(reply["observation"], sample["action"])

    @params(("sync", "next_step"), ("sync", "same_step"), ("async", "same_step"))
    def test_spaces_without_a_fixed_size(self, way, autoreset):
        text = {"name": "Text", "min_length": 1, "max_length": 5, "charset": "ab"}
        env = create(
            self.server,
            "CustomMirror-v0",
            num_envs=2,
            vectorization=way,
            autoreset=autoreset,
            kwargs={"space": text},
        )
        post(self.server, env + "/reset/", {"seed": 1})
        _, _, reply = post(self.server, env + "/step/", {"action": ["ab", "b"]})
        self.assertEqual(reply["observation"], ["ab", "b"])


class Episodes(unittest.TestCase):
    """CustomOdd-v0 ends after `length` steps; here the environments get out of step by masks."""

    def setUp(self):
        self.service = Service(Settings(imports=("tests.custom_envs",)))
        self.addCleanup(self.service.close_all)

    def make(self, autoreset, length=3, way="sync", num_envs=2, env_id="CustomOdd-v0"):
        recipe = Recipe(
            env_id,
            kwargs={"length": length},
            num_envs=num_envs,
            vectorization=way,
            autoreset=autoreset,
        )
        return self.service.create(recipe).instance_id

    def counted(self, one):
        facts = self.service.describe(one)
        keys = ("steps", "episodes", "last_episode_length", "last_episode_return")
        return tuple(facts[key] for key in keys)

    @params("sync", "async")
    def test_next_step_resets_in_a_step_that_is_none(self, way):
        one = self.make("next_step", way=way)
        self.service.reset(one)
        done = [self.service.step(one, [0, 0]).done.tolist() for _ in range(3)]
        self.assertEqual(done, [[False] * 2, [False] * 2, [True] * 2])
        self.assertEqual(self.counted(one), (6, 2, 3, 3.0))
        seen = self.service.step(one, [0, 0])
        self.assertEqual((seen.observation.tolist(), seen.reward.tolist()), ([0, 0], [0.0, 0.0]))
        self.assertEqual(self.counted(one), (6, 2, 3, 3.0))
        for _ in range(3):
            self.service.step(one, [0, 0])
        self.assertEqual(self.counted(one), (12, 4, 3, 3.0))

    @params("sync", "async")
    def test_same_step_tells_of_the_last_observation(self, way):
        one = self.make("same_step", way=way)
        self.service.reset(one)
        for _ in range(2):
            self.service.step(one, [0, 0])
        seen = self.service.step(one, [0, 0])
        self.assertEqual((seen.observation.tolist(), seen.done.tolist()), ([0, 0], [True] * 2))
        self.assertEqual((seen.info["final_obs"], seen.info_dropped), ([3, 3], []))
        self.assertEqual(self.counted(one), (6, 2, 3, 3.0))
        for _ in range(3):
            self.service.step(one, [0, 0])
        self.assertEqual(self.counted(one), (12, 4, 3, 3.0))

    @params("sync", "async")
    def test_disabled_waits_for_who_ended(self, way):
        one = self.make("disabled", way=way)
        self.service.reset(one)
        self.service.step(one, [0, 0])
        self.service.reset(one, options={"reset_mask": [True, False]})  # the second is ahead
        self.service.step(one, [0, 0])
        seen = self.service.step(one, [0, 0])
        self.assertEqual(seen.done.tolist(), [False, True])
        with self.assertRaisesRegex(ResetNeeded, r"ended their episodes, \[1\]"):
            self.service.step(one, [0, 0])
        seen = self.service.reset(one, options={"reset_mask": np.array([False, True])})
        self.assertEqual(seen.observation.tolist(), [2, 0])
        self.assertEqual(self.service.step(one, [0, 0]).done.tolist(), [True, False])
        self.assertEqual(self.counted(one), (8, 2, 3, 3.0))
        self.service.reset(one)
        self.assertEqual(self.service.step(one, [0, 0]).observation.tolist(), [1, 1])

    def test_native_counts_as_the_others(self):
        one = self.service.create(
            Recipe("CartPole-v1", num_envs=5, vectorization="native")
        ).instance_id
        self.service.reset(one, seed=1)
        steps = episodes = 0
        resetting = np.zeros(5, bool)
        for _ in range(60):
            seen = self.service.step(one, [1] * 5)
            steps += int((~resetting).sum())
            episodes += int(seen.done.sum())
            resetting = seen.done
        self.assertGreater(episodes, 10)
        self.assertEqual(self.counted(one)[:2], (steps, episodes))

    def test_the_last_observations_are_elements_of_their_space(self):
        one = self.make("same_step", length=1, env_id="CustomNested-v0")
        self.service.reset(one)
        seen = self.service.step(one, self.service.sample(one))
        for last in seen.info["final_obs"]:
            self.assertEqual(set(last), {"pick", "grid", "bytes", "many", "bits", "pair"})
        self.assertEqual(seen.info_dropped, [])

    def test_seeds_for_each(self):
        one = self.service.create(Recipe("CartPole-v1", num_envs=3)).instance_id
        first = self.service.reset(one, seed=[7, None, 7]).observation
        self.assertEqual(first[0].tolist(), first[2].tolist())
        self.assertNotEqual(first[0].tolist(), first[1].tolist())
        self.assertEqual(self.service.reset(one, seed=7).observation[0].tolist(), first[0].tolist())

    def test_creates_seed_serves_the_first_reset(self):
        one = self.service.create(Recipe("CartPole-v1", num_envs=2), seed=4).instance_id
        other = self.service.create(Recipe("CartPole-v1", num_envs=2)).instance_id
        np.testing.assert_array_equal(
            self.service.reset(one).observation, self.service.reset(other, seed=4).observation
        )

    def test_more_than_the_server_allows(self):
        service = Service(Settings(max_num_envs=3))
        self.addCleanup(service.close_all)
        with self.assertRaisesRegex(BadValue, "from 1 to 3 .--max-num-envs., got 4"):
            service.create(Recipe("CartPole-v1", num_envs=4))

    def test_one_that_cannot_be_made_takes_the_others_along(self):
        path = Path(f"/tmp/gym-http-told-{os.getpid()}")
        self.addCleanup(path.unlink, missing_ok=True)
        recipe = Recipe("CustomThird-v0", kwargs={"path": str(path)}, num_envs=4)
        with self.assertRaisesRegex(MakeFailed, "the third is one too many"):
            self.service.create(recipe)
        self.assertEqual(path.read_text(), "closed\n" * 2)


class Failing(ServerCase):
    """Whatever one of them raises, a reset heals all, in processes as in one."""

    @params("sync", "async")
    def test_one_that_raises_ends_all_episodes(self, way):
        env = create(self.server, "CustomRaises-v0", num_envs=2, vectorization=way)
        post(self.server, env + "/reset/")
        status, _, reply = post(self.server, env + "/step/", {"action": [0, 1]})
        self.assertEqual((status, reply["code"]), (500, "env_failed"))
        status, _, reply = post(self.server, env + "/step/", {"action": [0, 0]})
        self.assertEqual((status, reply["code"]), (400, "reset_needed"))
        self.assertTrue(self.heals(env))
        self.assertEqual(post(self.server, env + "/close/")[2], {})

    def heals(self, env):
        post(self.server, env + "/reset/")
        _, _, reply = post(self.server, env + "/step/", {"action": [0, 0]})
        return reply["reward"] == [1.0, 1.0]

    @params("sync", "async")
    def test_options_that_are_refused(self, way):
        env = create(self.server, "CustomRaises-v0", num_envs=2, vectorization=way)
        status, _, reply = post(self.server, env + "/reset/", {"options": {"x": 1}})
        self.assertEqual((status, reply["code"]), (400, "bad_value"), reply)
        self.assertTrue(self.heals(env))

    @params("sync", "async")
    def test_nothing_to_draw(self, way):
        env = create(self.server, "CustomOdd-v0", num_envs=2, vectorization=way)
        post(self.server, env + "/reset/")
        status, _, reply = get(self.server, env + "/render/")
        self.assertEqual((status, reply["code"]), (400, "not_renderable"), reply)
        self.assertTrue(self.heals(env))

    @params("sync", "async")
    def test_observations_of_a_wrong_shape(self, way):
        kwargs = {"how": "shape"}
        env = create(self.server, "CustomFaulty-v0", num_envs=2, vectorization=way, kwargs=kwargs)
        post(self.server, env + "/reset/")
        status, _, reply = post(self.server, env + "/step/", {"action": [0, 0]})
        self.assertEqual((status, reply["code"]), (500, "env_failed"), reply)
        self.assertEqual(post(self.server, env + "/reset/")[0], 200)

    @params("sync", "async")
    def test_an_exception_that_no_process_can_send(self, way):
        env = create(self.server, "CustomUnsendable-v0", num_envs=2, vectorization=way)
        post(self.server, env + "/reset/")
        status, _, reply = post(self.server, env + "/step/", {"action": [0, 0]})
        self.assertEqual((status, reply["code"]), (500, "env_failed"))
        self.assertIn("with a function in it", reply["message"])
        self.assertEqual(post(self.server, env + "/reset/")[0], 200)

    @params("sync", "async")
    def test_infos_of_any_kind(self, way):
        """Those that differ from one to the other, and what can't leave a process."""
        env = create(self.server, "CustomTelling-v0", num_envs=3, vectorization=way)
        _, _, reply = post(self.server, env + "/reset/", {"seed": [0, 1, 2]})
        self.assertEqual(reply["info"]["mixed"], [3, None, "word"], reply)
        self.assertEqual(reply["info"]["number"], [1.0, 0.5, 1.0])
        self.assertNotIn("handle", [key for key, value in reply["info"].items() if any(value)])

    def test_a_process_that_dies_is_an_error_and_ends_with_its_instance(self):
        env = create(self.server, "CustomOdd-v0", num_envs=2, vectorization="async")
        post(self.server, env + "/reset/")
        children = processes_under(self.server.worker_pid())
        victims = [pid for pid in children if "forkserver" in command(pid)][-2:]
        os.kill(victims[0], signal.SIGKILL)
        status, _, reply = post(self.server, env + "/step/", {"action": [0, 0]})
        self.assertEqual((status, reply["code"]), (500, "env_failed"), reply)
        self.assertIn("a process of it has died", reply["message"])
        self.assertEqual(post(self.server, env + "/close/")[0], 200)
        eventually(lambda: not Path(f"/proc/{victims[1]}").exists())

    def test_processes_end_with_their_instance(self):
        before = set(processes_under(self.server.worker_pid()))
        env = create(self.server, "CustomOdd-v0", num_envs=3, vectorization="async")
        mine = set(processes_under(self.server.worker_pid())) - before
        self.assertGreaterEqual(len(mine), 3)
        post(self.server, env + "/close/")
        eventually(lambda: len(set(processes_under(self.server.worker_pid())) & mine) <= 2)


def processes_under(pid):
    """Its children, and theirs. The first "async" one starts a fork server, which stays."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *processes_under(child)]
    return found


def command(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
