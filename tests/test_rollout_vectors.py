"""A rollout of a vector environment is as many steps, to the last bit."""

import itertools
import json
import tempfile
import unittest
from functools import lru_cache
from pathlib import Path

import numpy as np
from gymnasium import spaces
from nose2.tools import params

from gym_http.columns import Columns
from tests.rollouts import (
    FIELDS,
    JSON,
    MSGPACK,
    Played,
    Refusal,
    Rollouts,
    described,
    in_json,
    stepped_in_windows,
)
from tests.test_trajectories import bits

SEED = 8
NUM_ENVS = 3
WINDOWS = (1, 4, 20)
BUT_INFOS = tuple(field for field in FIELDS if field != "infos")  # so that columns will do

BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)
PAIR = spaces.Tuple((spaces.Discrete(3), BOX))
DICT = spaces.Dict({"a": BOX, "b": PAIR, "c": spaces.Text(5)})
OTHERS = ("same_step", "disabled")


def drawn(**given):
    kwargs = {which: described(space) for which, space in given.items()}
    return "CustomDrawn-v0", {"kwargs": kwargs}


ENVIRONMENTS = {
    "CartPole": ("CartPole-v1", {}),
    "FrozenLake": ("FrozenLake-v1", {}),
    "Blackjack": ("Blackjack-v1", {}),
    "Pendulum": ("Pendulum-v1", {"max_episode_steps": 6}),
    "Dicts": drawn(observation=DICT, action=DICT),
    "Texts": drawn(observation=spaces.Text(5), action=spaces.Text(5)),
    "Sequences": drawn(observation=spaces.Sequence(BOX), action=spaces.Sequence(BOX)),
    "Graphs": drawn(observation=spaces.Graph(BOX, None), action=spaces.Graph(BOX, BOX)),
    "Tuples for actions": drawn(action=PAIR),
    "Texts for actions": drawn(action=spaces.Text(5)),
    "Dicts for actions": drawn(action=spaces.Dict({"x": BOX, "y": spaces.Discrete(2)})),
    "infos of all kinds": ("CustomTelling-v0", {}),
    "its own": ("CustomNative-v0", {}),
}
VECTORS = [  # (name, vectorization, autoreset)
    *((name, "sync", "next_step") for name in ENVIRONMENTS if name != "its own"),
    *itertools.product(("CartPole", "Dicts"), ["sync"], OTHERS),
    ("Texts", "sync", "same_step"),
    ("Pendulum", "sync", "disabled"),
    *itertools.product(["CartPole"], ["async"], ("next_step", *OTHERS)),
    ("Dicts", "async", "same_step"),
    ("CartPole", "native", "next_step"),
    *itertools.product(["its own"], ["native"], ("next_step", *OTHERS)),
]


def recipe(name, vectorization, autoreset):
    env_id, create = ENVIRONMENTS[name]
    how = {"num_envs": NUM_ENVS, "vectorization": vectorization, "autoreset": autoreset}
    return {"env_id": env_id, "seed": SEED, **how, **create}


@lru_cache(maxsize=None)
def stepped(name, vectorization, autoreset, on_done):
    made = recipe(name, vectorization, autoreset)
    return stepped_in_windows(windows=WINDOWS, on_done=on_done, **made)


class AsSteps(Rollouts):
    """Of instances with the same seed one is stepped, the others are rolled out."""

    def same(self, wanted, got, fields=FIELDS):
        """To the last bit, and by the dtype."""
        self.assertEqual(got.keys() & set(FIELDS), set(fields))
        for field in ("steps", *fields):
            self.assertEqual(bits(got[field]), bits(wanted[field]), field)

    @params(*itertools.product(VECTORS, ["reset"]), *itertools.product(VECTORS[::3], ["stop"]))
    def test_of_drawn_actions(self, vector, on_done, fields=FIELDS):
        seen, env, got = stepped(*vector, on_done), self.made(**recipe(*vector)), None
        for length, (first, wanted, progress) in zip(WINDOWS, seen, strict=True):
            self.assertEqual(bits(env.begin(got, on_done)), bits(first))
            got = env.rollout(sample=length, on_done=on_done, fields=fields)
            self.same(wanted, got, fields)
            self.assertEqual(env.progress(), progress)
        self.assertEqual(progress[1], sum(wanted["done"].sum() for _, wanted, _ in seen))
        if on_done == "reset":
            self.assertGreater(progress[1], 0)
        if vector[2] != "next_step":
            steps = sum(wanted["steps"] for _, wanted, _ in seen)
            self.assertEqual(progress[0], steps * NUM_ENVS)

    @params(*(vector for vector in VECTORS if vector[2] == "next_step"))
    def test_without_infos(self, *vector):
        """Where nobody has to look at each step, they are gathered in another way."""
        self.test_of_drawn_actions(vector, "reset", BUT_INFOS)

    @params(*(vector for vector in VECTORS if vector[1] != "async"))
    def test_steps_in_between(self, *vector):
        """What one has left, the other takes up."""
        env = self.made(**recipe(*vector))
        env.reset()
        seen = stepped(*vector, "reset")
        for index, (_, wanted, progress) in enumerate(seen):
            play = env.by_steps if index % 2 else env.rollout
            got = play(sample=wanted["steps"], on_done="reset")
            got.pop("infos", None)
            self.same(wanted, got, BUT_INFOS)
            self.assertEqual(env.progress(), progress)

    @params(*(vector for vector in VECTORS if vector[1] != "async"))
    def test_of_given_actions(self, *vector):
        for sent, accept in ((JSON, JSON), (MSGPACK, MSGPACK), (MSGPACK, JSON)):
            with self.subTest(sent=sent, accept=accept):
                env = self.made(**recipe(*vector))
                env.reset()
                for _, wanted, progress in stepped(*vector, "reset"):
                    body = {"actions": wanted["actions"], "on_done": "reset", "fields": BUT_INFOS}
                    got = env.rollout(sent, accept, **body)
                    if accept == MSGPACK:
                        self.same(wanted, got, BUT_INFOS)
                    for field in BUT_INFOS:
                        self.assertEqual(in_json(got[field]), in_json(wanted[field]), field)
                    self.assertEqual(env.progress(), progress)


class ByHand(Rollouts):
    """An environment whose episodes take 2, 3 and 4 steps; its observations are the action and the
    time since the reset."""

    def rolled(self, autoreset, on_done, steps, **more):
        env = self.made("CustomNative-v0", num_envs=3, vectorization="native", autoreset=autoreset)
        env.reset()
        return env, env.rollout(actions=[[1, 1, 2]] * steps, on_done=on_done, **more)

    def test_next_step(self):
        env, reply = self.rolled("next_step", "reset", 5)
        self.assertEqual(reply["observations"][:, 0, 1].tolist(), [1, 2, 0, 1, 2])
        self.assertEqual(reply["observations"][:, 2, 1].tolist(), [1, 2, 3, 4, 0])
        wanted = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
        self.assertEqual(reply["done"].tolist(), np.array(wanted, bool).tolist())
        self.assertEqual(reply["final_observations"].tolist(), [[1, 2], [1, 3], [2, 4], [1, 2]])
        self.assertEqual(reply["rewards"].dtype, np.float64)
        self.assertEqual(env.progress()[:2], [12, 4])

    def test_same_step(self):
        env, reply = self.rolled("same_step", "reset", 4)
        self.assertEqual(reply["observations"][:, 0].tolist(), [[1, 1], [0, 0], [1, 1], [0, 0]])
        self.assertEqual(reply["final_observations"].tolist(), [[1, 2], [1, 3], [1, 2], [2, 4]])
        self.assertEqual(env.progress()[:2], [12, 4])

    def test_disabled(self):
        env, reply = self.rolled("disabled", "reset", 4)
        self.assertEqual(reply["observations"][:, 0].tolist(), [[1, 1], [0, 0], [1, 1], [0, 0]])
        self.assertEqual(reply["final_observations"].tolist(), [[1, 2], [1, 3], [1, 2], [2, 4]])
        self.assertEqual(env.progress()[:2], [12, 4])
        self.assertEqual(env.rollout(sample=1)["observations"][0, :, 1].tolist(), [1, 2, 1])

    @params("next_step", *OTHERS)
    def test_stop(self, autoreset):
        """With the step in which the first of them ends an episode."""
        env, reply = self.rolled(autoreset, "stop", 9)
        self.assertEqual(reply["steps"], 2)
        self.assertEqual(reply["observations"].shape, (2, 3, 2))
        self.assertEqual(reply["final_observations"].tolist(), [[1, 2]])
        self.assertEqual(env.progress()[:2], [6, 1])
        if autoreset == "disabled":
            with self.assertRaisesRegex(Refusal, r"\[0\] \(options.reset_mask\)") as caught:
                env.rollout(sample=1)
            self.assertEqual(caught.exception.kind, (400, "reset_needed"))
            self.assertEqual(env.progress()[:2], [6, 1])

    @params(*itertools.product(("next_step", *OTHERS), ("stop", "reset")))
    def test_nothing_but_the_number_of_steps(self, autoreset, on_done):
        env, reply = self.rolled(autoreset, on_done, 20, fields=[])
        self.assertEqual(reply, {"steps": 2 if on_done == "stop" else 20})
        self.assertGreaterEqual(env.progress()[0], 2 if on_done == "stop" else 45)


class OfAnotherDtype(unittest.TestCase):
    """Columns become as wide as their widest row, and no digit is lost by it."""

    def put(self, rewards):
        columns = Columns(len(rewards), *[np.array] * 4)
        kept = []
        for index, reward in enumerate(rewards):
            columns.put(index, np.zeros((2, 3)), reward, np.zeros(2, bool), np.zeros(2, bool))
            kept.append(columns.rows(index + 1)[1])
        return kept

    def test_is_as_if_put_together_at_the_end(self):
        tenths = np.array([0.1, 0.7])
        rewards = [tenths.astype(dtype) for dtype in ("f4", "f8", "f4", "f2", "f8", "f2", "f4")]
        self.assertEqual(bits(self.put(rewards)[-1]), bits(np.array(rewards)))

    def test_is_copied_once(self):
        """Not again with each row that is narrower, which takes a minute for 10,000 of them."""
        first, *others = self.put([np.zeros(2)] + [np.zeros(2, np.float32)] * 5)
        for other in others:
            self.assertTrue(np.shares_memory(first, other))


class Recorded(Rollouts):
    """What the monitor writes of a rollout is what it writes of steps."""

    def recording(self, play, on_done, films, env_id, **create):
        """(the statistics but for their times, the frames of each film)."""
        env = self.made(env_id, seed=SEED, **create)
        actions = [0 if env.facts["num_envs"] is None else [0] * env.facts["num_envs"]] * 14
        env.reset()
        directory = Path(tempfile.mkdtemp(dir=self.scratch))
        env.post("monitor/start/", {"directory": str(directory), "video_callable": films})
        with self.assertRaises(Refusal) as caught:
            play(env, actions=actions)
        self.assertEqual(caught.exception.kind, (400, "reset_needed"))
        reply = None
        for window in (7, 1, 14):
            env.begin(reply, on_done)
            reply = play(env, actions=actions[:window], on_done=on_done)
        env.post("monitor/close/", {})
        (stats,) = directory.glob("*.stats.json")
        (manifest,) = directory.glob("*.manifest.json")
        told = json.loads(stats.read_text())
        times = told.pop("timestamps")
        self.assertEqual((len(times), times), (len(told["episode_lengths"]), sorted(times)))
        self.assertLessEqual(told.pop("initial_reset_timestamp"), times[0])
        videos = json.loads(manifest.read_text())["videos"]
        return told, [frames_of(directory / video) for video, _ in videos]

    @params(
        ("reset", 2, "CustomOddFrames-v0"),
        ("stop", 1, "CustomOddFrames-v0"),
        ("reset", 2, "CustomOddFrames-v0", "next_step"),
        ("stop", 1, "CustomOddFrames-v0", "next_step"),
        ("reset", 1, "CustomOddFrames-v0", "same_step"),
        ("reset", 2, "CustomOddFrames-v0", "disabled"),
        ("reset", False, "CartPole-v1", "next_step", "native"),
    )
    def test_as_of_steps(self, on_done, films, env_id, autoreset=None, vectorization=None):
        create = {"kwargs": {"length": 4}} if films else {}
        if autoreset is not None:
            create |= {"num_envs": 3, "autoreset": autoreset, "vectorization": vectorization}
        wanted = self.recording(Played.by_steps, on_done, films, env_id, **create)
        got = self.recording(Played.rollout, on_done, films, env_id, **create)
        self.assertEqual(got[0], wanted[0])
        self.assertGreater(len(got[0]["episode_lengths"]), 1)
        self.assertEqual(len(got[1]), len(wanted[1]))
        self.assertEqual(bool(films), len(got[1]) > 1)
        for one, other in zip(got[1], wanted[1], strict=True):
            self.assertEqual(len(one), len(other))
            away = np.abs(np.subtract(one, other, dtype=np.int16))
            self.assertLess(away.max(), 4)  # no two films of an encoder's are quite the same


def frames_of(path):
    import av

    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
