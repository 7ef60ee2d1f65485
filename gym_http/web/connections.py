"""An end to connections that hold a place and don't use it.

Nothing in the libraries bounds how long a request may take to arrive, or a reply to be taken. So
once in a second the kernel is asked what it knows of each connection (`sockets`). That doesn't say
whether a request is complete: one that is being worked on for minutes looks like one that is stuck.
What can't be told apart is left alone: see `Watch`.

Time is counted in ticks, those that were made: where environments hold the interpreter for a
minute, nobody is held to have waited in it.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gym_http.settings import Settings
from gym_http.web.sockets import Line, Lines, are_told
from gym_http.web.work import Work

log = logging.getLogger(__name__)

TICK_S = 1.0
BYTES_A_TICK = 16 * 1024
TAKEN_UP_TICKS = 10  # within which a request that has come is being worked on
ENDING_TICKS = 2  # that a request may be late when the server ends
IDLE_TICKS = 2  # after which a connection isn't one of those in steady use
LEAST_REPLY_BYTES = 64  # less is "100 Continue", say
SLOW_REQUEST, SLOW_REPLY, IDLE, CROWDED = "slow_request", "slow_reply", "idle", "crowded"
REASONS = (SLOW_REQUEST, SLOW_REPLY, IDLE, CROWDED)
LINES_A_TICK = 5


@dataclass(slots=True)
class Seen:
    """What has been seen of a connection.

    since: the tick in which anything last came or went. shielded: whether it may be that of a
    request in work. asking: whether its peer sent something that wasn't replied to, or nothing
    yet. Each for how many ticks: exposed, asking and not shielded; quiet, not shielded and without
    news; untaken, with a reply that its peer leaves where it is.
    """

    line: Line
    since: int
    asking: bool
    received_before: int = 0
    taken_before: int = 0
    exposed: int = 0
    quiet: int = 0
    untaken: int = 0
    shielded: bool = False


class Watch:
    """Which connections have to end. Touches none.

    A connection may be that of a request in work if both have the same address, and the request was
    begun in the ticks after something was last heard on the connection. It is then left alone
    until the request is answered, whatever it looks like.

    One looks idle if its last news went out. It isn't if what came just before was the beginning of
    a request: then a thread waits for the rest, and for longer than it may, though no connection
    of that address looks as if it were the one.
    """

    def __init__(self, most: int, timeout_ticks: float, idle_ticks: float) -> None:
        self._most = most
        self._timeout_ticks = timeout_ticks
        self._ends = False
        self._idle_ticks = idle_ticks
        self._seen: dict[int, Seen] = {}
        self._reading: dict[int, tuple[dict[str, Any], int]] = {}

    def hurry(self) -> None:
        """The server ends: what has not come by now will not be answered, however much it is."""
        self._ends = True
        self._timeout_ticks = min(self._timeout_ticks, ENDING_TICKS)

    def ended_by(
        self,
        tick: int,
        work: Iterable[tuple[str, int]],
        reading: Mapping[int, dict[str, Any]],
        found: Iterable[Line],
    ) -> list[tuple[Line, str]]:
        """(connection, reason) of those to end.

        work: (address, since which tick) of each request in work, from before `found`, which has
        all connections. reading: by thread, the WSGI environ of each whose body is waited for.
        """
        begun = defaultdict(set)
        for address, since in work:
            begun[_canonical(address)].add(since)
        before, self._seen = self._seen, {}
        for line in found:
            seen = _followed(before.get(line.inode), line, tick)
            seen.shielded = any(
                seen.since - 1 <= since <= seen.since + TAKEN_UP_TICKS
                for since in begun.get(_canonical(line.address), ())
            )
            seen.exposed = seen.exposed + 1 if seen.asking and not seen.shielded else 0
            seen.quiet = seen.quiet + 1 if seen.since < tick and not seen.shielded else 0
            self._seen[line.inode] = seen
        ended = [(seen.line, why) for seen in self._seen.values() if (why := self._overdue(seen))]
        ended += [(line, SLOW_REQUEST) for line in self._disguised(tick, reading)]
        surplus = len(self._seen) - len(ended) - self._most
        if surplus > 0:
            gone = {line.inode for line, _ in ended}
            left = [seen for inode, seen in self._seen.items() if inode not in gone]
            ended += [(line, CROWDED) for line in _dispensable(left, surplus, self._most)]
        return ended

    def _disguised(self, tick: int, reading: Mapping[int, dict[str, Any]]) -> Iterator[Line]:
        """Those that look idle and may be what a thread waits for in vain."""
        before, self._reading = self._reading, {}
        waited_for: defaultdict[str, list[int]] = defaultdict(list)
        for thread, environ in reading.items():
            known, since = before.get(thread, (None, tick))
            if known is not environ:
                since = tick
            self._reading[thread] = environ, since
            if tick - since > self._timeout_ticks + 1:
                waited_for[_canonical(environ.get("REMOTE_ADDR", ""))].append(since)
        if not waited_for:
            return
        asking = Counter(
            _canonical(seen.line.address) for seen in self._seen.values() if seen.asking
        )
        for seen in self._seen.values():
            address = _canonical(seen.line.address)
            begun = waited_for.get(address, ())
            if seen.asking or seen.shielded or len(begun) <= asking[address]:
                continue
            if any(since - 2 <= seen.since <= since for since in begun):
                asking[address] += 1
                yield seen.line

    def _overdue(self, seen: Seen) -> str | None:
        line, least = seen.line, self._timeout_ticks
        came = 0 if self._ends else line.received - seen.received_before
        if seen.exposed > least + came / BYTES_A_TICK:
            return SLOW_REQUEST
        if seen.untaken > least + (line.taken - seen.taken_before) / BYTES_A_TICK:
            return SLOW_REPLY
        return IDLE if seen.quiet > self._idle_ticks else None


def _followed(seen: Seen | None, line: Line, tick: int) -> Seen:
    """What is known of a connection, with what was seen of it now."""
    if seen is None or not _is_same(seen.line, line):
        asking = line.is_asking or line.sent < LEAST_REPLY_BYTES
        return Seen(line, tick, asking, taken_before=line.taken)
    came, went = line.received - seen.line.received, line.sent - seen.line.sent
    if went >= LEAST_REPLY_BYTES:  # a reply: what has come before it is done with
        seen.asking, seen.exposed, seen.received_before = line.is_asking, 0, seen.line.received
    elif came and not seen.asking:
        seen.asking, seen.received_before = True, seen.line.received
    if went or (came and not seen.shielded):  # what comes in the middle of work is the next request
        seen.since = tick
    seen.untaken += 1
    if came or not line.waiting:
        seen.untaken, seen.taken_before = 0, line.taken
    seen.line = line
    return seen


def _is_same(before: Line, line: Line) -> bool:
    return (before.address, before.port) == (line.address, line.port) and (
        before.received <= line.received and before.sent <= line.sent
    )


def _dispensable(seen: list[Seen], count: int, most: int) -> Iterator[Line]:
    """At most so many, each of whoever has most at that moment: first what has never said anything,
    then what is idle, for longest, then what has long been expected to go on."""
    held = Counter(each.line.address for each in seen)
    few = most / 2 / len(held)  # who has no more keeps them: of all places, that is half at most
    mine: defaultdict[str, list[Seen]] = defaultdict(list)
    for each in seen:
        least = TAKEN_UP_TICKS + 1 if each.asking and each.line.received else IDLE_TICKS
        if each.quiet >= least:
            mine[each.line.address].append(each)
    for own in mine.values():
        own.sort(key=lambda each: (not each.line.received, not each.asking, each.quiet))
    while count > 0 and mine:
        address = max(mine, key=held.__getitem__)
        if held[address] <= few:
            return
        yield mine[address].pop().line
        if not mine[address]:
            del mine[address]
        held[address] -= 1
        count -= 1


@lru_cache(maxsize=1024)
def _canonical(address: str) -> str:
    """One spelling, whoever wrote it."""
    try:
        known = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = known.ipv4_mapped if isinstance(known, IPv6Address) else None
    return str(mapped or known)


class Overseer(Collector):
    """Looks after the connections that are accepted on `port`, in a thread of its own."""

    def __init__(self, port: int, work: Work, most: int, settings: Settings) -> None:
        self._lines = Lines(port)
        self._work = work
        # Granian ends idle ones before. It doesn't see those that have begun another request, in
        # the packet of the one before.
        idle_ticks = settings.keep_alive_s / TICK_S + TAKEN_UP_TICKS
        self._watch = Watch(most, settings.body_timeout_s / TICK_S, idle_ticks)
        self._count = 0
        self._cut = dict.fromkeys(REASONS, 0)
        self._told: set[int] = set()  # the inodes of those that were late at the last tick

    def start(self) -> None:
        if are_told():
            threading.Thread(target=self._run, name="overseer", daemon=True).start()
        else:
            log.warning("this system doesn't tell of connections: slow ones are not ended")

    def hurry(self) -> None:
        """The server is being ended: it doesn't wait long for what may never come."""
        self._watch.hurry()

    def _run(self) -> None:
        while True:
            time.sleep(TICK_S)
            try:
                self._look()
            except Exception:  # slow ones have to end all the same
                log.exception("connections could not be looked at")

    def _look(self) -> None:
        self._work.tick += 1
        under_way = self._work.under_way()
        found = list(self._lines.found())
        ended = self._watch.ended_by(self._work.tick, under_way, self._work.reading.copy(), found)
        self._count = len(found)
        self._work.late = {line.address for line, why in ended if why == SLOW_REQUEST}
        told, self._told = self._told, set()
        done = []
        for line, why in ended:
            # Who is late with a body is told so, where it listens.
            asked = why == SLOW_REQUEST and line.inode not in told
            if self._lines.cut(line, socket.SHUT_RD if asked else socket.SHUT_RDWR):
                if asked:
                    self._told.add(line.inode)
                if line.inode not in told:
                    self._cut[why] += 1
                    done.append((line.address, why))
        for address, why in done[:LINES_A_TICK]:
            log.info("connection ended", extra={"address": address, "reason": why})
        if done[LINES_A_TICK:]:
            log.info("connections ended", extra={"more": len(done) - LINES_A_TICK})

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("gym_http_connections", "Connections there are.", value=self._count)
        family = CounterMetricFamily(
            "gym_http_connections_cut", "Connections that the server ended.", labels=["reason"]
        )
        for reason, count in self._cut.items():
            family.add_metric([reason], count)
        yield family
