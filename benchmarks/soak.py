"""A hundred thousand steps of each kind of client, after which the server is as it was.

    make soak                          some minutes
    make soak ARGS="--steps 5000"

Steps are made by a client that opens a connection for each and asks the server to close it, by one
that closes it itself, and by one that keeps it; then instances come and go. A server's memory, its
open files and its threads may not grow meanwhile, and no request may fail. Exit code 1 where that
isn't so. Needs Linux, whose /proc tells.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests

from benchmarks import machine
from benchmarks.pinning import on_cores
from benchmarks.servers import Running, gym_http
from gym_http_client import Client, ServerError

ENV_ID = "CartPole-v1"
STEPS = 100_000
STEPS_AN_INSTANCE = 5  # for which one is made and closed: 20,000 in place of 100,000 steps
TIMEOUT_S = 60
SAMPLES = 20

# By then all is there that is needed once: caches, threads and their stacks, free lists.
WARM_UP = 0.2  # of the whole

# In the 80,000 steps that follow, 26 bytes each, less than a float and a reference to it; in the
# 16,000 instances, 131 each, less than an id and its place in a dict. What the
# memory of a server that leaks nothing goes up and down by is a tenth of that.
MOST_GROWTH_MIB = 2.0

# Connections that are just being closed, and threads that Granian adds where calls overlap.
MOST_FURTHER_FILES = 8
MOST_FURTHER_THREADS = 4

Once = Callable[[], None]
Post = Callable[[Running, str, dict[str, Any]], Any]  # server, path, body -> reply


class Wrong(Exception):
    """The server did what it shouldn't, without saying so."""


FAILURES = (OSError, ServerError, Wrong)  # those of requests are OSErrors


@dataclass(frozen=True)
class Sample:
    """What a server's worker has. after: how often `Once` had been called."""

    after: int
    memory_mib: float
    files: int
    threads: int


@dataclass
class Course:
    """What came of calling `Once` time and again.

    waiting_ports: of the client, when all was over; None where it didn't come to that.
    failed: what was wrong, in words.
    """

    samples: list[Sample]
    seconds: float = 0.0
    waiting_ports: int | None = None
    failed: str | None = None

    def growth(self) -> Sample:
        """By how much each has at most grown since the end of the warm-up."""
        calls = self.samples[-1].after
        since = [each for each in self.samples if each.after >= WARM_UP * calls]
        return Sample(
            calls - since[0].after,
            max(each.memory_mib for each in since) - since[0].memory_mib,
            max(each.files for each in since) - since[0].files,
            max(each.threads for each in since) - since[0].threads,
        )

    def troubles(self) -> list[str]:
        """What isn't as it should be, in words."""
        if self.failed:
            return [self.failed]
        growth = self.growth()
        bounds = (
            (growth.memory_mib, MOST_GROWTH_MIB, f"{growth.memory_mib:.1f} MiB of memory"),
            (growth.files, MOST_FURTHER_FILES, f"{growth.files} open files"),
            (growth.threads, MOST_FURTHER_THREADS, f"{growth.threads} threads"),
        )
        return [f"{told} more" for grown, most, told in bounds if grown > most]


@dataclass(frozen=True)
class Load:
    """A way of using a server. `opened` gives what is called time and again; a call counts for
    `each` steps.

    asks_to_close: has the server close each connection first, so that no port of the client's has
        to wait. Who closes first runs out of them after 28,000 connections in a minute, unless
        the system reuses them; Linux does so for connections to the machine itself.
    """

    name: str
    opened: Callable[[Running, str], AbstractContextManager[Once]]
    each: int = 1
    asks_to_close: bool = False


def asking_to_close(server: Running, path: str, body: dict[str, Any]) -> Any:
    """POST on a connection of its own, which the server closes."""
    sent = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
    )
    with socket.create_connection(server.address, timeout=TIMEOUT_S) as connection:
        connection.sendall(head.encode() + sent)
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    if not reply.startswith(b"HTTP/1.1 200 "):
        raise Wrong(f"answered with {reply[:200]!r}")
    return json.loads(reply.partition(b"\r\n\r\n")[2])


def closing_itself(server: Running, path: str, body: dict[str, Any]) -> Any:
    """POST as one does it first: `requests` opens a connection, and closes it."""
    response = requests.post(server.url + path, json=body, timeout=TIMEOUT_S)
    response.raise_for_status()
    return response.json()


def reconnecting(post: Post) -> Callable[[Running, str], AbstractContextManager[Once]]:
    """Steps of an instance, by a client that opens a connection for each request."""

    @contextmanager
    def opened(server: Running, env_id: str) -> Iterator[Once]:
        env = f"/v1/envs/{post(server, '/v1/envs/', {'env_id': env_id})['instance_id']}"
        yield stepping(
            lambda action: post(server, f"{env}/step/", {"action": action})["done"],
            lambda: post(server, f"{env}/reset/", {}),
        )

    return opened


@contextmanager
def keeping(server: Running, env_id: str) -> Iterator[Once]:
    """Steps of an instance, by the bundled client."""
    with Client(server.url) as client:
        instance_id = client.env_create(env_id)
        yield stepping(
            lambda action: client.env_step(instance_id, action)[2],
            lambda: client.env_reset(instance_id),
        )


def stepping(step: Callable[[int], bool], reset: Callable[[], Any]) -> Once:
    """step: takes an action, returns whether the episode ended by it. Resets once at first."""
    number = 0

    def once() -> None:
        nonlocal number
        number += 1
        if step(number % 2):
            reset()

    reset()
    return once


@contextmanager
def coming_and_going(server: Running, env_id: str) -> Iterator[Once]:
    """Instances that are made, used and closed, by the bundled client."""
    with Client(server.url) as client:

        def once() -> None:
            instance_id = client.env_create(env_id)
            client.env_reset(instance_id)
            client.env_step(instance_id, 0)
            client.env_close(instance_id)

        yield once
        if living := client.env_list_all():
            raise Wrong(f"{len(living)} closed instances live on")


LOADS = (
    Load("connections that the server closes", reconnecting(asking_to_close), asks_to_close=True),
    Load("connections that requests.post closes", reconnecting(closing_itself)),
    Load("one connection, of the bundled client", keeping),
    Load("instances that come and go", coming_and_going, each=STEPS_AN_INSTANCE),
)


def soak(load: Load, steps: int, *flags: str, env_id: str = ENV_ID) -> Course:
    """Put a load on a server of its own, started with `flags`."""
    calls = max(1, steps // load.each)
    with gym_http(*flags) as server:
        course = Course([sample(server.worker_pid(), 0)])
        try:
            with load.opened(server, env_id) as once:
                watch(course, server.worker_pid(), once, calls)
            if load.each == 1:
                check_steps(server, calls)
            course.waiting_ports = waiting_ports(server.address[1])
            if load.asks_to_close and course.waiting_ports > calls // 100:
                raise Wrong(f"{course.waiting_ports:,} of the client's ports have to wait")
        except FAILURES as failure:
            after = course.samples[-1].after
            course.failed = f"after call {after:,} or later: {type(failure).__name__}: {failure}"
    return course


def watch(course: Course, pid: int, once: Once, calls: int) -> None:
    """Call `once` so many times, looking at the process `pid` from time to time."""
    began = time.perf_counter()
    for number in range(1, calls + 1):
        once()
        if number * SAMPLES // calls > (number - 1) * SAMPLES // calls:
            course.samples.append(sample(pid, number))
            course.seconds = time.perf_counter() - began


def check_steps(server: Running, asked: int) -> None:
    """Raises Wrong where the server's only instance has made fewer steps than it was asked for, or
    more: a request was lost, or done twice."""
    with Client(server.url) as client:
        (instance_id,) = client.env_list_all()
        made = client.env_info(instance_id)["steps"]
    if made != asked:
        raise Wrong(f"{asked:,} steps were asked for, {made:,} were made")


def sample(pid: int, after: int) -> Sample:
    process = Path(f"/proc/{pid}")
    # What the process has written. Neither pages of files, which the kernel fetches and drops, nor
    # whether a page is still shared with the main process, which ends when garbage is collected.
    told = re.findall(
        r"^(?:Anonymous|Swap):\s+(\d+) kB$", (process / "smaps_rollup").read_text(), re.MULTILINE
    )
    return Sample(
        after,
        sum(int(kib) for kib in told) / 1024,
        sum(1 for _ in (process / "fd").iterdir()),
        sum(1 for _ in (process / "task").iterdir()),
    )


def waiting_ports(server_port: int) -> int:
    """How many ports of this machine's clients of that server are in TIME_WAIT."""
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, _, remote, state, *_ = line.split()
        count += state == "06" and int(remote.rpartition(":")[2], 16) == server_port
    return count


HEAD = (
    f"{'':38} {'calls':>8} {'s':>6}   {'memory, MiB':>13} {'files':>8} {'threads':>7} {'ports':>7}"
)


def line(load: Load, course: Course) -> str:
    """Of memory, files and threads: how many at last, and the most growth."""
    last, growth = course.samples[-1], course.growth()
    waiting = "" if course.waiting_ports is None else f"{course.waiting_ports:,}"
    return (
        f"{load.name:38} {last.after:8,} {course.seconds:6.1f}"
        f"   {last.memory_mib:6.1f} {growth.memory_mib:+6.2f} {last.files:5} {growth.files:+}"
        f" {last.threads:4} {growth.threads:+} {waiting:>7}  {', '.join(course.troubles()) or 'ok'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description="Look for leaks of a gym-http server."
    )
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of each load ({STEPS:,})")
    numbers = range(1, len(LOADS) + 1)
    parser.add_argument(
        "--load", type=int, action="append", choices=numbers, help="only this; repeatable"
    )
    parser.add_argument("--env", metavar="ENV_ID", default=ENV_ID, help="of actions 0 and 1")
    parser.add_argument("--import", dest="module", help="for the server, which registers it")
    parser.add_argument("--core", type=int, help="pin server and clients to it")
    parser.add_argument("--out", type=Path, help="write all samples there, as JSON")
    options = parser.parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        sys.exit("this needs Linux, whose /proc tells what a process has")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers are ended by unwinding
    flags = ["--import", options.module] if options.module else []
    told = []
    print(HEAD, flush=True)
    with on_cores([] if options.core is None else [options.core]):
        for load in (LOADS[number - 1] for number in options.load or numbers):
            course = soak(load, options.steps, *flags, env_id=options.env)
            print(line(load, course), flush=True)
            told.append({"load": load.name, **asdict(course), "troubles": course.troubles()})
    if options.out:
        results = {"machine": machine.facts(), "loads": told}
        options.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
    sys.exit(any(each["troubles"] for each in told))


if __name__ == "__main__":
    main()
