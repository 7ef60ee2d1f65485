"""What is no rollout: the answer says why, and the instance doesn't notice."""

import itertools
import json
from functools import lru_cache

import numpy as np
from gymnasium import spaces
from nose2.tools import params

from gym_http.wire import to_msgpack
from tests.rollouts import FIELDS, JSON, MOST, MSGPACK, Played, Refusal, Rollouts, Talk, described
from tests.support import shared_server
from tests.test_trajectories import bits

SEED = 4
BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)
DICT = spaces.Dict({"x": BOX, "y": spaces.Tuple((spaces.Discrete(3), spaces.Text(4)))})


def drawn(space):
    return {"env_id": "CustomDrawn-v0", "kwargs": {"action": described(space)}}


KINDS = {  # an action space each, and how an instance with one is made
    "Discrete": {"env_id": "CartPole-v1"},
    "Box": {"env_id": "Pendulum-v1"},
    "grid": drawn(spaces.Box(-1.0, 1.0, (2, 2), np.float32)),
    "unbounded": drawn(spaces.Box(-np.inf, np.inf, (), np.float32)),
    "bytes": drawn(spaces.Box(0, 200, (2,), np.uint8)),
    "MultiDiscrete": drawn(spaces.MultiDiscrete([2, 3])),
    "MultiBinary": drawn(spaces.MultiBinary(2)),
    "Text": drawn(spaces.Text(4, charset="ab")),
    "Dict": drawn(DICT),
    "Sequence": drawn(spaces.Sequence(BOX)),
    "vector": {"env_id": "CartPole-v1", "num_envs": 3},
    "vector of Dicts": {**drawn(DICT), "num_envs": 2},
}
NEVER = (None, {}, [], "x", True, [None], {"x": 1}, [[]], [[[0]]])  # are actions of none of these
REFUSED_ACTIONS = {
    "Discrete": (2, -1, 2**63, 0.5, 1e300, "1", [0, 1], [True], *NEVER),
    "Box": (2.1, -1e300, [2.1], [0, 0], ["0"], [True], [[0, 0]], *NEVER),
    "grid": (0, [[0, 0]], [[0, 0], [0]], [[0, 0], [0, 1.5]], [[0, 0], [0, None]], *NEVER),
    "unbounded": ([0, 0], "1", *NEVER),
    "bytes": ([0, 201], [0, -1], [0, 256], [0, 0.5], [0], [0, 0, 0], 0, [2**63, 0], *NEVER),
    "MultiDiscrete": ([2, 0], [0, 3], [0, -1], [0], [0, 1, 2], [0, True], 0, *NEVER),
    "MultiBinary": ([0, 2], [0, -1], [0, 0.5], [True, False], [0], 0, *NEVER),
    "Text": ("abcab", "c", "", 0, ["a"], None, {}, [], True),
    "Dict": ({"x": [0, 0]}, {"x": [0, 0], "y": [3, "a"]}, {"x": [0, 2], "y": [0, "a"]}, *NEVER),
    "Sequence": ([[0, 0], [0]], [[0, 0], [0, 2]], 0, None, {}, "x", True, [None]),
    "vector": ([0, 1], [0, 1, 2], [0, 1, 1, 0], [0, 1, None], [0, 1, True], [[0], [1], [0]], 0,
               *NEVER),
    "vector of Dicts": ({"x": [[0, 0]]}, {"x": [[0, 0], [0]], "y": [[0, 0], ["a", "a"]]}, *NEVER),
}  # fmt: skip
# Whole arrays, and the first action in them that is none (None: it isn't an array of actions).
REFUSED_ARRAYS = (
    ("Discrete", np.array([0, 1, 2]), 2),
    ("Discrete", np.array([0, 1, -1], np.int8), 2),
    ("Discrete", np.array([0, 1, 255], np.uint8), 2),
    ("Discrete", np.array([0, 1, 2**63], np.uint64), 2),
    ("Discrete", np.array([0, 1, 0.5]), 2),
    ("Discrete", np.array([0, 1, 0.5], np.float32), 2),
    ("Discrete", np.array([0, 1, 2], np.float16), 2),
    ("Discrete", np.array([0, 1, np.nan]), 2),
    ("Discrete", np.array([0, 1, np.inf], np.float32), 2),
    ("Discrete", np.array([False, True]), 0),
    ("Discrete", np.array([[0, 1], [1, 0]]), 0),
    ("Discrete", np.zeros((2, 0), int), 0),
    ("Discrete", np.array(1), None),
    ("Discrete", np.zeros(0, int), None),
    ("Discrete", np.zeros((0, 5), int), None),
    ("Box", np.array([[0], [2.5]]), 1),
    ("Box", np.array([[0], [np.nan]], np.float32), 1),
    ("Box", np.array([[0], [-np.inf]], np.float16), 1),
    ("Box", np.array([[False], [True]]), 0),
    ("Box", np.zeros((3, 2)), 0),
    ("Box", np.zeros((3, 1, 1)), 0),
    ("grid", np.zeros((3, 4)), 0),
    ("grid", np.zeros((2, 2)), 0),
    ("grid", np.array([np.zeros((2, 2)), [[0, 0], [0, 1.01]]]), 1),
    ("unbounded", np.array([0, 1, np.nan]), 2),
    ("unbounded", np.array([[0], [1]]), 0),
    ("bytes", np.array([[0, 1], [0, 256]]), 1),
    ("bytes", np.array([[0, 1], [0, 201]], np.uint8), 1),
    ("bytes", np.array([[0, 1], [0, -1]], np.int8), 1),
    ("bytes", np.array([[0, 1], [0, 1.5]], np.float32), 1),
    ("MultiDiscrete", np.array([[1, 2], [2, 2]]), 1),
    ("MultiDiscrete", np.array([[0, 1], [0, 2**64 - 1]], np.uint64), 1),
    ("MultiBinary", np.array([[0, 1], [0, 2]]), 1),
    ("MultiBinary", np.array([[False, True]]), 0),
    ("Text", np.zeros(3), 0),
    ("Dict", np.zeros((3, 2)), 0),
    ("vector", np.zeros(3, int), 0),
    ("vector", np.zeros((4, 2), int), 0),
    ("vector", np.array([[0, 1, 0], [0, 2, 0]], np.uint8), 1),
    ("vector of Dicts", np.zeros((3, 2)), 0),
)


@lru_cache(maxsize=None)
def undisturbed(name):
    """(60 actions, of which four are made; then the reply to a rollout of twenty of them) of an
    instance that nothing was refused of."""
    talk = Talk()
    env = Played(talk, seed=SEED, **KINDS[name])
    actions = [env.get("action_space/sample")["action"] for _ in range(60)]
    env.reset()
    env.rollout(actions=actions[:4], on_done="reset")
    reply = env.rollout(actions=actions[:20], on_done="reset", fields=FIELDS)
    env.close()
    talk.close()
    return actions, reply


class Refused(Rollouts):
    """400, and the episode goes on as if nothing had been asked."""

    def begun(self, name):
        """An instance that has made four steps, and actions for it."""
        actions, _ = undisturbed(name)
        env = self.made(seed=SEED, **KINDS[name])
        for _ in actions:  # as many as the undisturbed one has drawn
            env.get("action_space/sample")
        env.reset()
        env.rollout(actions=actions[:4], on_done="reset")
        return env, actions

    def check(self, env, name, bodies, code="bad_value", encodings=(JSON, MSGPACK)):
        """Each body is refused. bodies: (body, how the message begins)."""
        before = env.progress()
        for (body, message), sent in itertools.product(bodies, encodings):
            with self.subTest(body=str(body)[:200], sent=sent):
                with self.assertRaises(Refusal) as caught:
                    env.rollout(sent, **body)
                self.assertEqual(caught.exception.kind, (400, code))
                self.assertRegex(caught.exception.message, "^" + message)
                self.assertLess(len(caught.exception.message), 700)
                self.assertEqual(env.progress(), before)
        actions, wanted = undisturbed(name)
        got = env.rollout(actions=actions[:20], on_done="reset", fields=FIELDS)
        self.assertEqual(bits(got), bits(wanted))

    @params(*REFUSED_ACTIONS)
    def test_an_action_at_position_57(self, name):
        env, actions = self.begun(name)
        bodies = []
        for wrong in REFUSED_ACTIONS[name]:
            given = [*actions[:57], wrong, *actions[58:]]
            bodies.append(({"actions": given, "on_done": "reset"}, r"actions\[57\][:.\[]"))
        given = [*actions[:10], wrong, *actions[11:57], wrong, *actions[58:]]
        bodies.append(({"actions": given}, r"actions\[10\][:.\[]"))
        self.check(env, name, bodies)

    @params(*KINDS)
    def test_arrays(self, name):
        env, _ = self.begun(name)
        bodies = []
        for kind, array, index in REFUSED_ARRAYS:
            if kind == name:
                message = "actions: " if index is None else rf"actions\[{index}\][:.\[]"
                bodies.append(({"actions": array}, message))
        self.check(env, name, bodies, encodings=(MSGPACK,))

    @params(
        ("actions", "a rollout takes either", (None,)),
        ("actions", "actions: ", (5, "01", {}, {"0": 1}, True, 1.5, [], [0] * (MOST + 1))),
        ("sample", "sample: ", ("5", True, 0, -1, 1.5, 1e300, [5], {}, MOST + 1, 2**31, 2**63)),
        ("on_done", "on_done", ("Stop", "stop ", "never", 5, True, ["stop"], {"stop": 1})),
        ("fields", "fields: ", ("done", ["done", "info"], ["steps"], [1], [None], [["done"]],
                                {"done": 1}, 5, True, ["x" * 10_000])),
    )  # fmt: skip
    def test_parameters(self, parameter, message, values):
        env, _ = self.begun("Discrete")
        rest = {} if parameter in ("actions", "sample") else {"sample": 3}
        self.check(env, "Discrete", [({parameter: value, **rest}, message) for value in values])

    def test_numbers_that_only_messagepack_has(self):
        env, actions = self.begun("Discrete")
        numbers = (float("nan"), float("inf"), np.array([5]), np.array(5.5), np.array([True]))
        bodies = [({"sample": number}, "sample: ") for number in numbers]
        bodies += [({"actions": [*actions[:57], number]}, r"actions\[57\]: ") for number in numbers]
        bodies.append(({"sample": 2, "fields": np.array([1, 2])}, "fields: "))
        self.check(env, "Discrete", bodies, encodings=(MSGPACK,))

    def test_both(self):
        env, _ = self.begun("Discrete")
        self.check(env, "Discrete", [({"actions": [0], "sample": 1}, "a rollout takes either")])

    @params(
        b"", b"{", b'{"actions": [0, 1', b'{"actions": [NaN]}', b"[0, 1]", b'"x"', b"\xff",
        b'{"sample": 1} {}', b'{"actions": ' + b"[" * 300 + b"]" * 300 + b"}",
    )  # fmt: skip
    def test_a_body_that_is_no_json(self, body):
        env, _ = self.begun("Discrete")
        status, got = self.talk.raw("POST", env.path + "rollout/", body)
        self.assertEqual((status, json.loads(got)["code"]), (400, "invalid_json"), got)
        self.check(env, "Discrete", [])

    @params(b"\x81", b"\x90\x90", b"\xc1", to_msgpack([1]), to_msgpack({"actions": {1: 2}}))
    def test_a_body_that_is_no_messagepack(self, body):
        env, _ = self.begun("Discrete")
        status, got = self.talk.raw("POST", env.path + "rollout/", body, MSGPACK)
        self.assertEqual((status, json.loads(got)["code"]), (400, "invalid_msgpack"), got)
        self.check(env, "Discrete", [])

    def test_an_integer_of_any_length(self):
        env, _ = self.begun("Discrete")
        for body in (b'{"actions": [0, 1%s]}' % (b"0" * 30), b'{"sample": 1%s}' % (b"0" * 30)):
            status, got = self.talk.raw("POST", env.path + "rollout/", body)
            self.assertEqual((status, json.loads(got)["code"]), (400, "bad_value"), got)
        self.check(env, "Discrete", [])

    def test_without_an_episode(self):
        """Before the first reset, after an end, and in an instance that isn't there."""
        env = self.made("CustomOdd-v0")
        for steps in (0, 3):
            for body in ({"sample": 1}, {"actions": [0]}, {"sample": 1, "on_done": "reset"}):
                with self.assertRaises(Refusal) as caught:
                    env.rollout(**body)
                self.assertEqual(caught.exception.kind, (400, "reset_needed"))
                self.assertEqual(env.progress()[0], steps)
            env.reset()
            self.assertEqual(env.rollout(sample=9)["steps"], 3)
            self.assertEqual(env.progress(), [steps + 3, 1 + steps // 3, 3.0, 3])
        with self.assertRaisesRegex(Refusal, "unknown") as caught:
            self.talk.ask("POST", "/v1/envs/0badcafe/rollout/", {"sample": 1})
        self.assertEqual(caught.exception.kind, (400, "unknown_instance"))


class Limits(Rollouts):
    def refused(self, env, message, **body):
        before = env.progress()
        with self.assertRaisesRegex(Refusal, message) as caught:
            env.rollout(**body)
        self.assertEqual(caught.exception.kind, (400, "bad_value"))
        self.assertEqual(env.progress(), before)

    @params({}, {"num_envs": 2})
    def test_of_steps(self, create):
        env = self.made("FrozenLake-v1", **create)
        env.reset()
        action = 0 if not create else [0, 0]
        for most in ({"sample": MOST}, {"actions": [action] * MOST}):
            self.assertEqual(env.rollout(on_done="reset", **most)["steps"], MOST)
        for more in (
            {"sample": MOST + 1},
            {"actions": [action] * (MOST + 1)},
            {"actions": np.zeros((MOST + 1, *np.shape(action)), int)},
            {"actions": ["x"] * (MOST + 1)},
        ):
            self.refused(env, rf"1 to {MOST} steps \(--max-rollout\), not {MOST + 1}", **more)

    def test_of_steps_by_default(self):
        talk = Talk(shared_server())
        self.addCleanup(talk.close)
        env = Played(talk, "CustomOdd-v0", kwargs={"length": 9_999})
        self.addCleanup(env.close)
        env.reset()
        reply = env.rollout(sample=10_000, on_done="reset")
        self.assertEqual(np.flatnonzero(reply["done"]).tolist(), [9_998])
        self.refused(env, "10000 steps .--max-rollout., not 10001", sample=10_001)

    def test_of_observations(self):
        """Four large ones fit, to the last byte, and five don't."""
        env = self.made("CustomLarge-v0", kwargs={"length": 1})
        env.reset()
        for fields in (None, ["observations"], FIELDS):
            self.refused(env, "83886080 bytes, more than the 67108864", sample=5, fields=fields)
        self.assertEqual(env.rollout(sample=5, fields=["rewards"])["steps"], 1)
        env.reset()
        self.assertEqual(env.rollout(sample=4)["observations"].shape, (1, 4096, 4096))

    def test_of_last_observations(self):
        """They are observations, too, and as many where each step ends an episode."""
        env = self.made("CustomLarge-v0", kwargs={"length": 1})
        env.reset()
        more = {"on_done": "reset", "fields": ["final_observations"]}
        self.refused(env, "bytes, more than the 67108864", sample=5, **more)

    def test_of_a_vectors_observations(self):
        env = self.made("CustomFrames-v0", num_envs=4, kwargs={"length": 1})
        env.reset()
        self.refused(env, "more than the 67108864", sample=167)
        self.assertEqual(env.rollout(sample=166)["steps"], 1)
