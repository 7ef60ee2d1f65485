"""A step that the monitor's statistics are taken of (no film), against one that nobody watches."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager

from benchmarks.measuring import Comparison, Row, at_most, p50_us, per_second_settled
from benchmarks.raw import RawHTTP
from benchmarks.servers import gym_http
from benchmarks.working import HTTPSteps
from gym_http_client import Client

ENV_ID = "CartPole-v1"
BODIES = [b'{"action":0}', b'{"action":1}']


@contextmanager
def comparisons() -> Iterator[list[Comparison]]:
    with (
        tempfile.TemporaryDirectory(prefix="gym-http-bench-") as recording,
        gym_http() as server,
        Client(server.url) as client,
        closing(RawHTTP(server.address)) as http,
    ):
        watched, unwatched = client.env_create(ENV_ID), client.env_create(ENV_ID)
        client.env_monitor_start(watched, recording, force=True, video_callable=False)
        ours, theirs = (HTTPSteps(http, [each], BODIES) for each in (watched, unwatched))
        yield [
            Comparison(
                "a CartPole step, monitor on",
                "monitor off",
                "µs",
                p50_us(ours),
                p50_us(theirs),
                at_most(1.1),
            ),
            Comparison(
                "whole episodes, monitor on",
                "monitor off",
                "steps/s",
                per_second_settled(ours),
                per_second_settled(theirs),
            ),
        ]


ROW = Row(10, "monitor", comparisons)
