"""Snapshots of instances to which something odd has happened: what is restored goes on as they do,
and nobody notices that one was taken."""

import os
import tempfile
import unittest
from pathlib import Path

import gymnasium
import numpy as np
from nose2.tools import params

from gym_http.environments import Recipe
from gym_http.errors import EnvFailed, ResetNeeded, Unsupported
from gym_http.service import Service
from gym_http.settings import Settings
from gym_http.snapshots import History
from gym_http.terms import Terms
from tests.snapshot_envs import Ageing, Unpickled, Walk


class Stumbling(Ageing):
    """Raises in a step from far away, which ages it nevertheless."""

    def step(self, action):
        outcome = super().step(action)
        if self.place > 1e6:
            raise RuntimeError("too far")
        return outcome


class SharedDice(Unpickled):
    """Draws from the process's generator, which its seed seeds, as environments once did."""

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            np.random.seed(seed)
        return super().reset(seed=seed, options=options)

    def noise(self):
        return np.random.normal()


class AgeingCrash(Ageing):
    """Takes its process along where a file says so, once."""

    def __init__(self, path="", **kwargs):
        super().__init__(**kwargs)
        self.path = path

    def step(self, action):
        if self.path and os.path.exists(self.path):
            os.unlink(self.path)
            os._exit(7)
        return super().step(action)


class RenderDice(Unpickled):
    """Draws a number for each picture."""

    def render(self):
        self.np_random.random()
        return super().render()


class Sometimes(Walk):
    """Can't be made while there is that file."""

    def __init__(self, mark, **kwargs):
        super().__init__(**kwargs)
        if Path(mark).exists():
            raise OSError("too many open files")


for _kind in (RenderDice, Sometimes, Stumbling, SharedDice, AgeingCrash):
    gymnasium.register(f"test/{_kind.__name__}-v0", entry_point=_kind, max_episode_steps=500)


class WithService(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        self.service = Service(Settings(imports=("tests.test_same_again",), auto_restore=1))
        self.addCleanup(self.service.close_all)

    def create(self, env_id, backend="local", **kwargs):
        recipe = Recipe(env_id, kwargs=kwargs)
        return self.service.create(recipe, terms=Terms(backend)).instance_id

    def restored(self, instance_id):
        taken = self.service.snapshot(instance_id)
        return self.service.create_from(taken.snapshot_id).instance_id

    def play(self, instance_id, steps=5):
        return [self.service.step(instance_id, 1).observation.tolist() for _ in range(steps)]


class Taken(WithService):
    def test_dice_that_no_seed_reaches(self):
        original = self.create("test/OwnDice-v0")
        self.service.reset(original, seed=5)
        other = self.restored(original)
        self.assertEqual(self.play(original), self.play(other))

    def test_after_a_failure(self):
        """What it has changed, no steps made again would."""
        original = self.create("test/Stumbling-v0")
        self.service.reset(original, options={"place": 1e7})
        with self.assertRaises(EnvFailed):
            self.service.step(original, 1)
        self.service.reset(original, seed=3)
        with self.assertRaisesRegex(Unsupported, "or one failed"):
            self.service.snapshot(original)

    def test_a_monitor_begins_after_a_failure(self):
        original = self.create("test/Stumbling-v0")
        self.service.reset(original, options={"place": 1e7})
        with self.assertRaises(EnvFailed):
            self.service.step(original, 1)
        self.service.monitor_start(original, self.scratch)
        with self.assertRaisesRegex(ResetNeeded, "failed"):
            self.service.snapshot(original)

    def test_a_monitor_begins_after_an_end(self):
        original = self.create("CartPole-v1")
        self.service.reset(original, seed=1)
        while not self.service.step(original, 1).done:
            pass
        self.service.monitor_start(original, self.scratch)
        other = self.restored(original)
        for one in (original, other):
            with self.assertRaisesRegex(ResetNeeded, "has ended its episode"):
                self.service.step(one, 1)

    @params("local", "process")
    def test_the_processs_own_dice(self, backend):
        """Nobody need have given a seed, so that nothing brings them back. They don't notice."""
        told = []
        for is_taken in (False, True):
            original = self.create("test/SharedDice-v0", backend)
            self.service.reset(original, seed=3)
            if is_taken:
                with self.assertRaises(Unsupported):
                    self.service.snapshot(original)
            told.append(self.play(original))
        self.assertEqual(*told)

    def test_pictures_that_change_what_follows(self):
        original = self.create("test/RenderDice-v0")
        self.service.reset(original, seed=3)
        self.service.render(original)
        with self.assertRaisesRegex(Unsupported, "told another observation"):
            self.service.snapshot(original)

    def test_a_twin_that_could_not_be_made_once(self):
        mark = self.scratch / "mark"
        original = self.create("test/Sometimes-v0", mark=str(mark))
        self.service.reset(original, seed=3)
        mark.touch()
        with self.assertRaisesRegex(Unsupported, "too many open files"):
            self.service.snapshot(original)
        mark.unlink()
        self.assertEqual(self.service.snapshot(original).kind, "copy")

    def test_a_seed_that_waits_for_a_reset(self):
        first = self.create("CartPole-v1")
        self.service.reset(first, seed=3)
        taken = self.service.snapshot(first)
        original = self.service.create_from(taken.snapshot_id, seed=7).instance_id
        other = self.restored(original)
        told = [self.service.reset(one).observation.tolist() for one in (original, other)]
        self.assertEqual(*told)

    def test_large_actions(self):
        """Are kept as long as there are few of them."""
        space = gymnasium.spaces.Dict({"a": gymnasium.spaces.Sequence(gymnasium.spaces.Box(0, 1))})
        history = History(space)
        history.last = (0,)
        for kept in (history, history.passed_on()):
            kept.reset(1, None)
            kept.note({"a": (np.zeros(1000),) * 100})
            self.assertEqual(len(kept.log().events), 2)
            for _ in range(1000):
                kept.note({"a": (np.zeros(1000),) * 100})
            self.assertLess(len(kept._events), 40)
            with self.assertRaisesRegex(Unsupported, "too large ones"):
                kept.log()
            kept.reset(2, None)
            self.assertEqual(kept.log().events[0].seed, 2)

    def test_many_options(self):
        """Are let go of, as all that is long ago."""
        kept = History(gymnasium.spaces.Discrete(2))
        for number in range(1000):
            kept.reset(number, {"text": "x" * 60_000 + str(number)})
        held = sum(len(one.options.get("text", "")) for one in kept._events)
        self.assertLess(held, 2e6)
        kept.last = (0,)
        self.assertEqual(kept.log().events[0].seed, 999)
        for number in range(1000):
            mask = np.array([True, False])
            kept.reset(None, {"text": "x" * 60_000 + str(number), "reset_mask": mask})
        held = sum(len(one.options.get("text", "")) for one in kept._events)
        self.assertLess(held, 20e6)
        with self.assertRaisesRegex(Unsupported, "options"):
            kept.log()
        kept.reset(7, None)
        self.assertEqual(kept.log().events, [kept._events[-1]])


class Crashed(WithService):
    def test_what_all_its_life_counts_for(self):
        """It comes back with its age, though nothing of that is seen where it crashed."""
        path = self.scratch / "now"
        told = []
        for now in (str(path), ""):
            made = self.create("test/AgeingCrash-v0", "process", path=now)
            self.service.reset(made, seed=1)
            self.play(made, 7)
            self.service.reset(made, seed=2)
            if now:
                path.touch()
            told.append(self.play(made))
            self.assertEqual(self.service.describe(made)["restored"], bool(now))
        self.assertEqual(*told)
