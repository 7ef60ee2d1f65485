"""What draws with OpenGL is called on one thread, whichever asks."""

import importlib.util
import io
import sys
import threading
import unittest
from ctypes.util import find_library

import numpy as np
from PIL import Image

from gym_http.backends.one_thread import OneThread, draws_with_opengl
from tests.custom_envs import Odd, Raises
from tests.support import ServerCase, at_once, create, eventually, get, post


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


def on_its_thread(build, limit_s=None):
    thread = OneThread("CustomOdd-v0")
    thread.make(lambda: (build(), None), None)
    return thread.hold(limit_s)


class Calls(unittest.TestCase):
    def test_come_from_one_thread(self):
        env = on_its_thread(Telling)
        inner = env.env
        for call in (env.reset, lambda: env.step(0), lambda: env.step(0), env.close):
            at_once(call)
        self.assertEqual(len(inner.threads), 1)
        self.assertNotIn(threading.get_ident(), inner.threads)
        self.assertIs(env.action_space, inner.action_space)

    def test_failures_reach_the_caller(self):
        env = on_its_thread(Raises)
        env.reset()
        with self.assertRaises(ZeroDivisionError):
            env.step(1)
        self.assertEqual(env.step(0)[0], 1)
        env.close()

    def test_the_thread_ends_with_the_environment(self):
        before = set(threading.enumerate())
        env = on_its_thread(Odd)
        (its_own,) = set(threading.enumerate()) - before
        env.close()
        eventually(lambda: not its_own.is_alive())


@unittest.skipUnless(importlib.util.find_spec("mujoco"), "mujoco is not installed")
class Mujoco(ServerCase):
    """On a server: in this process its OpenGL libraries don't get along with PyTorch's."""

    @unittest.skipIf(
        sys.platform == "linux" and not (find_library("EGL") or find_library("OSMesa")),
        "libEGL is not installed",
    )
    def test_frames_are_no_black_ones_on_any_thread(self):
        for num_envs in (None, 2):
            env = create(self.server, "HalfCheetah-v5", num_envs=num_envs)
            post(self.server, env + "/reset/", {"seed": 1})
            for _ in range(4):
                status, _, picture = get(self.server, env + "/render/")
                self.assertEqual(status, 200, picture)
                self.assertGreater(np.mean(Image.open(io.BytesIO(picture))), 50)

    def test_others_stay_on_the_callers(self):
        self.assertFalse(draws_with_opengl(Odd()))
