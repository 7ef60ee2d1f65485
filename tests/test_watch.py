"""Which connections end, tick for tick, by what the kernel would tell of them."""

import unittest

from gym_http.web.connections import (
    CROWDED,
    IDLE,
    SLOW_REPLY,
    SLOW_REQUEST,
    TAKEN_UP_TICKS,
    Watch,
)
from gym_http.web.sockets import Line


def line(number=1, received=0, sent=0, *, address="10.0.0.1", asks=False, waiting=0, taken=0):
    return Line(number, number, address, 1000 + number, received, sent, taken, waiting, asks)


class Ticks:
    """A watch over three connections at most, with five ticks for a request and sixty for idle
    ones: what it ends, tick for tick."""

    def __init__(self):
        self.watch = Watch(3, 5, 60)
        self.now = 0

    def __call__(self, *found, work=(), reading=None):
        self.now += 1
        ended = self.watch.ended_by(self.now, work, reading or {}, found)
        return [(each.inode, why) for each, why in ended]

    def ends_after(self, *found, most=100, **more):
        """(how many ticks, what ended then)."""
        for count in range(most):
            if ended := self(*found, **more):
                return count, ended
        return most, []


class Policy(unittest.TestCase):
    def setUp(self):
        self.tick = Ticks()

    def test_what_has_not_been_answered(self):
        self.assertEqual(self.tick.ends_after(line(1, 50, asks=True)), (5, [(1, SLOW_REQUEST)]))

    def test_work_shields_the_connections_of_its_address(self):
        one, other = line(1, 50, asks=True), line(2, 50, asks=True, address="10.0.0.2")
        mapped = line(3, 50, asks=True, address="::ffff:10.0.0.1")
        work = [("10.0.0.1", 0)]
        self.assertEqual(
            self.tick.ends_after(one, other, mapped, work=work), (5, [(2, SLOW_REQUEST)])
        )
        self.assertEqual(self.tick.ends_after(one, mapped, work=work), (100, []))
        self.assertEqual(
            self.tick.ends_after(one, mapped), (5, [(1, SLOW_REQUEST), (3, SLOW_REQUEST)])
        )

    def test_work_that_began_later_shields_nobody(self):
        one = line(1, 50, asks=True)
        self.tick(one)
        work = [("10.0.0.1", 1 + TAKEN_UP_TICKS + 1)]
        self.assertEqual(self.tick.ends_after(one, work=work), (4, [(1, SLOW_REQUEST)]))
        self.tick = Ticks()
        self.tick(one)
        work = [("10.0.0.1", 1 + TAKEN_UP_TICKS)]
        self.assertEqual(self.tick.ends_after(one, work=work), (100, []))

    def test_what_comes_in_the_middle_of_work_is_no_news_of_it(self):
        work = [("10.0.0.1", 0)]
        self.tick(line(1, 50, asks=True), work=work)
        for _ in range(20):
            self.tick(line(1, 50, asks=True), work=work)
        self.assertEqual(self.tick.ends_after(line(1, 90, asks=True), work=work), (100, []))

    def test_16_kib_buy_a_tick(self):
        for count in range(40):
            self.assertEqual(self.tick(line(1, 50 + count * 16_384, asks=True)), [])
        self.assertEqual(
            self.tick.ends_after(line(1, 50 + 39 * 16_384, asks=True)), (4, [(1, SLOW_REQUEST)])
        )

    def test_a_busy_connection_never_ends(self):
        """One that is seen in the middle of a request each time, and with its reply on its way."""
        for count in range(200):
            found = line(1, 90 * count, 200 * count, asks=True, waiting=1, taken=200 * count)
            self.assertEqual(self.tick(found), [])

    def test_100_continue_is_no_answer(self):
        self.tick(line(1, 50, asks=True))
        self.assertEqual(self.tick.ends_after(line(1, 50, 25)), (4, [(1, SLOW_REQUEST)]))

    def test_a_reply_that_is_not_taken(self):
        left = line(1, 50, 90_000, waiting=60_000, taken=30_000)
        self.assertEqual(self.tick.ends_after(left), (6, [(1, SLOW_REPLY)]))
        self.tick = Ticks()
        for count in range(40):
            self.assertEqual(self.tick(line(1, 50, 10**6, waiting=1, taken=count * 16_384)), [])

    def test_an_idle_one(self):
        self.assertEqual(self.tick.ends_after(line(1, 50, 90)), (61, [(1, IDLE)]))
        work = [("10.0.0.1", 0)]
        self.tick = Ticks()
        self.assertEqual(self.tick.ends_after(line(1, 50, 90), work=work), (100, []))

    def test_one_that_only_looks_idle(self):
        """A thread waits for a body of that address, and none else is there that could be it."""
        reading = {7: {"REMOTE_ADDR": "10.0.0.1"}}
        idle = line(1, 50, 90)
        other = line(2, 50, 90, address="10.0.0.2")
        self.assertEqual(
            self.tick.ends_after(idle, other, reading=reading), (7, [(1, SLOW_REQUEST)])
        )
        self.tick = Ticks()
        coming = [line(3, 50 + count * 16_384, asks=True) for count in range(30)]
        for found in coming:  # this is the one
            self.assertEqual(self.tick(idle, found, reading=reading), [])
        self.tick = Ticks()
        for _ in range(40):  # another request each time
            reading = {7: {"REMOTE_ADDR": "10.0.0.1"}}
            self.assertEqual(self.tick(idle, reading=reading), [])

    def test_of_too_many_those_of_who_has_most(self):
        found = [line(n, 50, 90, address="10.0.0.2" if n == 1 else "10.0.0.1") for n in (1, 2, 3)]
        self.tick(*found[:2])
        self.tick(*found)
        self.tick(*found, line(4, 50, 90))
        self.assertEqual(self.tick(*found, line(4, 50, 90)), [(2, CROWDED)])
        work = [("10.0.0.1", 1)]  # perhaps of 2 or 3
        self.assertEqual(self.tick(*found, line(4, 50, 90), work=work), [(4, CROWDED)])

    def test_of_too_many_none_of_who_has_few(self):
        """Though the others' are all in use: one more of theirs would take its place."""
        self.tick.watch = Watch(10, 5, 60)
        for count in range(1, 50):
            busy = [line(n, 50 * count, 90 * count) for n in range(9)]
            idle = [line(10 + n, 50, 90, address="10.0.0.2") for n in range(2)]
            self.assertEqual(self.tick(*busy, *idle), [])

    def test_when_the_server_ends_much_that_came_buys_nothing(self):
        self.tick(line(1, 10**7, asks=True))
        self.tick.watch.hurry()
        self.assertEqual(
            self.tick.ends_after(line(1, 2 * 10**7, asks=True)), (1, [(1, SLOW_REQUEST)])
        )

    def test_of_too_many_first_who_never_said_anything_last_who_stopped_in_the_middle(self):
        found = [line(1, 50, asks=True), line(2, 50, 90), line(3), line(4), line(5, 50, 90)]
        ended = [self.tick(*found) for _ in range(3)]
        self.assertEqual(ended, [[], [], [(4, CROWDED), (3, CROWDED)]])
        self.tick = Ticks()
        self.tick.watch = Watch(0, 50, 60)
        self.assertEqual(self.tick.ends_after(line(1, 50, asks=True)), (11, [(1, CROWDED)]))

    def test_of_too_many_none_in_steady_use(self):
        for count in range(1, 50):
            found = [line(n, 50 * count, 90 * count) for n in range(9)]
            self.assertEqual(self.tick(*found), [])

    def test_a_number_that_is_another_connections_now(self):
        for _ in range(5):
            self.tick(line(1, 50, asks=True))
        another = line(1, 50, asks=True)._replace(port=7)
        self.assertEqual(self.tick.ends_after(another), (5, [(1, SLOW_REQUEST)]))
