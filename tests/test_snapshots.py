"""What is restored goes on as the one that it was taken of: each kind of state, on environments of
every family."""

from __future__ import annotations

import pickle
import random
import unittest
from typing import Any

import gymnasium
import numpy as np
from nose2.tools import params

import tests.snapshot_envs  # noqa: F401 (registers them)
from gym_http import randomness, snapshots
from gym_http.environments import Recipe
from gym_http.errors import BadValue, Unsupported
from gym_http.snapshots import History, Log, Reset, history
from gym_http.wire import from_msgpack, to_msgpack
from tests.snapshot_player import POLICY, Player

SMALL = {"width": 64, "height": 64}  # pictures, which take long to draw without a GPU


class Begun(unittest.TestCase):
    def begun(self, recipe: Recipe, seen: bool = True) -> Player:
        """In the middle of its second episode, which began without a seed."""
        player = Player(recipe, seen=seen)
        self.addCleanup(player.close)
        player.env.action_space.seed(3)
        player.reset()
        player.play(9)
        player.reset()
        player.play(8)
        return player

    def check(self, original: Player, *others: Player) -> None:
        told = original.future()
        for other in others:
            self.addCleanup(other.close)
            self.assertEqual(other.future(), told)


class Kinds(Begun):
    @params(
        (Recipe("CartPole-v1"), "copy"),
        (Recipe("Pendulum-v1"), "copy"),
        (Recipe("Acrobot-v1"), "copy"),
        (Recipe("FrozenLake-v1"), "copy"),
        (Recipe("FrozenLake-v1", render_mode="ansi"), "copy"),
        (Recipe("Taxi-v3"), "copy"),
        (Recipe("Blackjack-v1"), "copy"),
        (Recipe("MiniGrid-Empty-8x8-v0"), "copy"),
        (Recipe("ALE/Pong-v5"), "replay"),
        (Recipe("ALE/Pong-v5", kwargs={"repeat_action_probability": 0.0}), "native"),
        (Recipe("PongNoFrameskip-v4", num_envs=2), "native"),
        (Recipe("CartPole-v1", num_envs=3), "copy"),
        (Recipe("CartPole-v1", num_envs=3, autoreset="same_step"), "copy"),
        (Recipe("CartPole-v1", num_envs=3, autoreset="disabled"), "copy"),
        (Recipe("CartPole-v1", num_envs=3, vectorization="native"), "copy"),
        (Recipe("CartPole-v1", num_envs=2, vectorization="async"), "replay"),
        (Recipe("CartPole-v1", engine="gym"), "replay"),
        (Recipe("test/Walk-v0"), "copy"),
        (Recipe("test/Unpickled-v0"), "replay"),
        (Recipe("test/Lying-v0"), "replay"),
        (Recipe("test/Ageing-v0"), "replay"),
        (Recipe("test/OwnDice-v0"), "replay"),
    )
    def test_goes_on_as_the_original(self, recipe: Recipe, kind: str) -> None:
        original = self.begun(recipe)
        captured = original.capture()
        self.assertEqual(captured.kind, kind, captured.why_not)
        self.assertEqual(captured.whole, "Ageing" in recipe.env_id, captured.why_not)
        captured = pickle.loads(pickle.dumps(captured))  # as from a worker
        self.check(original, original.restored(captured), original.again())

    @params(
        (Recipe("HalfCheetah-v5", kwargs=SMALL), True),
        (Recipe("Ant-v5", kwargs=SMALL), False),  # which observes forces
        (Recipe("Swimmer-v5", kwargs=SMALL, num_envs=2), False),
    )
    def test_mujoco(self, recipe: Recipe, seen: bool) -> None:
        original = self.begun(recipe, seen)
        captured = original.capture()
        self.assertEqual(captured.kind, "native", captured.why_not)
        self.check(original, original.restored(captured))

    @params(("LunarLander-v3", False), ("BipedalWalker-v3", True))
    def test_box2d(self, env_id: str, whole: bool) -> None:
        """Its worlds can't be pickled. The walker's outlives the episode; pictures remember the
        ones before, so that there are none here."""
        original = self.begun(Recipe(env_id), seen=False)
        captured = original.capture()
        self.assertEqual((captured.kind, captured.whole), ("replay", whole), captured.why_not)
        self.check(original, original.restored(captured))

    def test_a_restored_one_is_captured_again(self) -> None:
        for recipe in (
            Recipe("PongNoFrameskip-v4"),
            Recipe("Reacher-v5", kwargs=SMALL),
            Recipe("CartPole-v1"),
        ):
            with self.subTest(recipe.env_id):
                original = self.begun(recipe)
                second = original.restored(original.capture())
                self.addCleanup(second.close)
                self.check(original, second.restored(second.capture()), second)


class Refusals(Begun):
    @params("Entropy", "Failing")
    def test_no_kind_does(self, name: str) -> None:
        original = self.begun(Recipe(f"test/{name}-v0"))
        with self.assertRaises(Unsupported) as caught:
            original.capture()
        for kind in ("native: ", "copy: ", "replay: "):
            self.assertIn(kind, str(caught.exception))

    def test_steps_that_lead_elsewhere(self) -> None:
        original = self.begun(Recipe("test/LateEntropy-v0"))
        captured = original.capture()
        self.assertEqual(captured.kind, "replay")
        original.restored(captured).close()
        original.play(120)
        with self.assertRaisesRegex(Unsupported, "led elsewhere"):
            original.restored(captured)

    def test_the_users_environment_is_left_alone(self) -> None:
        original, twin = (self.begun(Recipe("CartPole-v1")) for _ in range(2))
        state = randomness.random_state(original.env)
        original.capture()
        self.assertEqual(randomness.random_state(original.env), state)
        self.assertNotEqual(randomness.random_state(twin.env), state)


class Histories(Begun):
    def test_an_episode_that_is_too_long(self) -> None:
        kept = History(gymnasium.spaces.Box(-1, 1, (2**16,), np.float64))
        self.assertLess(kept._events.maxlen or 0, 100)
        kept.reset(1, None)
        kept.last = (0,)
        for _ in range(100):
            kept.note(np.zeros(2**16))
        with self.assertRaisesRegex(Unsupported, "steps to be made again"):
            kept.log()
        kept.reset(2, None)
        self.assertEqual(kept.log().events, [Reset(2, None, None, True, True)])
        with self.assertRaisesRegex(Unsupported, "since it was made"):
            kept.log(whole=True)

    def test_from_a_snapshot_on(self) -> None:
        original = self.begun(Recipe("test/Walk-v0"))
        captured = original.capture()
        original.history.captured(captured)
        original.play(5)
        (log,) = original.history.latest()
        self.assertEqual((log.start, len(log.events)), (captured, 5))
        made = snapshots.make_again(log, original.recipe, POLICY)
        self.check(original, original.twin(made))

    def test_random_states_are_let_go(self) -> None:
        """Of all resets but the first and the last; what was taken before keeps its own."""
        kept = History(gymnasium.spaces.Discrete(2))
        kept.last = (0,)
        logs = []
        for number in range(4):
            kept.reset(None, None, {"states": [], "portable": True, "number": number})
            kept.note(np.int64(1))
            logs.append(kept.log())
        states = [one.random for one in kept.log(whole=True).events if isinstance(one, Reset)]
        self.assertEqual([one and one["number"] for one in states], [0, None, None, 3])
        self.assertEqual([log.events[0].random["number"] for log in logs], [0, 1, 2, 3])
        other = kept.passed_on()
        kept.reset(5, None)
        self.assertEqual(other.log().events[0].random["number"], 3)
        self.assertEqual(kept.log().events, [Reset(5, begins=True)])

    def test_options_are_kept(self) -> None:
        original = self.begun(Recipe("test/Unpickled-v0"))
        original.reset(options={"place": 7.5})
        original.play(3)
        self.check(original, original.again())

    def test_large_options_are_not(self) -> None:
        kept = History(gymnasium.spaces.Discrete(2))
        kept.reset(1, {"text": "x" * 100_000})
        kept.last = (0,)
        with self.assertRaisesRegex(Unsupported, "options"):
            kept.log()

    def test_a_mask_doesnt_begin(self) -> None:
        original = self.begun(Recipe("CartPole-v1", num_envs=3, autoreset="disabled"))
        original.reset(seed=1)
        original.play(30)  # some fall
        original.reset(None, {"reset_mask": np.array([True, False, True])})
        self.assertFalse(np.any(original.over))
        resets = [one for one in original.history.log().events if isinstance(one, Reset)]
        self.assertGreater(len(resets), 1)
        self.check(original, original.again())

    def test_an_emulator_that_nobody_seeded(self) -> None:
        """Its state after the first episode is nothing that a client may send back."""
        original = self.begun(Recipe("ALE/Pong-v5"))
        for portable, expected in ((False, [False]), (True, [True, False])):
            events = original.history.log(portable=portable).events
            resets = [one for one in events if isinstance(one, Reset)]
            self.assertEqual([one.portable for one in resets], expected)
        state = randomness.random_state(original.env)
        with self.assertRaises(BadValue):
            randomness.set_random_state(original.env, state)
        randomness.set_random_state(original.env, state, ours=True)

    def test_sticky_actions(self) -> None:
        """What an emulator holds at the moment decides on what comes, and it doesn't tell."""
        original = self.begun(Recipe("ALE/Pong-v5"))
        captured = original.capture()
        self.assertIn("sticky", captured.why_not["native"])
        for _ in range(8):
            original.reset()
            original.play(20)
            self.check(original, original.restored(captured))

    def test_a_digest(self) -> None:
        one = history.digest_of(np.zeros(2), 1.0, False, False)
        same = history.digest_of(np.zeros(2), np.float32(1), np.False_, np.array(False))
        self.assertEqual(one, same)
        for other in (
            (np.ones(2), 1.0, False, False),
            (np.zeros(2), 2.0, False, False),
            (np.zeros(2), 1.0, True, False),
            (np.zeros(2), 1.0, False, True),
            (np.zeros(2),),
        ):
            self.assertNotEqual(history.digest_of(*other), one)

    def test_a_log_that_fails_on_its_way(self) -> None:
        log = Log(None, [Reset(1, begins=True), "no action"], "")
        with self.assertRaisesRegex(Unsupported, "failed"):
            snapshots.make_again(log, Recipe("CartPole-v1"), POLICY)


class RandomStates(unittest.TestCase):
    @params("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
    def test_generators(self, name: str) -> None:
        one, other = (np.random.Generator(getattr(np.random, name)(seed)) for seed in (1, 2))
        one.normal(size=7)
        holder, into = Holder(one), Holder(other)
        state = from_msgpack(to_msgpack(randomness.plain(randomness.random_state(holder))))
        randomness.set_random_state(into, state)
        self.assertEqual(one.normal(size=9).tolist(), other.normal(size=9).tolist())

    def test_old_generators(self) -> None:
        for one, other in (
            (random.Random(1), random.Random(2)),
            (np.random.RandomState(1), np.random.RandomState(2)),
        ):
            state = from_msgpack(to_msgpack(randomness.plain(randomness.random_state(Holder(one)))))
            randomness.set_random_state(Holder(other), state)
            draws = [[each.uniform(0, 1) for _ in range(5)] for each in (one, other)]
            self.assertEqual(*draws)

    def test_spaces(self) -> None:
        space = gymnasium.spaces.Dict(
            a=gymnasium.spaces.Tuple((gymnasium.spaces.Discrete(99), gymnasium.spaces.Text(5))),
            b=gymnasium.spaces.Sequence(gymnasium.spaces.Box(0, 1, (2,))),
        )
        state = from_msgpack(to_msgpack(randomness.plain(randomness.space_state(space))))
        drawn = [repr(space.sample()) for _ in range(5)]
        space.seed(77)
        randomness.set_space_state(space, state)
        self.assertEqual([repr(space.sample()) for _ in range(5)], drawn)

    def test_what_would_lead_c_astray(self) -> None:
        holder = Holder(np.random.Generator(np.random.MT19937(1)))
        good = randomness.plain(randomness.random_state(holder))
        name = good["states"][0][1]
        for change in (
            {"pos": "0x7fffffff"},
            {"pos": "-0x1"},
            {"pos": 1.5},
            {"key": np.zeros(3)},
            {"key": "x"},
            {"key": None},
        ):
            inner = {**good["states"][0][2], "state": {**good["states"][0][2]["state"], **change}}
            for bad in (inner, {**inner, "bit_generator": "PCG64"}, {}, None, [], "0x1"):
                with self.subTest(change), self.assertRaises(BadValue):
                    randomness.set_random_state(holder, {"states": [[0, name, bad]]})
        for bad_state in (
            None,
            {},
            {"states": None},
            {"states": [[0, name]]},
            {"states": [[7, name, {}]]},
            {"states": [[True, name, {}]]},
            {"states": [[0, "__class__", {}]]},
            {"states": [[0, None, {}]]},
        ):
            with self.subTest(bad_state), self.assertRaises(BadValue):
                randomness.set_random_state(holder, bad_state)


class Holder:
    """Something with a generator."""

    def __init__(self, generator: Any) -> None:
        self.dice = generator
