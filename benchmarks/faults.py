"""Ten minutes of environments that go wrong in every way, for sixteen clients at once; after which
the server is as it was, and whatever didn't go wrong was as if alone.

    python -m benchmarks.faults                     what `make soak` does second
    python -m benchmarks.faults --minutes 1 --clients 4 --seed 7

Each client takes one instance on `process` after the other, and does what an Errand says. From time
to time all wait until nothing runs, and what the server then has is counted: processes, files,
segments; its memory. Exit code 1 where a call wasn't answered as it should have been, or something
is left. Needs Linux, whose /proc tells.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.errands import Errand, Run, Talk, Wrong, drawn
from benchmarks.soak import WARM_UP, sample
from tests.marked import MarkedServer, described
from tests.walk import FAILED, FINE

MINUTES = 10.0
CLIENTS = 16
ROUNDS = 10  # after each of which all wait
LOOK_S = 0.2
SETTLE_S = 20.0  # until what has ended is gone
WORKER_MEMORY = 320 * 2**20
MOST_WRONG = 20  # after which it is clear
FLAGS = ("--backend", "process", "--worker-memory", str(WORKER_MEMORY), "--log-level", "error",
         "--threads", "32")  # fmt: skip

# Of malloc's arenas glibc has eight for each core, each of which keeps the most that it ever held:
# it takes long until all have held it.
ENVIRON = {"MALLOC_ARENA_MAX": "2"}

MOST_GROWTH_MIB = 8.0
MOST_FURTHER_THREADS = 4


@dataclass(frozen=True)
class Quiet:
    """What there is while no instance lives."""

    after_s: float
    errands: int
    processes: int
    files: int  # but sockets: clients keep their connections
    threads: int
    segments: int
    memory_mib: float
    memory_of_all_mib: float  # of the server's further processes as well


def more(one: Quiet, first: Quiet) -> list[str]:
    """What there is more of than at first, in words."""
    return [
        f"{getattr(one, name) - getattr(first, name)} {name}"
        for name in ("processes", "files", "segments")
        if getattr(one, name) > getattr(first, name)
    ]


@dataclass
class Course:
    """What came of it."""

    quiet: list[Quiet] = field(default_factory=list)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)  # errand, code
    calls_wrong: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def troubles(self) -> list[str]:
        """What isn't as it should be, in words."""
        told = [*self.calls_wrong, *self.left]
        whole = self.quiet[-1].after_s if self.quiet else 0.0
        # In the first round nothing went wrong.
        since = [each for each in self.quiet[1:] if each.after_s >= WARM_UP * whole]
        if not since:
            return told
        first, last = since[0], since[-1]
        for name in ("memory_mib", "memory_of_all_mib"):
            grown = getattr(last, name) - getattr(first, name)
            if grown > MOST_GROWTH_MIB:
                told.append(f"{name}: {grown:.1f} MiB more since the first fifth")
        if last.threads - first.threads > MOST_FURTHER_THREADS:
            told.append(f"{last.threads - first.threads} threads more since the first fifth")
        return told


class Soak:
    """So many clients at once on one server."""

    def __init__(self, server: MarkedServer, clients: int, seed: int) -> None:
        self.server, self.seed = server, seed
        self.course = Course()
        self._clients = clients
        self._gate = threading.Barrier(clients + 1)
        self._until = 0.0  # when the clients next wait
        self._over = False
        self._ended = threading.Event()
        self._at_first: tuple[Quiet, set[int]] | None = None  # and the processes
        self._lock = threading.Lock()

    def run(self, seconds: float, rounds: int, told: Callable[[Quiet], None]) -> Course:
        """So many seconds of work in so many rounds. told: of each quiet time."""
        with ThreadsJoined([self._client] * self._clients + [self._look_around]):
            began = time.monotonic()
            try:
                for number in range(rounds + 1):
                    # In the first one nothing goes wrong: it shows what there is at first.
                    self._until = time.monotonic() + (seconds / rounds if number else 0.0)
                    self._over = number == rounds or self._failed()
                    self._gate.wait()  # they set out …
                    self._gate.wait()  # … and are back
                    quiet = self._quiet(time.monotonic() - began)
                    self.course.quiet.append(quiet)
                    told(quiet)
                    if self._over:
                        break
            finally:
                self._gate.abort()
                self._ended.set()
        return self.course

    def _failed(self) -> bool:
        return len(self.course.calls_wrong) >= MOST_WRONG

    def _client(self, number: int) -> None:
        rng = random.Random(f"{self.seed} {number}")
        talk = Talk(self.server.address)
        over = False
        while not over:
            try:
                self._gate.wait()
                over = self._over
                self._one(Errand(rng.randrange(2**31)), talk)  # one at least
                while time.monotonic() < self._until and not self._failed():
                    self._one(drawn(rng), talk)
                self._gate.wait()
            except threading.BrokenBarrierError:
                break
        talk.close()

    def _look_around(self, number: int) -> None:
        """So that the segments are known that are there for a while."""
        while not self._ended.wait(LOOK_S):
            self.server.processes()

    def _one(self, errand: Errand, talk: Talk) -> None:
        try:
            code = Run(errand, talk, self.server.mark).run()
        except Exception as error:  # Wrong, or what wasn't thought of: a missing key, say
            words = str(error) if isinstance(error, Wrong) else repr(error)
            with self._lock:
                self.course.calls_wrong.append(f"{words} ({errand!r})"[:1500])
            return
        with self._lock:
            self.course.outcomes[str(errand), code] += 1

    def _quiet(self, after_s: float, settle_s: float = SETTLE_S) -> Quiet:
        """Waits until nothing is left that instances have had, for so long as that may take."""
        deadline = time.monotonic() + settle_s
        while True:
            quiet, pids = self._look(after_s)
            if self._at_first is None or not more(quiet, self._at_first[0]):
                break
            if time.monotonic() > deadline:
                there = described(pids - self._at_first[1])
                told = ", ".join(more(quiet, self._at_first[0]))
                self.course.left.append(
                    f"left {after_s:.0f} s after the beginning: {told}: {there}"
                )
                self._at_first = None  # of what comes, what is new is told
                break
            if self.server.process.poll() is not None:
                raise SystemExit("the server has ended")
            time.sleep(0.1)
        self._at_first = self._at_first or (quiet, pids)
        return quiet

    def _look(self, after_s: float) -> tuple[Quiet, set[int]]:
        server, worker = self.server, self.server.worker_pid()
        pids = server.processes()
        memory = {}
        for pid in pids:
            try:
                memory[pid] = sample(pid, 0).memory_mib
            except OSError:
                continue
        quiet = Quiet(
            round(after_s, 1),
            sum(self.course.outcomes.values()),
            len(pids),
            sum(file != "socket" for file in server.files()),
            server.threads(),
            len(server.segments_left()),
            round(memory[worker], 2),
            round(sum(memory.values()), 2),
        )
        return quiet, pids


class ThreadsJoined:
    """A context at whose end they have ended. Each is told its number."""

    def __init__(self, jobs: list[Callable[[int], None]]) -> None:
        self._threads = [
            threading.Thread(target=job, args=(number,)) for number, job in enumerate(jobs)
        ]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *exception: object) -> None:
        for thread in self._threads:
            thread.join()


HEAD = (
    f"{'s':>7} {'instances':>9} {'processes':>9} {'files':>6} {'threads':>7} {'segments':>8}"
    f" {'memory, MiB':>11} {'of all, MiB':>11}"
)


def line(quiet: Quiet) -> str:
    return (
        f"{quiet.after_s:7.0f} {quiet.errands:9,} {quiet.processes:9} {quiet.files:6}"
        f" {quiet.threads:7} {quiet.segments:8} {quiet.memory_mib:11.1f}"
        f" {quiet.memory_of_all_mib:11.1f}"
    )


def table(course: Course) -> str:
    """Which faults there were, and how their instances ended."""
    by_errand: dict[str, dict[str, int]] = {}
    for (errand, code), count in sorted(course.outcomes.items()):
        by_errand.setdefault(errand, {})[code or "well"] = count
    rows = [
        f"{errand:34} " + ", ".join(f"{count} {code}" for code, count in codes.items())
        for errand, codes in by_errand.items()
    ]
    ends: Counter[str] = Counter()
    for (_, code), count in course.outcomes.items():
        ends["well" if code in (FINE, FAILED) else code] += count
    rows.append(f"{'all':34} " + ", ".join(f"{count} {code}" for code, count in ends.items()))
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults", description="Environments that go wrong, for a while."
    )
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="after each of which all wait")
    parser.add_argument("--seed", type=int, default=0, help="of what goes wrong when")
    parser.add_argument("--out", type=Path, help="write all that was counted there, as JSON")
    options = parser.parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        sys.exit("this needs Linux, whose /proc tells what a process has")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the server is ended by unwinding
    with MarkedServer(*FLAGS, environ=ENVIRON) as server:
        print(HEAD, flush=True)
        soak = Soak(server, options.clients, options.seed)
        course = soak.run(
            60 * options.minutes, options.rounds, lambda quiet: print(line(quiet), flush=True)
        )
        if server.process.poll() is not None:
            course.left.append("the server has ended by itself")
        if course.troubles():
            kept = Path(tempfile.gettempdir(), f"gym-http-faults-{os.getpid()}.log")
            shutil.copy(server.home / "log", kept)
            print(f"The server's log is kept: {kept}")
    time.sleep(0.1)
    if left := server.processes():
        course.left.append(f"{len(left)} processes are left of the server")
    if left := server.segments_left():
        course.left.append(f"segments are left: {left}")
    print(table(course))
    troubles = course.troubles()
    print(*(f"WRONG: {trouble}" for trouble in troubles), sep="\n")
    print("failed" if troubles else "ok")
    if options.out:
        told: dict[str, Any] = {
            "machine": machine.facts(),
            "clients": options.clients,
            "seed": options.seed,
            "quiet": [asdict(each) for each in course.quiet],
            "outcomes": [[*key, count] for key, count in sorted(course.outcomes.items())],
            "troubles": troubles,
        }
        options.out.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")
    sys.exit(bool(troubles))


if __name__ == "__main__":
    main()
