"""A rollout of a single environment is as many steps, to the last bit, in both encodings."""

import itertools
import json
import re
from functools import lru_cache

import numpy as np
from gymnasium import spaces
from nose2.tools import params

from tests.rollouts import (
    FIELDS,
    JSON,
    MOST,
    MSGPACK,
    Rollouts,
    described,
    in_json,
    stepped_in_windows,
)
from tests.test_trajectories import bits

SEED = 5
WINDOWS = (1, 5, 14)  # steps of one rollout after the other, across which episodes go on

BOX = spaces.Box(-1.0, 1.0, (2, 2), np.float32)
DISCRETE = spaces.Discrete(5, start=-2)
TEXT = spaces.Text(8, min_length=0)
TUPLE = spaces.Tuple((DISCRETE, BOX, spaces.Tuple(())))
INNER = spaces.Dict({"text": TEXT, "pair": TUPLE, "bits": spaces.MultiBinary(3)})
DICT = spaces.Dict({"a": BOX, "b": INNER})
SPACES = {
    "Box": BOX,
    "Box of no dimension": spaces.Box(-1.0, 1.0, (), np.float64),
    "Box of one": spaces.Box(-1.0, 1.0, (1,), np.float16),
    "Box of none": spaces.Box(-1.0, 1.0, (0, 2), np.float32),
    "Box of bytes": spaces.Box(0, 255, (16, 16, 3), np.uint8),  # written by table, in JSON
    "Box of large integers": spaces.Box(-(2**62), 2**62, (2,), np.int64),
    "Discrete": DISCRETE,
    "Discrete of bytes": spaces.Discrete(5, dtype=np.uint8),
    "MultiDiscrete": spaces.MultiDiscrete([[2, 3], [4, 5]], np.int32),
    "MultiBinary": spaces.MultiBinary((2, 2)),
    "Text": TEXT,
    "Tuple": TUPLE,
    "Tuple of none": spaces.Tuple(()),
    "Dict": DICT,
    "Dict of none": spaces.Dict({}),
    "OneOf": spaces.OneOf((DISCRETE, BOX, TEXT)),
    "Sequence": spaces.Sequence(BOX),
    "Sequence, stacked": spaces.Sequence(BOX, stack=True),
    "Sequence of Dicts": spaces.Sequence(spaces.Dict({"a": BOX, "b": DISCRETE})),
    "Graph": spaces.Graph(BOX, spaces.Discrete(4)),
    "Graph without edges": spaces.Graph(spaces.Discrete(4), None),
}
# As an observation with Discrete actions, and as an action with Box observations.
OF_SPACES = {
    f"{which}: {name}": ("CustomDrawn-v0", {"kwargs": {which: described(space)}})
    for name, space in SPACES.items()
    for which in ("observation", "action")
}
ENVIRONMENTS = {
    "CartPole": ("CartPole-v1", {}),
    "FrozenLake": ("FrozenLake-v1", {}),
    "Pendulum": ("Pendulum-v1", {"max_episode_steps": 9}),
    "Blackjack": ("Blackjack-v1", {}),
    "Taxi": ("Taxi-v3", {"max_episode_steps": 12}),
    "gym's CartPole": ("CartPole-v1", {"engine": "gym"}),
    "an echo": ("CustomNested-v0", {}),
    "no numbers of JSON's": ("CustomUnruly-v0", {}),
    "its arrays overwritten": ("CustomReuses-v0", {}),
    "one type after another": ("CustomChanging-v0", {"kwargs": {"length": 5}}),
    "an episode is a step": ("CustomOdd-v0", {"kwargs": {"length": 1}}),
    **OF_SPACES,
}
DRAWN = [
    (name, on_done)
    for name, on_done in itertools.product(ENVIRONMENTS, ("stop", "reset"))
    if on_done == "reset" or not name.startswith("action: ")
]


@lru_cache(maxsize=None)
def stepped(name, on_done):
    env_id, create = ENVIRONMENTS[name]
    return stepped_in_windows(env_id, WINDOWS, on_done, seed=SEED, **create)


class AsSteps(Rollouts):
    """Of instances with the same seed one is stepped, the others are rolled out."""

    def another(self, name):
        env_id, create = ENVIRONMENTS[name]
        return self.made(env_id, seed=SEED, **create)

    def same(self, wanted, got):
        """To the last bit, and by the dtype."""
        self.assertEqual(wanted.keys(), got.keys())
        for field in wanted:
            self.assertEqual(bits(got[field]), bits(wanted[field]), field)

    @params(*DRAWN)
    def test_of_drawn_actions(self, name, on_done):
        seen, env, got = stepped(name, on_done), self.another(name), None
        for length, (first, wanted, progress) in zip(WINDOWS, seen, strict=True):
            self.assertEqual(bits(env.begin(got, on_done)), bits(first))
            got = env.rollout(sample=length, on_done=on_done, fields=FIELDS)
            self.same(wanted, got)
            self.assertEqual(env.progress(), progress)
        ends = sum(wanted["done"].sum() for _, wanted, _ in seen)
        self.assertEqual(progress[1], ends)
        if on_done == "reset":
            self.assertEqual(progress[0], sum(WINDOWS))
            self.assertTrue(ends or "CartPole" in name)

    @params(*ENVIRONMENTS)
    def test_of_given_actions(self, name):
        for sent, accept in ((JSON, JSON), (MSGPACK, MSGPACK), (MSGPACK, JSON)):
            with self.subTest(sent=sent, accept=accept):
                env = self.another(name)
                env.reset()
                for _, wanted, progress in stepped(name, "reset"):
                    body = {"actions": wanted["actions"], "on_done": "reset", "fields": FIELDS}
                    got = env.rollout(sent, accept, **body)
                    if accept == MSGPACK:
                        self.same(wanted, got)
                    else:
                        self.assertEqual(got, in_json(wanted))
                    self.assertEqual(env.progress(), progress)

    def test_stopped_before_its_last_action(self):
        """Those that were drawn and not made are drawn again."""
        drawn = self.another("an echo")
        wanted = [drawn.get("action_space/sample")["action"] for _ in range(6)]
        rolled = self.another("an echo")
        rolled.reset()
        first = rolled.rollout(sample=MOST)
        rolled.reset()
        second = rolled.rollout(sample=MOST)
        self.assertEqual((first["steps"], second["steps"]), (3, 3))
        self.assertEqual(bits(first["actions"] + second["actions"]), bits(wanted))

    def test_the_end_on_the_last_action(self):
        env = self.made("CustomOdd-v0")
        env.reset()
        reply = env.rollout(actions=[0] * 3, on_done="reset")
        self.assertEqual(reply["observations"].tolist(), [1, 2, 0])
        self.assertEqual(reply["final_observations"].tolist(), [3])
        self.assertEqual(reply["done"].tolist(), [False, False, True])
        self.assertEqual(env.post("step/", {"action": 0})["observation"], 1)
        reply = env.rollout(actions=[0] * 2, on_done="stop")
        self.assertEqual(reply["observations"].tolist(), [2, 3])
        self.assertEqual(reply["final_observations"].tolist(), [3])


FREEDOMS = (  # ways of writing the same actions
    ("CartPole-v1", {}, [0, 1, 1],
     ([[0], [1], [1]], [0.0, 1.0, [1.0]], np.array([0, 1, 1], np.uint8), np.array([[0], [1], [1]]),
      np.array([0, 1, 1], np.float32), np.array([0.0, 1, 1]), np.array([0, 1, 1], ">i2"),
      [np.array([0]), np.array(1), np.array([1.0])], np.array([[0.0], [1], [1]]))),
    ("Pendulum-v1", {}, [[0.5], [-2.0], [1.0]],
     ([0.5, -2, 1], [[0.5], -2, np.array(1)], np.array([[0.5], [-2], [1]], np.float16),
      np.array([0.5, -2, 1]), np.array([0.5, -2, 1], ">f4"), [np.array([0.5]), [-2.0], 1])),
    ("FrozenLake-v1", {"num_envs": 2}, [[0, 1], [2, 3]],
     ([[0.0, 1], [2, 3.0]], [np.array([0, 1]), [2, 3]], np.array([[0.0, 1], [2, 3]]),
      np.array([[0, 1], [2, 3]], np.int8), np.array([[0, 2], [1, 3]]).T)),
    ("CustomDrawn-v0", {"kwargs": {"action": described(spaces.MultiDiscrete([3, 3]))}},
     [[0, 1], [2, 0]],
     ([[0.0, 1.0], [2, 0]], np.array([[0, 1], [2, 0]], np.uint16), np.array([[0, 1], [2.0, 0]]))),
    ("CustomDrawn-v0", {"kwargs": {"action": described(spaces.Tuple((DISCRETE, DISCRETE)))}},
     [[0, 1], [2, 0]], (np.array([[0, 1], [2, 0]]), [[[0], [1]], np.array([2, 0])])),
)  # fmt: skip


class Freedoms(Rollouts):
    """An action may be written in a rollout as in a step."""

    @params(*FREEDOMS)
    def test_one_as_the_other(self, env_id, create, actions, others):
        for given in (actions, np.array(actions), *others):
            env = self.made(env_id, seed=SEED, **create)
            with self.subTest(given=given):
                env.reset()
                reply = env.rollout(actions=given, on_done="reset", fields=FIELDS)
                self.assertEqual(np.array(reply.pop("actions")).tolist(), actions)
                other = self.made(env_id, seed=SEED, **create)
                other.reset()
                wanted = other.by_steps(actions, on_done="reset")
                del wanted["actions"]
                self.assertEqual(bits(reply), bits(wanted))


class Replies(Rollouts):
    """Which fields come back, and how they are written."""

    def setUp(self):
        super().setUp()
        self.env = self.made("CartPole-v1")
        self.env.reset(seed=SEED)
        self.body = {"actions": [0, 1] * 5 + [1] * 20, "on_done": "reset"}
        self.all = self.again(fields=FIELDS)

    def again(self, **more):
        self.env.reset(seed=SEED)
        return self.env.rollout(**self.body, **more)

    def test_all(self):
        self.assertEqual(self.all.keys(), {"steps", *FIELDS})
        for field in ("rewards", "terminated", "truncated", "done", "actions"):
            self.assertEqual(self.all[field].shape, (30,), field)
        self.assertEqual(self.all["rewards"].dtype, np.float64)
        self.assertEqual(self.all["done"].dtype, np.bool_)
        self.assertEqual(self.all["observations"].dtype, np.float32)
        self.assertEqual(self.all["observations"].shape, (30, 4))
        ends = self.all["done"].sum()
        self.assertGreater(ends, 1)
        self.assertEqual(self.all["final_observations"].shape, (ends, 4))
        self.assertEqual(self.all["infos"], [{}] * 30)

    def test_each_selection(self):
        for length in range(len(FIELDS) + 1):
            for fields in itertools.combinations(FIELDS, length):
                reply = self.again(fields=fields)
                wanted = {"steps": 30, **{field: self.all[field] for field in fields}}
                self.assertEqual(bits(reply), bits(wanted), fields)

    def test_by_default(self):
        """All but infos, and actions only where the server has drawn them."""
        for more in ({}, {"fields": None}):
            self.assertEqual(self.again(**more).keys(), {"steps", *FIELDS} - {"actions", "infos"})
        reply = self.env.rollout(sample=3)
        self.assertEqual(reply.keys(), {"steps", *FIELDS} - {"infos"})

    def test_twice_the_same_name(self):
        reply = self.again(fields=["done", "done"])
        self.assertEqual(reply.keys(), {"steps", "done"})

    @params(
        {}, {"on_done": None}, {"on_done": ""}, {"sample": None}, {"sample": ""}, {"fields": None},
        {"on_done": "stop", "unknown": 1},
    )  # fmt: skip
    def test_what_is_not_provided(self, more):
        for sent in (JSON, MSGPACK):
            self.env.reset(seed=SEED)
            reply = self.env.rollout(sent, **{"actions": self.body["actions"], **more})
            first = int(np.flatnonzero(self.all["done"])[0])
            self.assertEqual(reply["steps"], first + 1)
            self.assertEqual(bits(reply["final_observations"][0]), bits(reply["observations"][-1]))

    @params(5, 5.0, np.float64(5))
    def test_a_whole_number(self, sample):
        for sent in (JSON, MSGPACK):
            self.env.reset()
            self.assertEqual(self.env.rollout(sent, sample=sample)["steps"], 5)

    def test_the_path_without_its_slash(self):
        self.env.reset()
        self.assertEqual(self.env.post("rollout", {"sample": 2})["steps"], 2)

    def test_no_episode_ended(self):
        self.env.reset()
        for accept in (JSON, MSGPACK):
            reply = self.env.rollout(accept=accept, sample=1)
            self.assertEqual(np.shape(reply["final_observations"]), (0,) + (4,) * (accept != JSON))

    @params("CartPole", "Blackjack", "an echo", "no numbers of JSON's", "observation: Text")
    def test_json_is_compact(self, name):
        env_id, create = ENVIRONMENTS[name]
        env = self.made(env_id, **create)
        env.reset(seed=SEED)
        body = json.dumps({"sample": 10, "on_done": "reset", "fields": FIELDS}).encode()
        status, got = self.talk.raw("POST", env.path + "rollout/", body)
        self.assertEqual((status, got[-1:]), (200, b"\n"))
        self.assertNotRegex(re.sub(rb'"(?:[^"\\]|\\.)*"', b"", got[:-1]), rb"\s")
        rewards = got.partition(b'"rewards":[')[2].partition(b"]")[0].split(b",")
        self.assertEqual(len(rewards), 10)
        for reward in rewards:  # always with a fraction, as a step's
            self.assertRegex(reward, rb"^-?\d+(\.\d+|\.\d+e-?\d+|e100)$")

    def test_frames_in_json(self):
        """Those that are written by table are as Python writes them."""
        env = self.made("CustomFrames-v0")
        env.reset()
        body = b'{"sample": 3, "fields": ["observations"]}'
        _, got = self.talk.raw("POST", env.path + "rollout/", body)
        pixels = np.arange(210 * 160 * 3) + 85 * np.arange(1, 4)[:, None]
        wanted = {"steps": 3, "observations": (pixels % 251).reshape(3, 210, 160, 3).tolist()}
        self.assertTrue(got == json.dumps(wanted, separators=(",", ":")).encode() + b"\n")

    def test_no_number_that_json_lacks(self):
        env = self.made("CustomUnruly-v0")
        env.reset()
        reply = env.rollout(accept=JSON, sample=3)
        self.assertEqual(reply["rewards"], [1e100] * 3)
        self.assertEqual(reply["observations"], [[None, 1e100, -1e100]] * 3)
        self.assertEqual(reply["final_observations"], [[None, 1e100, -1e100]])

    def test_infos_with_what_can_not_be_carried(self):
        env = self.made("CustomUnruly-v0")
        env.reset()
        for accept in (JSON, MSGPACK):
            reply = env.rollout(accept=accept, sample=4, on_done="reset", fields=["infos"])
            self.assertEqual(reply["info_dropped"], [f"[{step}].handle" for step in range(4)])
            for info in reply["infos"]:
                self.assertEqual(info["nested"], {"tuple": [1, 2], "set": [3], "4": "int key"})
                self.assertNotIn("handle", info)
        self.assertNotIn("info_dropped", env.rollout(sample=4, on_done="reset"))

    def test_what_is_answered_is_nobody_elses(self):
        """An environment that overwrites its arrays, at each step and in between."""
        env = self.made("CustomReuses-v0", kwargs={"length": 4})
        env.reset()
        reply = env.rollout(sample=10, on_done="reset", fields=FIELDS)
        self.assertEqual(reply["observations"][:, 0].tolist(), [1, 2, 3, 0, 1, 2, 3, 0, 1, 2])
        self.assertEqual(reply["final_observations"].tolist(), [[4, 4], [4, 4]])
        told = [info["array"][0] for info in reply["infos"]]
        self.assertEqual(told, [1, 2, 3, 4, 1, 2, 3, 4, 1, 2])
