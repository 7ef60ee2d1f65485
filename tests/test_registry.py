"""Leases: one caller at a time, only on what lives. The ledger: what a crash took."""

import tempfile
import threading
import unittest
from pathlib import Path

import gymnasium

from gym_http.environments import Facts
from gym_http.errors import Busy, InstanceLost, UnknownInstance
from gym_http.instance import Instance
from gym_http.ledger import Ledger
from gym_http.registry import MOST_WAITING, Registry
from tests.support import eventually


def instance(env_id="CartPole-v1"):
    return Instance(
        requested_id=env_id,
        env=gymnasium.make(env_id),
        facts=Facts(env_id, "gymnasium", "1"),
        created=0,
        last_used=0,
    )


def elsewhere(registry, instance_id):
    """What a lease from another thread raises; None where it is granted."""
    caught = []

    def ask():
        try:
            with registry.lease(instance_id):
                caught.append(None)
        except Busy as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return caught[0]


class Leases(unittest.TestCase):
    def setUp(self):
        self.now = 100.0
        self.registry = Registry(lambda: self.now, busy_timeout_s=0.05)
        self.id = self.registry.add(instance())

    def test_stamps_its_use_and_looking_is_none(self):
        with self.registry.lease(self.id):
            self.now = 200.0
            self.assertEqual(self.registry.peek(self.id).last_used, 100.0)
        with self.registry.lease(self.id):
            self.assertEqual(self.registry.peek(self.id).last_used, 200.0)

    def test_one_at_a_time(self):
        with self.registry.lease(self.id):
            caught = elsewhere(self.registry, self.id)
            self.assertIsInstance(caught, Busy)
            self.assertTrue(caught.retryable)
        with self.registry.lease(self.id):
            pass

    def test_the_next_one_waits(self):
        registry = Registry(lambda: 0.0, busy_timeout_s=30)
        one = registry.add(instance())
        order = []
        held = threading.Event()

        def second():
            held.wait()
            with registry.lease(one):
                order.append("second")

        thread = threading.Thread(target=second)
        with registry.lease(one):
            thread.start()
            held.set()
            order.append("first")
        thread.join()
        self.assertEqual(order, ["first", "second"])

    def test_who_waited_for_a_closed_one_is_told(self):
        registry = Registry(lambda: 0.0, busy_timeout_s=30)
        one = registry.add(instance())
        outcome = []

        def second():
            try:
                with registry.lease(one):
                    outcome.append("leased")
            except UnknownInstance as error:
                outcome.append(error.code)

        thread = threading.Thread(target=second)
        with registry.lease(one) as leased:
            thread.start()
            registry.remove(leased)
        thread.join()
        self.assertEqual(outcome, ["unknown_instance"])

    def test_only_so_many_wait(self):
        registry = Registry(lambda: 0.0, busy_timeout_s=30)
        one = registry.add(instance())
        served = []

        def wait():
            with registry.lease(one):
                served.append(1)

        threads = [threading.Thread(target=wait) for _ in range(MOST_WAITING)]
        with registry.lease(one) as leased:
            for thread in threads:
                thread.start()
            eventually(lambda: leased.waiting == MOST_WAITING)
            self.assertRegex(str(elsewhere(registry, one)), "wait for it already")
        for thread in threads:
            thread.join()
        self.assertEqual(len(served), MOST_WAITING)

    def test_neighbours_do_not_wait(self):
        other = self.registry.add(instance())
        with self.registry.lease(self.id), self.registry.lease(other):
            pass

    def test_a_failure_frees_the_lease(self):
        with self.assertRaises(RuntimeError), self.registry.lease(self.id):
            raise RuntimeError
        with self.registry.lease(self.id):
            pass

    def test_ids(self):
        ids = {self.registry.add(instance()) for _ in range(50)}
        self.assertEqual(len(ids), 50)
        for one in ids:
            self.assertRegex(one, "^[0-9a-f]{8}$")

    def test_unknown(self):
        with self.assertRaises(UnknownInstance) as caught, self.registry.lease("bad_id"):
            pass
        self.assertEqual(caught.exception.message, "Instance_id bad_id unknown")


class Crashes(unittest.TestCase):
    def test_the_next_worker_knows_what_was_lost(self):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "ledger"
            first = Ledger(path)
            first.opened("aaaaaaaa")
            first.opened("bbbbbbbb")
            first.closed("bbbbbbbb")
            self.assertFalse(first.lost("aaaaaaaa"))

            registry = Registry(lambda: 0.0, 1, Ledger(path))
            with self.assertRaises(InstanceLost) as caught, registry.lease("aaaaaaaa"):
                pass
            self.assertEqual(caught.exception.message, "Instance_id aaaaaaaa unknown")
            self.assertIn("crash", caught.exception.detail)
            with self.assertRaises(UnknownInstance) as caught, registry.lease("bbbbbbbb"):
                pass
            self.assertEqual(caught.exception.code, "unknown_instance")
