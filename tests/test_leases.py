"""Instances that nobody calls: when they end, what they leave, and what stays of them."""

import gc
import sys
import tempfile
import threading
import time
import unittest
import weakref
from pathlib import Path

from nose2.tools import params

from gym_http.ending import CLOSERS
from gym_http.environments import Recipe
from gym_http.errors import BackendLost, BadValue, Evicted, UnknownInstance
from gym_http.gone import REMEMBERED_S
from gym_http.service import Service
from gym_http.settings import Settings
from gym_http.tape import Plan
from gym_http.terms import Terms
from tests.limits_envs import CloseHangs, told
from tests.support import eventually

LEASE_S = 100.0


def reapers():
    return [thread for thread in threading.enumerate() if thread.name == "reaper"]


class Case(unittest.TestCase):
    """A service with clocks that stand still until they are told."""

    idle_timeout_s = 0.0

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        self.told = self.scratch / "told"
        self.now, self.wall = 5000.0, 1e9
        self.service = Service(
            Settings(idle_timeout_s=self.idle_timeout_s, shutdown_timeout_s=1),
            clock=lambda: self.wall,
            monotonic=lambda: self.now,
        )
        self.addCleanup(self.service.close_all)
        CloseHangs.let_go.clear()
        self.addCleanup(CloseHangs.let_go.set)

    def create(self, env_id="CustomOdd-v0", lease_s=LEASE_S, **kwargs):
        terms = Terms(lease_s=lease_s)
        return self.service.create(Recipe(env_id, kwargs=kwargs), terms=terms).instance_id

    def later(self, seconds):
        """Time passes, and who is idle for too long is ended."""
        self.now += seconds
        return self.service.reaper.sweep()

    def alive(self):
        return set(self.service.instances())


class Leases(Case):
    def test_ends_when_its_time_is_up_and_not_before(self):
        one, forever = self.create(), self.create(lease_s=None)
        self.assertAlmostEqual(self.later(LEASE_S - 0.001), 0.001)
        self.assertEqual(self.alive(), {one, forever})
        self.assertEqual(self.later(0.001), float("inf"))
        self.assertEqual(self.alive(), {forever})

    @params(
        lambda service, one, path: service.reset(one),
        lambda service, one, path: service.step(one, 0),
        lambda service, one, path: service.rollout(one, Plan(None, 2, "stop", None)),
        lambda service, one, path: service.render(one),
        lambda service, one, path: service.action_space(one),
        lambda service, one, path: service.observation_space(one),
        lambda service, one, path: service.sample(one),
        lambda service, one, path: service.action_contains(one, 0),
        lambda service, one, path: service.observation_contains(one, 0),
        lambda service, one, path: service.monitor_start(one, path / "recording"),
        lambda service, one, path: service.monitor_close(one),
        lambda service, one, path: service.describe(one),
    )
    def test_every_call_renews(self, call):
        one, _ = self.create("FrozenLake-v1"), self.create()
        self.service.reset(one)
        self.later(LEASE_S - 1)
        call(self.service, one, self.scratch)
        self.later(LEASE_S - 1)
        self.assertEqual(self.alive(), {one})
        self.later(1)
        self.assertEqual(self.alive(), set())

    def test_so_does_one_that_fails(self):
        one = self.create()
        self.later(LEASE_S - 1)
        with self.assertRaises(BadValue):
            self.service.reset(one, seed=[1])
        self.later(LEASE_S - 1)
        self.assertEqual(self.alive(), {one})

    def test_looking_at_all_does_not(self):
        self.create()
        self.now += LEASE_S - 1
        self.service.instances()
        self.service.health()
        self.later(1)
        self.assertEqual(self.alive(), set())

    def test_looking_renews_and_is_no_use(self):
        one = self.create()
        self.wall += 60
        self.assertEqual(self.service.describe(one)["last_used"], 1e9)

    @params(10**9, -(10**9))
    def test_the_wall_clock_does_not_matter(self, jump):
        one = self.create()
        self.wall += jump
        self.later(LEASE_S - 1)
        self.assertEqual(self.alive(), {one})
        self.later(1)
        self.wall -= 2 * jump
        with self.assertRaises(Evicted):
            self.service.reset(one)

    def test_a_call_is_never_interrupted_and_its_end_renews(self):
        one = self.create()
        begun, go_on = threading.Event(), threading.Event()

        def call():
            with self.service._registry.lease(one):
                begun.set()
                go_on.wait()

        thread = threading.Thread(target=call)
        thread.start()
        begun.wait()
        self.assertEqual(self.later(3 * LEASE_S), LEASE_S)  # when it can end at the earliest
        go_on.set()
        thread.join()
        self.later(LEASE_S - 1)
        self.assertEqual(self.alive(), {one})
        self.later(1)
        self.assertEqual(self.alive(), set())

    def test_a_call_that_waits_is_one(self):
        one = self.create()
        instance = self.service._registry.find(one)
        instance.waiting += 1
        self.assertEqual(self.later(LEASE_S), LEASE_S)
        instance.waiting -= 1
        self.later(0)
        self.assertEqual(self.alive(), set())

    def test_who_looks_between_the_verdict_and_the_end(self):
        """It has been answered: the instance lives."""
        one = self.create()
        self.now += LEASE_S
        instance = self.service._registry.find(one)
        self.service.describe(one)
        self.assertFalse(self.service._registry.evict(instance))
        self.assertEqual(self.alive(), {one})


class IdleTimeout(Case):
    idle_timeout_s = 50.0

    def test_a_lease_comes_first(self):
        usual = self.create(lease_s=None)
        longer, forever = self.create(lease_s=100), self.create(lease_s=0)
        self.later(50)
        self.assertEqual(self.alive(), {longer, forever})
        self.later(50)
        self.assertEqual(self.alive(), {forever})
        for one, rule in ((usual, "50 s (--idle-timeout)"), (longer, "100 s (its lease_s)")):
            with self.assertRaises(Evicted) as caught:
                self.service.reset(one)
            self.assertIn(rule, caught.exception.detail)
        self.later(1e9)
        self.assertEqual(self.alive(), {forever})


class Afterwards(Case):
    def test_it_says_so_for_an_hour(self):
        one = self.create()
        self.service.reset(one)
        self.service.step(one, 0)
        self.wall += 7
        self.later(LEASE_S)
        for call in (self.service.reset, self.service.sample, self.service.monitor_close):
            with self.assertRaises(Evicted) as caught:
                call(one)
            self.assertEqual(caught.exception.message, f"Instance_id {one} unknown")
            self.assertRegex(caught.exception.detail, r"100 s \(its lease_s\); create a new one")
        facts = self.service.describe(one)
        error, when = facts["last_error"]
        self.assertEqual((error.code, when, facts["steps"]), ("evicted", 1e9 + 7, 1))
        self.now += REMEMBERED_S - 1
        with self.assertRaises(Evicted):
            self.service.step(one, 0)
        self.now += 2
        with self.assertRaises(UnknownInstance) as caught:
            self.service.step(one, 0)
        self.assertEqual(caught.exception.code, "unknown_instance")

    def test_close_makes_it_forgotten(self):
        one = self.create()
        self.later(LEASE_S)
        self.service.close(one)
        with self.assertRaises(UnknownInstance) as caught:
            self.service.close(one)
        self.assertEqual(caught.exception.code, "unknown_instance")

    def test_its_recording_and_its_environment_are_closed(self):
        one = self.create("CustomTells-v0", path=str(self.told), length=1)
        directory = self.scratch / "recording"
        self.service.monitor_start(one, directory)
        self.service.reset(one)
        self.service.step(one, 0)
        self.later(LEASE_S)
        eventually(lambda: told(self.told) == ["closed"])
        self.assertEqual(len(list(directory.glob("*.manifest.json"))), 1)
        self.assertEqual(list(directory.glob("*.journal.jsonl")), [])
        self.assertIsNone(self.service.describe(one)["monitor"])

    def held(self, one):
        """Weak references to what it has that is large."""
        instance = self.service._registry.find(one)
        return [
            weakref.ref(part) for part in (instance.env.unwrapped, instance.env, instance.recorder)
        ]

    def assert_garbage(self, references):
        def collected():
            gc.collect()
            return not any(reference() for reference in references)

        eventually(collected)

    @params("CustomOdd-v0", "LimitsCloseRaises-v0", "MountainCar-v0")
    def test_what_is_remembered_holds_no_environment(self, env_id):
        one = self.create(env_id)
        self.service.monitor_start(one, self.scratch / "recording")
        self.service.reset(one)
        references = self.held(one)
        self.later(LEASE_S)
        self.assert_garbage(references)
        with self.assertRaises(Evicted):
            self.service.step(one, 0)

    def test_nor_does_an_error_that_was_raised_under_a_lease(self):
        one = self.create()
        self.service.monitor_start(one, self.scratch / "recording")
        references = self.held(one)
        registry = self.service._registry

        def lose():
            with registry.lease(one) as instance:
                try:
                    raise BackendLost("gone")
                except BackendLost as error:
                    registry.retire(instance, error)
                instance.recorder.close()
                instance.env.close()

        lose()
        self.assert_garbage(references)
        with self.assertRaises(BackendLost):
            self.service.step(one, 0)

    def test_nor_the_arrays_of_a_vector_environment(self):
        recipe = Recipe("CartPole-v1", num_envs=3, vectorization="native")
        one = self.service.create(recipe, terms=Terms(lease_s=1)).instance_id
        self.service.reset(one)
        self.service.rollout(one, Plan(None, 100, "reset", []))
        before = self.service.describe(one)
        self.later(1)
        after = self.service.describe(one)
        del before["last_error"], after["last_error"]
        self.assertEqual(after, before)
        self.assertGreater(after["episodes"], 0)
        kept = self.service._registry.peek(one).progress
        self.assertEqual(type(kept).__name__, "Progress")


class Closing(Case):
    @params("LimitsCloseRaises-v0", "LimitsCloseHangs-v0")
    def test_one_that_does_not_close_keeps_nobody(self, env_id):
        bad = self.create(env_id)
        good = [self.create("CustomTells-v0", path=str(self.told)) for _ in range(3)]
        self.later(LEASE_S)
        self.assertEqual(self.alive(), set())
        eventually(lambda: told(self.told) == ["closed"] * 3)
        late = self.create("CustomTells-v0", path=str(self.told))
        self.later(LEASE_S)
        eventually(lambda: told(self.told) == ["closed"] * 4)
        for one in (bad, *good, late):
            with self.assertRaises(Evicted):
                self.service.reset(one)

    def test_many_that_hang(self):
        for _ in range(CLOSERS + 1):  # the last one has to wait for its turn
            self.create("LimitsCloseHangs-v0")
        self.create("CustomTells-v0", path=str(self.told))
        self.later(LEASE_S)
        self.assertEqual(self.alive(), set())
        eventually(lambda: told(self.told) == ["closed"])


class TheThread(unittest.TestCase):
    """With real time."""

    def setUp(self):
        others = reapers()  # of services that a test has left behind
        self.reapers = lambda: [thread for thread in reapers() if thread not in others]
        self.ticks = 0
        self.service = Service(Settings(shutdown_timeout_s=1), monotonic=self.monotonic)
        self.addCleanup(self.service.close_all)

    def monotonic(self):
        self.ticks += 1
        return time.monotonic()

    def create(self, lease_s, env_id="CustomOdd-v0"):
        return self.service.create(Recipe(env_id), terms=Terms(lease_s=lease_s)).instance_id

    def test_there_is_none_where_nothing_can_end(self):
        self.create(None)
        self.create(0)
        self.assertEqual(self.reapers(), [])

    def test_a_shorter_lease_wakes_it_and_it_sleeps_in_between(self):
        long = self.create(1e6)
        (reaper,) = self.reapers()
        eventually(lambda: sys._current_frames()[reaper.ident].f_code.co_name == "wait")
        short = self.create(0.3)
        before = self.ticks
        eventually(lambda: set(self.service.instances()) == {long})
        with self.assertRaises(Evicted):
            self.service.reset(short)
        self.assertLess(self.ticks - before, 25)

    def test_one_that_is_called_stays(self):
        one, other = self.create(0.5), self.create(0.5)

        def call_until_the_other_is_gone():
            self.service.sample(one)
            return other not in self.service.instances()

        eventually(call_until_the_other_is_gone)
        self.assertIn(one, self.service.instances())

    def test_a_lease_that_is_over_at_once(self):
        one = self.create(5e-324)
        eventually(lambda: one not in self.service.instances())

    def test_it_ends_with_the_service_and_waits_for_what_it_closes(self):
        begun, ended = threading.Event(), threading.Event()
        one = self.create(1000)
        instance = self.service._registry.find(one)

        def slowly():
            begun.set()
            ended.wait(0.2)
            ended.set()

        instance.env.close = slowly
        with instance.lock:
            instance.renewed -= 1000
        self.create(0.01)
        begun.wait(10)
        self.service.close_all()
        self.assertTrue(ended.is_set())
        self.assertEqual(self.reapers(), [])
        self.create(0.01)  # a service can be used again
        eventually(lambda: self.service.instances() == {})
        self.service.close_all()
        self.assertEqual(self.reapers(), [])

    def test_an_error_of_its_own_does_not_end_it(self):
        registry = self.service._registry
        evict, failures = registry.evict, [ZeroDivisionError("a defect")]

        def defective(instance):
            if failures:
                raise failures.pop()
            return evict(instance)

        registry.evict = defective
        self.create(0.01)
        with self.assertLogs("gym_http.reaper", "ERROR"):
            eventually(lambda: not failures)
            eventually(lambda: self.service.instances() == {})
