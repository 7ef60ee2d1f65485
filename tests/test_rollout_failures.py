"""Rollouts in the middle of which an environment fails, or somebody else comes."""

import itertools
import json
from threading import Thread

from nose2.tools import params

from tests.rollouts import FIELDS, Played, Refusal, Rollouts, Talk
from tests.support import at_once, eventually
from tests.test_trajectories import bits


class Failing(Rollouts):
    """500, what was done before counts, and a reset heals it."""

    def failed(self, env, message, **body):
        with self.assertRaisesRegex(Refusal, message) as caught:
            env.rollout(**body)
        self.assertEqual(caught.exception.kind, (500, "env_failed"))
        for verb, again in (("step/", {"action": 0}), ("rollout/", {"sample": 1})):
            with self.assertRaises(Refusal) as caught:
                env.post(verb, again)
            self.assertEqual(caught.exception.kind, (400, "reset_needed"))

    @params(*itertools.product(("stop", "reset"), (None, [], ["rewards"], FIELDS)))
    def test_a_step(self, on_done, fields):
        env = self.made("CustomRaises-v0", kwargs={"length": 5})
        env.reset()
        body = {"actions": [0, 0, 1, 0], "on_done": on_done, "fields": fields}
        self.failed(env, "failed in step: ZeroDivisionError", **body)
        self.assertEqual(env.progress(), [2, 0, None, None])
        env.reset()
        self.assertEqual(env.rollout(actions=[0] * 9)["steps"], 5)
        self.assertEqual(env.progress(), [7, 1, 5.0, 5])

    @params("exit", "interrupt", "shape", "step", "text", "info", "sample")
    def test_however(self, how):
        env = self.made("CustomFaulty-v0", kwargs={"how": how})
        env.reset()
        self.failed(env, "failed in", sample=2, fields=FIELDS)
        self.assertEqual(env.progress(), [0, 0, None, None])
        env.reset()

    def test_a_reset(self):
        """The two episodes before are over, and recorded."""
        env = self.made("CustomFailingReset-v0")
        env.post("monitor/start/", {"directory": str(self.scratch)})
        env.reset()
        self.failed(env, "failed in reset: RuntimeError", sample=8, on_done="reset")
        self.assertEqual(env.progress(), [6, 2, 3.0, 3])
        env.reset(seed=1)
        self.assertEqual(env.rollout(sample=8)["steps"], 3)
        env.post("monitor/close/", {})
        (stats,) = self.scratch.glob("*.stats.json")
        self.assertEqual(json.loads(stats.read_text())["episode_lengths"], [3, 3, 3])

    @params(
        ("sync", "next_step"), ("sync", "same_step"), ("sync", "disabled"), ("async", "next_step"),
    )  # fmt: skip
    def test_a_vectors_step(self, vectorization, autoreset):
        """Also where steps are counted at the end only."""
        how = {"num_envs": 2, "vectorization": vectorization, "autoreset": autoreset}
        env, stepped = (self.made("CustomRaises-v0", **how) for _ in range(2))
        for fields in (None, FIELDS):
            env.reset(), stepped.reset()
            actions = [[0, 0]] * 5
            body = {"actions": [*actions, [0, 1]], "on_done": "reset", "fields": fields}
            self.failed(env, "ZeroDivisionError", **body)
            stepped.by_steps(actions, on_done="reset")
            self.assertEqual(env.progress(), stepped.progress())
            self.assertGreater(env.progress()[1], 1)
            env.reset(), stepped.reset()
            for length in (1, 4):
                got = env.rollout(actions=[[0, 0]] * length, on_done="reset", fields=fields)
                wanted = stepped.by_steps([[0, 0]] * length, on_done="reset")
                self.assertEqual(bits(got["observations"]), bits(wanted["observations"]))
                self.assertEqual(env.progress(), stepped.progress())

    @params("same_step", "next_step", "disabled")
    def test_a_vectors_reset(self, autoreset):
        env = self.made("CustomFailingReset-v0", num_envs=2, autoreset=autoreset)
        env.reset()
        self.failed(env, "RuntimeError", sample=50, on_done="reset")
        steps, episodes, *_ = env.progress()
        self.assertIn((autoreset, steps, episodes), (
            ("next_step", 12, 4), ("disabled", 12, 4), ("same_step", 10, 2)
        ))  # fmt: skip
        env.reset(seed=1)
        self.assertEqual(env.rollout(actions=[[0, 1]] * 2)["steps"], 2)


class Meanwhile(Rollouts):
    def setUp(self):
        super().setUp()
        self.env = self.made("CustomSlow-v0", kwargs={"pause_s": 0.01, "length": 1000})
        self.env.reset()

    def test_nobodys_steps_come_in_between(self):
        seen = []

        def play():
            talk = Talk()
            reply = talk.ask("POST", self.env.path + "rollout/", {"sample": 10})
            seen.append(reply["observations"].tolist())
            talk.close()

        at_once(*[play] * 4)
        wanted = [list(range(begin, begin + 10)) for begin in (1, 11, 21, 31)]
        self.assertEqual(sorted(seen), wanted)
        self.assertEqual(self.env.progress()[0], 40)

    def test_looking_does_not_wait(self):
        other = Talk()
        self.addCleanup(other.close)
        rolling = Thread(
            target=other.ask, args=("POST", self.env.path + "rollout/", {"sample": 100})
        )
        rolling.start()
        self.addCleanup(rolling.join)
        eventually(lambda: 0 < self.env.progress()[0] < 100)  # whoever waited would see 100

    def test_a_close_waits_for_its_end(self):
        env = Played(self.talk, "CustomSlow-v0", kwargs={"pause_s": 0.01, "length": 1000})
        env.reset()
        other, replies = Talk(), []
        self.addCleanup(other.close)
        rolling = Thread(
            target=lambda: replies.append(other.ask("POST", env.path + "rollout/", {"sample": 30}))
        )
        rolling.start()
        eventually(lambda: env.progress()[0] > 0)
        env.close()
        rolling.join()
        self.assertEqual(replies[0]["steps"], 30)
