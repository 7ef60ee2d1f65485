"""What draws with OpenGL is called on one thread, whichever asks."""

import importlib.util
import sys
import threading
import unittest
from ctypes.util import find_library
from functools import partial

import numpy as np

from gym_http.backends.one_thread import OneThread, draws_with_opengl
from gym_http.environments import Recipe
from gym_http.service import Service
from tests.custom_envs import Odd, Raises
from tests.support import at_once, eventually


class Telling(Odd):
    """Remembers which threads it was called on."""

    def __init__(self):
        super().__init__()
        self.threads = set()

    def observe(self):
        self.threads.add(threading.get_ident())
        return super().observe()

    def close(self):
        self.threads.add(threading.get_ident())


class Calls(unittest.TestCase):
    def test_come_from_one_thread(self):
        inner = Telling()
        env = OneThread(inner)
        for call in (env.reset, lambda: env.step(0), lambda: env.step(0), env.close):
            at_once(call)
        self.assertEqual(len(inner.threads), 1)
        self.assertNotIn(threading.get_ident(), inner.threads)
        self.assertIs(env.action_space, inner.action_space)

    def test_failures_reach_the_caller(self):
        env = OneThread(Raises())
        env.reset()
        with self.assertRaises(ZeroDivisionError):
            env.step(1)
        self.assertEqual(env.step(0)[0], 1)
        env.close()

    def test_the_thread_ends_with_the_environment(self):
        before = set(threading.enumerate())
        env = OneThread(Odd())
        (its_own,) = set(threading.enumerate()) - before
        env.close()
        eventually(lambda: not its_own.is_alive())


@unittest.skipUnless(importlib.util.find_spec("mujoco"), "mujoco is not installed")
class Mujoco(unittest.TestCase):
    @unittest.skipIf(
        sys.platform == "linux" and not (find_library("EGL") or find_library("OSMesa")),
        "libEGL is not installed",
    )
    def test_frames_are_no_black_ones_on_any_thread(self):
        service = Service()
        self.addCleanup(service.close_all)
        for num_envs in (None, 2):
            one = service.create(Recipe("HalfCheetah-v5", num_envs=num_envs)).instance_id
            service.reset(one, seed=1)
            frames: list = []
            show = partial(self.show, service, one, frames)
            for _ in range(2):
                at_once(show)
            self.assertEqual(len(frames), 2 * (num_envs or 1))
            for frame in frames:
                self.assertGreater(np.mean(frame), 50)

    def show(self, service, instance_id, frames):
        frames += service.render(instance_id)

    def test_others_stay_on_the_callers(self):
        self.assertFalse(draws_with_opengl(Odd()))
