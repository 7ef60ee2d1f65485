"""The verbs, without HTTP: what each does to an instance, above all when it fails."""

import os
import tempfile
import unittest
from pathlib import Path

import gymnasium
import numpy as np
from nose2.tools import params

import tests.custom_envs  # noqa: F401
from gym_http.environments import Recipe
from gym_http.errors import (
    BadValue,
    EnvFailed,
    MakeFailed,
    NotRenderable,
    NotStoppable,
    ResetNeeded,
    UnknownInstance,
    UnsupportedSpace,
)
from gym_http.service import Service
from gym_http.settings import Settings


class Verbs(unittest.TestCase):
    def setUp(self):
        self.now = 1000.0
        self.service = Service(clock=lambda: self.now)
        self.addCleanup(self.service.close_all)

    def create(self, env_id="CartPole-v1", seed=None, **more):
        return self.service.create(Recipe(env_id, **more), seed).instance_id

    def test_a_trajectory_is_that_of_the_environment(self):
        env = gymnasium.make("CartPole-v1")
        one = self.create()
        expected, _ = env.reset(seed=7)
        np.testing.assert_array_equal(self.service.reset(one, seed=7).observation, expected)
        for step in range(30):
            expected, reward, terminated, truncated, _ = env.step(step % 2)
            seen = self.service.step(one, step % 2)
            np.testing.assert_array_equal(seen.observation, expected)
            self.assertEqual(
                (seen.reward, seen.terminated, seen.truncated), (reward, terminated, truncated)
            )
            if terminated:
                break

    def test_creates_seed_serves_the_first_reset_only(self):
        one, other = self.create(seed=5), self.create()
        first = self.service.reset(one).observation
        np.testing.assert_array_equal(first, self.service.reset(other, seed=5).observation)
        np.testing.assert_array_equal(
            self.service.reset(one).observation, self.service.reset(other).observation
        )
        self.assertFalse(np.array_equal(first, self.service.reset(one).observation))

    def test_creates_seed_serves_samples(self):
        one, other = self.create(seed=5), self.create(seed=5)
        draws = [[self.service.sample(i) for _ in range(20)] for i in (one, other)]
        self.assertEqual(draws[0], draws[1])

    def test_describe(self):
        one = self.create("FrozenLake-v0")
        self.now = 1001.0
        self.service.reset(one, seed=0)
        self.now = 1002.0
        while not (seen := self.service.step(one, 2)).terminated:
            pass
        facts = self.service.describe(one)
        length = facts.pop("last_episode_length")
        self.assertEqual(
            facts,
            {
                "instance_id": one,
                "env_id": "FrozenLake-v1",
                "engine": "gymnasium",
                "render_mode": "rgb_array",
                "render_fps": 4.0,
                "max_episode_steps": 100,
                "reward_threshold": 0.7,
                "nondeterministic": False,
                "num_envs": None,
                "vectorization": None,
                "backend": "local",
                "step_timeout_s": 0.0,
                "make_timeout_s": 0.0,
                "lease_s": None,
                "last_error": None,
                "restored": 0,
                "autoreset": None,
                "created": 1000.0,
                "last_used": 1002.0,
                "steps": length,
                "episodes": 1,
                "last_episode_return": seen.reward,
                "monitor": None,
            },
        )
        self.assertEqual(self.service.instances(), {one: "FrozenLake-v0"})

    def test_step_needs_a_running_episode(self):
        one = self.create("CustomOdd-v0")
        with self.assertRaisesRegex(ResetNeeded, "has not been reset yet.*reset it"):
            self.service.step(one, 0)
        self.service.reset(one)
        for _ in range(3):
            self.service.step(one, 0)
        with self.assertRaisesRegex(ResetNeeded, "has ended its episode.*reset it"):
            self.service.step(one, 0)
        self.service.reset(one)
        self.service.step(one, 0)

    def test_an_int_reward_becomes_a_float(self):
        one = self.create("CustomOdd-v0")
        self.service.reset(one)
        self.assertIs(type(self.service.step(one, 0).reward), float)

    def test_nested_spaces_in_both_directions(self):
        one = self.create("CustomNested-v0", seed=3)
        self.service.reset(one)
        action = {
            "pick": 1,
            "grid": [[0.5, -0.5], [1, 0]],
            "bytes": [0, 255],
            "many": [1, 2],
            "bits": [1, 0, 1],
            "pair": [1, {"x": 9}],
        }
        echoed = self.service.step(one, action).observation
        self.assertEqual(echoed["grid"].tolist(), action["grid"])
        self.assertEqual(echoed["pair"], [1, {"x": np.array(9)}])
        self.assertTrue(self.service.observation_contains(one, action))
        sample = self.service.sample(one)
        self.assertEqual(set(sample), set(action))

    @params(2, -1, "0", True, None, [0, 1], float("nan"))
    def test_a_bad_action_changes_nothing(self, action):
        one, twin = self.create(), self.create()
        self.service.reset(one, seed=1), self.service.reset(twin, seed=1)
        with self.assertRaises(BadValue):
            self.service.step(one, action)
        self.assertEqual(self.service.describe(one)["steps"], 0)
        np.testing.assert_array_equal(
            self.service.step(one, 1).observation, self.service.step(twin, 1).observation
        )

    def test_an_environments_failure_is_its_own(self):
        one, neighbour = self.create("CustomRaises-v0"), self.create()
        self.service.reset(one), self.service.reset(neighbour)
        with self.assertRaises(EnvFailed) as caught:
            self.service.step(one, 1)
        self.assertIsInstance(caught.exception.__cause__, ZeroDivisionError)
        self.assertIn("CustomRaises-v0 failed in step: ZeroDivisionError", str(caught.exception))
        with self.assertRaises(ResetNeeded):
            self.service.step(one, 0)
        self.service.reset(one)
        self.service.step(one, 0)
        self.service.step(neighbour, 0)

    def test_refused_options_are_the_callers_fault(self):
        one = self.create("CustomRaises-v0")
        with self.assertRaisesRegex(BadValue, "no options here"):
            self.service.reset(one, options={"x": 1})
        self.service.reset(one, options={})

    def test_a_reset_that_was_refused_had_begun(self):
        """TimeLimit counts anew before the environment sees the options: going on with the old
        episode would be going on with another."""
        one = self.create()
        self.service.reset(one, seed=1)
        with self.assertRaisesRegex(BadValue, "options were refused"):
            self.service.reset(one, options={"low": "x"})
        with self.assertRaises(ResetNeeded):
            self.service.step(one, 1)
        self.service.reset(one)
        self.service.step(one, 1)

    @params("exit", "error")
    def test_whatever_it_does_when_made(self, how):
        with self.assertRaisesRegex(MakeFailed, "CustomFaulty-v0 could not be made"):
            self.create("CustomFaulty-v0", kwargs={"how": f"make {how}"})
        self.assertEqual(self.service.instances(), {})

    @params("step", "info", "shape", "exit", "text")
    def test_whatever_it_does_in_a_step(self, how):
        one = self.create("CustomFaulty-v0", kwargs={"how": how})
        self.service.reset(one)
        with self.assertRaises(EnvFailed) as caught:
            self.service.step(one, 0)
        self.assertIn("CustomFaulty-v0 failed in step", caught.exception.message)
        caught.exception.message.encode()
        with self.assertRaises(ResetNeeded):
            self.service.step(one, 0)

    def test_whatever_it_does_in_a_sample(self):
        one = self.create("CustomFaulty-v0", kwargs={"how": "sample"})
        with self.assertRaises(EnvFailed):
            self.service.sample(one)

    def test_an_environment_without_spaces(self):
        with tempfile.TemporaryDirectory() as directory:
            told = Path(directory) / "told"
            with self.assertRaises(UnsupportedSpace):
                self.create("CustomTells-v0", kwargs={"path": str(told), "spaceless": True})
            self.assertEqual(told.read_text(), "closed\n")
        self.assertEqual(self.service.instances(), {})

    def test_describe_does_not_wait(self):
        one = self.create()
        with self.service._registry.lease(one):
            self.assertEqual(self.service.describe(one)["instance_id"], one)

    def test_closing_all_costs_nobody_for_another(self):
        """One whose call does not return, one that does not close, one that fails to, and one
        with a recording: the last is ended well, and in time."""
        service = Service(Settings(shutdown_timeout_s=1))
        with tempfile.TemporaryDirectory() as directory:
            told = Path(directory) / "told"
            ids = [
                service.create(Recipe(env_id, kwargs=kwargs)).instance_id
                for env_id, kwargs in (
                    ("CustomOdd-v0", {}),
                    ("CustomFaulty-v0", {"how": "close slow"}),
                    ("CustomFaulty-v0", {"how": "close error"}),
                    ("CustomTells-v0", {"path": str(told)}),
                )
            ]
            service.monitor_start(ids[3], Path(directory) / "recording")
            with service._registry.lease(ids[0]), self.assertLogs("gym_http", "ERROR") as logged:
                service.close_all()
            self.assertEqual(list(service.instances()), [ids[0]])
            self.assertEqual(told.read_text(), "closed\n")
            self.assertEqual(len(os.listdir(Path(directory) / "recording")), 2)
        late = {
            record.instance_id
            for record in logged.records
            if record.getMessage() == "could not be closed in time"
        }
        self.assertEqual(late, set(ids[:2]))
        self.assertNotIn(ids[3], {record.instance_id for record in logged.records})

    def test_a_space_without_a_row(self):
        with self.assertRaisesRegex(UnsupportedSpace, "Shape"):
            self.create("CustomUnheard-v0")
        self.assertEqual(self.service.instances(), {})

    def test_answers_share_nothing_with_the_environment(self):
        """One that writes each step into the same arrays, while an answer is on its way."""
        one = self.create("CustomReuses-v0")
        first = self.service.reset(one)
        frame = self.service.render(one)[0]
        self.service.step(one, 0)
        self.assertEqual(first.observation.tolist(), [0.0, 0.0])
        self.assertEqual(first.info["array"].tolist(), [0.0, 0.0])
        self.assertEqual(frame.max(), 0)

    def test_numbers_that_json_cannot_say_arrive_here(self):
        one = self.create("CustomUnruly-v0")
        self.service.reset(one)
        seen = self.service.step(one, 0)
        np.testing.assert_array_equal(seen.observation, [np.nan, np.inf, -np.inf])
        self.assertEqual(seen.reward, np.inf)
        self.assertEqual(seen.info_dropped, ["handle"])

    def test_render(self):
        one = self.create("FrozenLake-v1", render_mode="ansi")
        with self.assertRaises(ResetNeeded):
            self.service.render(one)
        self.service.reset(one)
        self.assertIn("FHFH", self.service.render(one)[0].replace("\x1b[41mS\x1b[0m", "S"))
        two = self.create()
        self.service.reset(two)
        self.assertEqual(self.service.render(two)[0].shape, (400, 600, 3))
        three = self.create("CustomFactory-v0")
        self.service.reset(three)
        with self.assertRaises(NotRenderable):
            self.service.render(three)

    def test_close(self):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "told"
            one = self.create("CustomTells-v0", kwargs={"path": str(path)})
            self.service.close(one)
            self.assertEqual(path.read_text(), "closed\n")
            with self.assertRaises(UnknownInstance):
                self.service.close(one)

            self.create("CustomTells-v0", kwargs={"path": str(path)})
            self.create("CustomTells-v0", kwargs={"path": directory})  # fails to close
            self.create("CustomTells-v0", kwargs={"path": str(path)})
            with self.assertLogs("gym_http", "ERROR"):
                self.service.close_all()
            self.assertEqual(path.read_text(), "closed\n" * 3)
            self.assertEqual(self.service.instances(), {})

    def test_who_did_not_start_the_server_cannot_stop_it(self):
        with self.assertRaises(NotStoppable):
            self.service.shutdown()
