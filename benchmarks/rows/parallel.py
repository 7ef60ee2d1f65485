"""Environments that wait, stepped by several clients at once and by one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager

from benchmarks.fake_env import SLEEP_S, SLEEPING
from benchmarks.measuring import Comparison, Round, Row, at_least
from benchmarks.raw import RawHTTP
from benchmarks.servers import gym_http
from benchmarks.working import HTTPSteps
from gym_http_client import Client

CLIENTS = 8


@contextmanager
def comparisons() -> Iterator[list[Comparison]]:
    with (
        gym_http("--import", "benchmarks.fake_env") as server,
        Client(server.url) as client,
        ExitStack() as connections,
    ):
        works = [
            HTTPSteps(
                connections.enter_context(closing(RawHTTP(server.address))),
                [client.env_create(SLEEPING)],
                [b'{"action":0}'],
            )
            for _ in range(CLIENTS)
        ]
        yield [
            Comparison(
                f"{CLIENTS} clients, steps of {SLEEP_S * 1000:g} ms",
                "one client",
                "steps/s",
                together(works),
                together(works[:1]),
                at_least(7.0),
            )
        ]


def together(works: list[HTTPSteps]) -> Round:
    """Steps a second of all, each on a thread of its own. They wait for sockets nearly all of the
    time, and don't hinder one another."""

    def measure_round(seconds: float) -> float:
        start = threading.Barrier(len(works))

        def run(work: HTTPSteps) -> int:
            count = 0
            start.wait()
            deadline = time.perf_counter() + seconds
            while time.perf_counter() < deadline:
                work.call()
                count += 1
            return count

        with ThreadPoolExecutor(len(works)) as pool:
            began = time.perf_counter()
            steps = sum(pool.map(run, works))  # which raises what a thread has raised
            return steps / (time.perf_counter() - began)

    return measure_round


ROW = Row(9, "parallel", comparisons, pinned=False)
