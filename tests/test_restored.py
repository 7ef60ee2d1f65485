"""With --auto-restore, an instance whose process crashes comes back where it was."""

import os
import re
import tempfile
import unittest
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv
from nose2.tools import params

from gym_http.environments import Recipe
from gym_http.errors import BackendLost, GymHTTPError
from gym_http.service import Service
from gym_http.settings import Settings
from gym_http.tape import Plan
from gym_http.terms import Terms
from tests.support import ServerCase, ServerProcess, create, get, post


class Crashing(CartPoleEnv):
    """Takes its process along in its `at`-th step, or in its first reset: so many times in all, as
    the files say that it leaves."""

    def __init__(self, path="", at=5, times=1, where="step", entropy=False, log="", **kwargs):
        super().__init__(**kwargs)
        self.path, self.at, self.times, self.where = path, at, times, where
        self.entropy, self.log = entropy, log
        self.time = 0

    def reset(self, **kwargs):
        self.crash_in("reset")
        self.time = 0
        return super().reset(**kwargs)

    def step(self, action):
        self.time += 1
        if self.log:
            with open(self.log, "a") as file:
                file.write("step\n")
        if self.path and (now := Path(self.path) / "now").exists():
            now.unlink()
            os._exit(7)
        if self.time == self.at:
            self.crash_in("step")
        observation, *rest = super().step(action)
        if self.entropy:
            observation = observation + np.random.default_rng().random(4, np.float32)
        return observation, *rest

    def render(self):
        self.crash_in("render")
        return super().render()

    def crash_in(self, where):
        done = len(os.listdir(self.path)) if self.path else self.times
        if where == self.where and done < self.times:
            (Path(self.path) / str(done)).touch()
            os._exit(7)


gymnasium.register("Crashing-v0", entry_point=Crashing, max_episode_steps=60)

ACTIONS = np.random.default_rng(3).integers(0, 2, 150).tolist()


def told(seen):
    return [np.asarray(seen.observation).tolist(), seen.reward, seen.terminated, seen.truncated]


class Restored(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.path = scratch.name
        settings = Settings(imports=("tests.test_restored",), auto_restore=2)
        self.service = Service(settings)
        self.addCleanup(self.service.close_all)

    def create(self, backend="process", num_envs=None, **kwargs):
        recipe = Recipe("Crashing-v0", kwargs=kwargs, num_envs=num_envs)
        return self.service.create(recipe, 11, Terms(backend=backend)).instance_id

    def pair(self, **kwargs):
        """One that crashes, and its twin that doesn't."""
        return self.create(path=self.path, **kwargs), self.create("local", **kwargs)

    def play(self, instance_id, actions=ACTIONS):
        """(what each call brought, which of them say that it was restored)."""
        calls = [self.service.reset(instance_id)]
        outcomes = [np.asarray(calls[0].observation).tolist()]
        for action in actions:
            calls.append(self.service.step(instance_id, action))
            outcomes.append(told(calls[-1]))
            if calls[-1].done:
                calls.append(self.service.reset(instance_id))
                outcomes.append(np.asarray(calls[-1].observation).tolist())
        return outcomes, [place for place, call in enumerate(calls) if call.restored]

    @params(1, 5, 9)
    def test_a_step(self, at):
        one, twin = self.pair(at=at)
        (ours, restored), (theirs, never) = self.play(one), self.play(twin)
        self.assertEqual(ours, theirs)
        self.assertEqual((restored, never), ([at], []))
        described = self.service.describe(one)
        self.assertEqual(described["restored"], 1)
        self.assertEqual(described["last_error"][0].code, "backend_lost")
        self.assertEqual(described["steps"], self.service.describe(twin)["steps"])

    def test_twice(self):
        one, twin = self.pair(at=7, times=2)
        (ours, restored), (theirs, _) = self.play(one), self.play(twin)
        self.assertEqual((ours, restored), (theirs, [7]))
        self.assertEqual(self.service.describe(one)["restored"], 2)

    def test_a_reset(self):
        one, twin = self.pair(where="reset")
        (ours, restored), (theirs, _) = self.play(one), self.play(twin)
        self.assertEqual((ours, restored), (theirs, [0]))

    def test_a_frame(self):
        one, twin = self.pair(where="render")
        for instance_id in (one, twin):
            self.play(instance_id, ACTIONS[:5])
        frames = [self.service.render(instance_id)[0] for instance_id in (one, twin)]
        np.testing.assert_array_equal(*frames)
        self.assertTrue(self.service.step(one, 0).restored)  # the next reply that can say so

    @params({"actions": ACTIONS}, {"sample": 150})
    def test_a_rollout(self, plan):
        one, twin = self.pair(at=8)
        played = []
        for instance_id in (one, twin):
            self.service.reset(instance_id)
            played.append(self.service.rollout(instance_id, Plan(**plan, on_done="reset")))
        ours, theirs = played
        self.assertEqual((ours.restored, theirs.restored), (True, False))
        self.assertEqual(ours.steps, theirs.steps)
        for field in theirs.fields:
            np.testing.assert_array_equal(ours.fields[field], theirs.fields[field])
        self.assertEqual(*(self.service.sample(instance_id) for instance_id in (one, twin)))

    @params("stop", "reset")
    def test_many_environments(self, on_done):
        one, twin = self.pair(num_envs=3, at=6)
        plan = Plan([[0, 1, 0], [1, 1, 0]] * 20, on_done=on_done)
        for instance_id in (one, twin):
            self.service.reset(instance_id)
        ours, theirs = (self.service.rollout(instance_id, plan) for instance_id in (one, twin))
        self.assertTrue(ours.restored)
        for field in theirs.fields:
            np.testing.assert_array_equal(ours.fields[field], theirs.fields[field])

    @params((False, 9), (True, 3))
    def test_from_a_snapshot(self, has_one, made):
        """From which there is less to be made again."""
        log = self.path + "/../steps-" + Path(self.path).name
        self.addCleanup(lambda: Path(log).unlink())
        one, twin = self.pair(where="now", log=log)
        for instance_id in (one, twin):
            self.service.reset(instance_id)
            for action in [0, 1] * 3:
                self.service.step(instance_id, action)
        if has_one:
            self.service.snapshot(one)
        for instance_id in (one, twin):
            self.service.step(instance_id, 1)
        (Path(self.path) / "now").touch()
        before = Path(log).read_text().count("\n")
        ours = self.service.step(one, 1)
        self.assertEqual(Path(log).read_text().count("\n") - before, made)
        self.assertEqual(told(ours), told(self.service.step(twin, 1)))

    def test_no_more_often_than_that(self):
        one, _ = self.pair(at=4, times=3)
        self.service.reset(one)
        for _ in range(3):
            self.service.step(one, 0)
        with self.assertRaisesRegex(BackendLost, "restored 2 times.*last good step was number 3"):
            self.service.step(one, 0)
        ended = self.service.describe(one)
        self.assertEqual((ended["last_error"][0].code, ended["restored"]), ("backend_lost", 2))
        self.assertEqual(self.deaths(), 3)

    def test_what_cannot_be_made_again(self):
        one, _ = self.pair(at=4, entropy=True)
        self.service.reset(one)
        for _ in range(3):
            self.service.step(one, 0)
        with self.assertRaisesRegex(BackendLost, "could not be restored: .*led elsewhere"):
            self.service.step(one, 0)
        self.assertEqual(self.deaths(), 1)

    def deaths(self):
        metrics = self.service.metrics()[0].decode()
        return int(re.search('deaths_total{backend="process"} ([0-9]+)', metrics)[1])


class NotRestored(unittest.TestCase):
    @params("step", "stop", "reset")
    def test_many_environments_have_made_the_steps_of_each(self, how):
        service = Service(Settings(imports=("tests.test_restored",)))
        self.addCleanup(service.close_all)
        with tempfile.TemporaryDirectory() as path:
            recipe = Recipe("Crashing-v0", kwargs={"path": path}, num_envs=3)
            one = service.create(recipe, 11, Terms(backend="process")).instance_id
            service.reset(one)
            with self.assertRaisesRegex(
                BackendLost, "last good step was number 12; create a new one$"
            ):
                if how != "step":
                    service.rollout(one, Plan([[0, 1, 0]] * 9, on_done=how))
                for _ in range(9):
                    service.step(one, [0, 1, 0])


class Ended(unittest.TestCase):
    @params("sleeps", "exits")
    def test_a_process_that_dies_of_its_closing_is_counted(self, how):
        service = Service(Settings(imports=("tests.faulty_envs",)))
        self.addCleanup(service.close_all)
        recipe = Recipe("Walk-v0", kwargs={"how": how, "where": "close"})
        one = service.create(recipe, None, Terms("process", step_timeout_s=0.5)).instance_id
        with self.assertRaises(GymHTTPError):
            service.close(one)
        self.assertIn('deaths_total{backend="process"} 1.0', service.metrics()[0].decode())


class FromOutside(ServerCase):
    def test_the_reply_says_so(self):
        flags = ("--import", "tests.test_restored", "--backend", "process", "--auto-restore", "1")
        with ServerProcess(*flags) as server:
            kwargs = {"path": str(self.scratch), "at": 2}
            env = create(server, "Crashing-v0", kwargs=kwargs, seed=1)
            self.assertNotIn("restored", post(server, f"{env}/reset/")[-1])
            replies = [post(server, f"{env}/step/", {"action": 0})[-1] for _ in range(3)]
            self.assertEqual([reply.get("restored") for reply in replies], [None, True, None])
            info = get(server, f"{env}/")[-1]
            self.assertEqual((info["restored"], info["last_error"]["code"]), (1, "backend_lost"))
            self.assertIn(
                "event=restoring", server.log().replace(" restoring ", " event=restoring ")
            )
