"""`env_rollout` of the Python clients, over JSON and over MessagePack."""

import itertools

import numpy as np
from nose2.tools import params

from gym_http.remote.connection import MessagePackClient
from gym_http_client import Client, ServerError
from tests.support import ServerCase

CLIENTS = (Client, MessagePackClient)
ZIGZAG = [0, 1] * 100  # keeps a pole up for a while, not for so long
DEFAULT = {
    "steps", "observations", "rewards", "terminated", "truncated", "done", "final_observations",
}  # fmt: skip


def as_lists(value):
    """What came over MessagePack as it comes over JSON."""
    if isinstance(value, dict):
        return {key: as_lists(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


class Rollouts(ServerCase):
    def begin(self, kind, env_id="CartPole-v1", **create):
        """(a client, an instance with a seed that has been reset)."""
        client = kind(self.server.url)
        self.addCleanup(client.close)
        one = client.env_create(env_id, seed=3, **create)
        self.addCleanup(client.env_close, one)
        client.env_reset(one)
        return client, one

    def by_steps(self, actions, *begin, **create):
        """What a rollout of these actions returns, by as many calls."""
        client, one = self.begin(Client, *begin, **create)
        seen = {name: [] for name in ("observations", "rewards", "terminated", "truncated")}
        for action in actions:
            *outcome, _ = client.env_step(one, action, with_truncated=True)
            for name, item in zip(seen, outcome, strict=True):
                seen[name].append(item)
            if outcome[2] or outcome[3]:
                break
        done = [a or b for a, b in zip(seen["terminated"], seen["truncated"], strict=True)]
        ends = [seen["observations"][i] for i, ended in enumerate(done) if ended]
        return {"steps": len(done), **seen, "done": done, "final_observations": ends}

    @params(*CLIENTS)
    def test_until_an_episode_ends(self, kind):
        client, one = self.begin(kind)
        reply = as_lists(client.env_rollout(one, ZIGZAG))
        self.assertEqual(reply, self.by_steps(ZIGZAG))
        self.assertEqual(reply["done"].index(True), reply["steps"] - 1)
        self.assertEqual(client.env_info(one)["steps"], reply["steps"])

    @params(*CLIENTS)
    def test_without_an_end(self, kind):
        client, one = self.begin(kind)
        self.assertEqual(as_lists(client.env_rollout(one, ZIGZAG[:5])), self.by_steps(ZIGZAG[:5]))
        more = client.env_rollout(one, ZIGZAG[5:9])["observations"]
        self.assertEqual(as_lists(more), self.by_steps(ZIGZAG[:9])["observations"][5:])

    @params(*CLIENTS)
    def test_actions_may_be(self, kind):
        """Whatever holds K of them."""
        expected = self.by_steps([0, 1, 0, 1])
        for actions in (
            [0, 1, 0, 1],
            (0, 1, 0, 1),
            (i % 2 for i in range(4)),
            itertools.islice(itertools.cycle([0, 1]), 4),
            np.array([0, 1, 0, 1]),
            np.array([0, 1, 0, 1], np.int8),
            [np.int64(0), np.array(1), 0, 1],
        ):
            with self.subTest(actions=str(actions)):
                client, one = self.begin(kind)
                self.assertEqual(as_lists(client.env_rollout(one, actions)), expected)
        client, one = self.begin(kind)
        self.assertEqual(client.env_rollout(one, range(2))["steps"], 2)

    @params(*CLIENTS)
    def test_actions_that_are_arrays(self, kind):
        forces = np.linspace(-2, 2, 6, dtype=np.float32).reshape(6, 1)
        expected = self.by_steps(forces.tolist(), "Pendulum-v1")
        for actions in (forces, list(forces), iter(forces), forces.tolist()):
            client, one = self.begin(kind, "Pendulum-v1")
            self.assertEqual(as_lists(client.env_rollout(one, actions)), expected)

    @params(*CLIENTS)
    def test_the_server_draws_the_actions(self, kind):
        client, one = self.begin(kind)
        drawn = [client.env_action_space_sample(one) for _ in range(200)]
        client, one = self.begin(kind)
        reply = as_lists(client.env_rollout(one, sample=200))
        self.assertEqual(reply.pop("actions"), drawn[: reply["steps"]])
        self.assertEqual(reply, self.by_steps(drawn))

    @params(*CLIENTS)
    def test_beyond_the_end_of_episodes(self, kind):
        client, one = self.begin(kind)
        reply = client.env_rollout(one, sample=300, on_done="reset")
        self.assertEqual(reply.keys(), {*DEFAULT, "actions"})
        self.assertEqual((reply["steps"], len(reply["observations"])), (300, 300))
        ends = [i for i, done in enumerate(reply["done"]) if done]
        self.assertGreater(len(ends), 3)
        self.assertEqual(len(reply["final_observations"]), len(ends))
        for end, final in zip(ends, reply["final_observations"], strict=True):
            first = np.abs(np.asarray(reply["observations"][end]))
            self.assertLess(first.max(), 0.05 + 1e-6)  # as CartPole begins
            self.assertGreater(max(abs(final[0]) / 2.4, abs(final[2]) / 0.2094), 1 - 1e-3)
        info = client.env_info(one)
        self.assertEqual((info["steps"], info["episodes"]), (300, len(ends)))

    @params(*CLIENTS)
    def test_fields(self, kind):
        client, one = self.begin(kind, "FrozenLake-v1")
        every = sorted({*DEFAULT, "actions", "infos"} - {"steps"})
        for names in ([], ["rewards"], ["done", "actions"], every):
            reply = client.env_rollout(one, [0, 0, 0], on_done="reset", fields=names)
            self.assertEqual(reply.keys(), {"steps", *names})
        self.assertEqual(as_lists(reply["actions"]), [0, 0, 0])
        self.assertEqual(len(reply["infos"]), 3)
        self.assertIn("prob", reply["infos"][0])
        self.assertEqual(client.env_rollout(one, [0], on_done="reset").keys(), DEFAULT)

    @params(*CLIENTS)
    def test_vector_environments(self, kind):
        create = {"num_envs": 3, "vectorization": "sync", "autoreset": "same_step"}
        actions = np.tile([[0, 1, 0], [1, 0, 1]], (50, 1))
        client, one = self.begin(kind, **create)
        reply = client.env_rollout(one, actions, on_done="reset")
        self.assertEqual(reply["steps"], 100)
        self.assertEqual(np.shape(reply["observations"]), (100, 3, 4))
        for name in ("rewards", "terminated", "truncated", "done"):
            self.assertEqual(np.shape(reply[name]), (100, 3), name)
        self.assertEqual(np.shape(reply["final_observations"]), (np.sum(reply["done"]), 4))
        stepper, other = self.begin(Client, **create)
        for i, action in enumerate(actions):
            observation, reward, done, _ = stepper.env_step(other, action)
            got = [as_lists(reply[name][i]) for name in ("observations", "rewards", "done")]
            self.assertEqual(got, [observation, reward, done])

    def test_arrays_come_as_arrays(self):
        client, one = self.begin(MessagePackClient)
        reply = client.env_rollout(one, sample=300, on_done="reset")
        kinds = {name: value.dtype for name, value in reply.items() if name != "steps"}
        expected = dict.fromkeys(("terminated", "truncated", "done"), np.dtype(bool))
        expected |= dict.fromkeys(("observations", "final_observations"), np.dtype(np.float32))
        expected |= {"rewards": np.dtype(np.float64), "actions": np.dtype(np.int64)}
        self.assertEqual(kinds, expected)
        client, one = self.begin(Client)
        reply = client.env_rollout(one, sample=9, on_done="reset")
        self.assertEqual({type(value) for value in reply.values()}, {int, list})

    @params(*CLIENTS)
    def test_what_is_refused_makes_no_step(self, kind):
        client, one = self.begin(kind)
        for arguments, reason in (
            ({"actions": [0] * 57 + [2] + [0] * 9}, r"actions\[57\]: .*got 2"),
            ({"actions": [0, 1, [0, 1]]}, r"actions\[2\]"),
            ({"actions": [0, None]}, r"actions\[1\]"),
            ({"actions": []}, "from 1 to"),
            ({"actions": 1}, "a list of actions"),
            ({"actions": [0] * 10_001}, "10001"),
            ({"sample": 10_001}, "10001"),
            ({"sample": 0}, "sample"),
            ({"actions": [0], "sample": 1}, "either"),
            ({}, "either"),
            ({"sample": 1, "on_done": "go"}, "'go'"),
            ({"sample": 1, "fields": ["reward"]}, "'reward'"),
        ):
            with self.subTest(arguments=str(arguments)[:60]):
                with self.assertRaisesRegex(ServerError, reason) as caught:
                    client.env_rollout(one, **arguments)
                self.assertEqual(caught.exception.code, "bad_value")
        self.assertEqual(client.env_info(one)["steps"], 0)
        self.assertEqual(as_lists(client.env_rollout(one, ZIGZAG)), self.by_steps(ZIGZAG))
        with self.assertRaises(ServerError) as caught:
            client.env_rollout(one, ZIGZAG)
        self.assertEqual(caught.exception.code, "reset_needed")

    @params(*CLIENTS)
    def test_what_can_not_be_sent(self, kind):
        client, one = self.begin(kind)
        with self.assertRaises(TypeError):
            client.env_rollout(one, [object()])

    @params(*CLIENTS)
    def test_episodes_are_recorded(self, kind):
        client, one = self.begin(kind, "Blackjack-v1")
        directory = self.scratch / "recording"
        client.env_monitor_start(one, directory)
        client.env_reset(one)
        reply = client.env_rollout(one, sample=60, on_done="reset")
        client.env_monitor_close(one)
        client.upload(directory, "rollout", "a key")
        entry = max(client.scoreboard("Blackjack-v1"), key=lambda entry: entry["entry_id"])
        self.assertEqual(entry["number_episodes"], sum(reply["done"]))
        ends = int(np.flatnonzero(reply["done"])[-1]) + 1
        self.assertEqual(entry["number_timesteps"], ends)
