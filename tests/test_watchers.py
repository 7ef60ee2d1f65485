"""Who may only watch: what they see, and that they change nothing by it."""

import threading
import unittest

from nose2.tools import params

from gym_http.environments import Recipe
from gym_http.errors import Busy, Evicted
from gym_http.reaper import AGAIN_S
from gym_http.registry import MOST_WATCHING
from gym_http.service import Service
from gym_http.settings import Settings
from gym_http.terms import Terms
from gym_http.watching import watching
from tests.guarded import Guarded
from tests.support import eventually


class Watchers(Guarded):
    def test_see_everything(self):
        env = self.create("FrozenLake-v1", render_mode="ansi")
        self.ask("its user", "POST", f"{env}/reset/", {})
        self.assertIn(env[-8:], self.ask("a watcher", "GET", "/v1/envs/")[2]["all_envs"])
        self.assertEqual(self.ask("a watcher", "GET", env)[2]["env_id"], "FrozenLake-v1")
        self.assertIn(b"S", self.ask("a watcher", "GET", f"{env}/render/")[2])
        self.assertIn("entries", self.ask("a watcher", "GET", "/v1/scoreboard/")[2])

    def test_leave_no_trace(self):
        env = self.create("AccessCurious-v0")
        self.ask("its user", "POST", f"{env}/reset/", {})
        before = self.ask("its user", "GET", env)[2]
        self.assertEqual(self.ask("a watcher", "GET", f"{env}/render/")[0], 400)
        self.ask("a watcher", "GET", f"{env}/observation_space/")
        self.assertEqual(self.ask("its user", "GET", env)[2], before)
        self.assertEqual(self.ask("its user", "GET", f"{env}/render/")[0], 400)
        self.assertEqual(
            self.ask("its user", "GET", env)[2]["last_error"]["code"], "not_renderable"
        )

    def test_keep_nothing_alive(self):
        env = self.create("FrozenLake-v1", render_mode="ansi", lease_s=0.5)
        self.ask("its user", "POST", f"{env}/reset/", {})
        seen = set()

        def is_over():
            for path in (env, f"{env}/render/"):
                _, _, reply = self.ask("a watcher", "GET", path)
                code = reply.get("code", "") if isinstance(reply, dict) else ""
                seen.add(code)
            return code == "evicted"

        eventually(is_over)
        self.assertLessEqual(seen, {"", "busy", "evicted"})


class Leases(unittest.TestCase):
    """With clocks that stand still until they are told."""

    lease_s = 100.0

    def setUp(self):
        self.now, self.wall = 5000.0, 1e9
        self.service = Service(
            Settings(shutdown_timeout_s=1), clock=lambda: self.wall, monotonic=lambda: self.now
        )
        self.addCleanup(self.service.close_all)
        terms = Terms(lease_s=self.lease_s)
        self.one = self.service.create(Recipe("FrozenLake-v1"), terms=terms).instance_id
        self.service.reset(self.one)

    def later(self, seconds):
        self.now, self.wall = self.now + seconds, self.wall + seconds
        return self.service.reaper.sweep()

    @params("describe", "render", "action_space", "observation_space")
    def test_are_not_renewed(self, verb):
        self.later(self.lease_s - 1)
        with watching():
            getattr(self.service, verb)(self.one)
        self.assertEqual(self.service._registry.find(self.one).last_used, 1e9)
        self.later(1)
        self.assertEqual(self.service.instances(), {})

    def test_nor_is_one_that_is_watched_in_this_moment(self):
        with watching(), self.service.lease(self.one):
            self.now += self.lease_s
            looked = threading.Thread(target=lambda: self.left.append(self.later(0)))
            self.left = []
            looked.start()
            looked.join()
            self.assertEqual(self.left, [AGAIN_S])
        with watching(), self.assertRaisesRegex(Busy, "about to end"):
            self.service.render(self.one)
        self.later(0)
        with watching(), self.assertRaises(Evicted):
            self.service.render(self.one)

    def test_a_call_afterwards_renews(self):
        self.later(self.lease_s - 1)
        with watching():
            self.service.render(self.one)
        self.service.render(self.one)
        self.later(self.lease_s - 1)
        self.assertIn(self.one, self.service.instances())

    def test_watchers_who_wait_leave_room(self):
        instance = self.service._registry.find(self.one)
        seen, threads = [], []

        def watch():
            with watching():
                seen.append(self.service.action_space(self.one))

        def act():
            seen.append(self.service.step(self.one, 1))

        with self.service.lease(self.one):
            for job, waiting in [(watch, n + 1) for n in range(MOST_WATCHING)] + [
                (act, MOST_WATCHING + 1)
            ]:
                threads.append(threading.Thread(target=job))
                threads[-1].start()
                eventually(lambda count=waiting: instance.waiting == count)
            refused = []

            def one_more():
                try:
                    watch()
                except Busy as error:
                    refused.append(error)

            threads.append(threading.Thread(target=one_more))
            threads[-1].start()
            threads[-1].join()
            self.assertEqual(len(refused), 1)
        for thread in threads:
            thread.join()
        self.assertEqual(len(seen), MOST_WATCHING + 1)
