"""What a further instance takes of a server's memory, against an environment in plain Python."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.measuring import Comparison, Row, at_most
from benchmarks.memory import FIRST, FURTHER, private_kib
from benchmarks.servers import ROOT, gym_http
from gym_http_client import Client

ENV_ID = "CartPole-v1"


@contextmanager
def comparisons() -> Iterator[list[Comparison]]:
    private_kib(os.getpid())  # says so before it takes long, where it can't be read
    yield [
        Comparison(
            "memory for one more CartPole",
            "one in plain Python",
            "KiB",
            lambda _: on_a_server(),
            lambda _: in_plain_python(),
            at_most(1.5),
            most_rounds=1,
        )
    ]


def on_a_server() -> float:
    """KiB, of a fresh server: what another has freed would be used again."""

    def make(count: int) -> None:
        for _ in range(count):
            instance_id = client.env_create(ENV_ID)
            client.env_reset(instance_id)
            client.env_step(instance_id, 0)

    with gym_http() as server, Client(server.url) as client:
        make(FIRST)
        before = private_kib(server.worker_pid())
        make(FURTHER)
        return (private_kib(server.worker_pid()) - before) / FURTHER


def in_plain_python() -> float:
    """KiB, of a fresh process."""
    command = [sys.executable, "-m", "benchmarks.baselines.plain_python", ENV_ID]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return float(subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True).stdout)


ROW = Row(8, "memory", comparisons)
