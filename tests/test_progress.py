"""What vector environments have come through, counted a step at a time and many at once."""

import copy
import itertools
import unittest

import numpy as np
from nose2.tools import params

from gym_http.progress import VectorProgress

COUNTED = ("steps", "episodes", "last_return", "last_length", "obstacle")
DTYPES = (np.float16, np.float32, np.float64)
# How often episodes end, and what rewards are: sums of these depend on their order.
CHANCES = (0.0, 0.05, 0.4, 1.0)


def counted(progress):
    """To the last bit: -0.0 isn't 0.0, and NaN is NaN."""
    return [repr(getattr(progress, name)) for name in COUNTED]


def rewards_of(random, shape, dtype):
    rewards = random.normal(size=shape) * 10.0 ** random.integers(-3, 4, shape)
    odd = random.random(shape)
    rewards[odd < 0.03] = -0.0
    if random.random() < 0.1:
        rewards[odd > 0.98] = random.choice([np.nan, np.inf, -np.inf])
    return rewards.astype(dtype)


def ends_of(random, shape, ended, autoreset, lawful):
    """lawful: as environments tell of them, which end none while they only reset themselves."""
    done = random.random(shape) < random.choice(CHANCES)
    if lawful and autoreset == "next_step":
        for row in done:
            row &= ~ended
            ended = row
    return done, done[-1]


class Advance(unittest.TestCase):
    @params(*itertools.product(("next_step", "same_step"), DTYPES, (True, False), (1, 2, 7)))
    def test_is_as_many_steps(self, autoreset, dtype, lawful, num_envs):
        """Windows of any length, with steps, resets and failures in between."""
        random = np.random.default_rng(num_envs)
        for _ in range(12):
            one = VectorProgress(num_envs, autoreset, native=False)
            other = VectorProgress(num_envs, autoreset, native=False)
            ended = np.zeros(num_envs, bool)
            for _ in range(25):
                what = random.choice(["advance", "advance", "advance", "step", "begin", "mask"])
                if not one.was_reset:
                    what = "begin"
                if what in ("begin", "mask"):
                    mask = random.random(num_envs) < 0.5
                    mask[random.integers(num_envs)] = True
                    options = {"reset_mask": mask} if what == "mask" else None
                    begun = [progress.begin(options) for progress in (one, other)]
                    self.assertEqual(*map(list, begun))
                    ended = ended & ~mask if what == "mask" else np.zeros(num_envs, bool)
                else:
                    shape = (1 if what == "step" else random.integers(1, 12), num_envs)
                    rewards = rewards_of(random, shape, dtype)
                    done, ended = ends_of(random, shape, ended, autoreset, lawful)
                    for reward, end in zip(rewards, done, strict=True):
                        one.step(reward, end)
                    if what == "step":
                        other.step(rewards[0], done[0])
                    else:
                        self.advanced(other, rewards, done)
                    if random.random() < 0.05:
                        one.stop("failed"), other.stop("failed")
                self.assertEqual(counted(other), counted(one))

    def advanced(self, progress, rewards, done):
        """And what it was told is left alone."""
        before = rewards.tobytes(), done.tobytes()
        progress.advance(rewards, done)
        self.assertEqual((rewards.tobytes(), done.tobytes()), before)

    @params("next_step", "same_step")
    def test_at_once_or_in_parts(self, autoreset):
        random = np.random.default_rng(1)
        whole = VectorProgress(3, autoreset, native=True)
        whole.begin(None)
        parts = copy.deepcopy(whole)
        rewards = rewards_of(random, (400, 3), np.float32)
        done = random.random((400, 3)) < 0.03
        whole.advance(rewards, done)
        for begin in range(0, 400, 16):
            parts.advance(rewards[begin : begin + 16], done[begin : begin + 16])
        self.assertEqual(counted(parts), counted(whole))
        self.assertGreater(whole.episodes, 10)

    def test_by_hand(self):
        """ "next_step": the row that follows an end is no step, whatever it says."""
        progress = VectorProgress(2, "next_step", native=False)
        progress.begin(None)
        done = np.array([[0, 0], [1, 0], [0, 0], [0, 1], [0, 0]], bool)
        progress.advance(np.array([[1.0, 10], [2, 20], [99, 30], [4, 40], [5, 99]]), done)
        self.assertEqual((progress.steps, progress.episodes), (8, 2))
        self.assertEqual((progress.last_length, progress.last_return), (4, 100.0))
        self.assertIs(type(progress.last_length), int)
        self.assertIs(type(progress.last_return), float)
        progress.advance(np.array([[6.0, 1]]), np.array([[True, True]]))
        self.assertEqual((progress.steps, progress.episodes), (10, 4))
        self.assertEqual((progress.last_length, progress.last_return), (1, 1.0))

    def test_the_last_one_to_end_is_that_of_the_highest_number(self):
        progress = VectorProgress(3, "same_step", native=False)
        progress.begin(None)
        done = np.array([[1, 1, 0], [1, 1, 0]], bool)
        progress.advance(np.array([[1.0, 2, 3], [4, 5, 6]], np.float32), done)
        self.assertEqual((progress.steps, progress.episodes), (6, 4))
        self.assertEqual((progress.last_length, progress.last_return), (1, 5.0))
