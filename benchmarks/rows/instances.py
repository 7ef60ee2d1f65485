"""A step where many instances live, against one where a single one does: servers of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from benchmarks.measuring import Comparison, Row, at_most, p50_us
from benchmarks.raw import RawHTTP
from benchmarks.servers import gym_http
from benchmarks.working import HTTPSteps
from gym_http_client import Client

ENV_ID = "CartPole-v1"
MANY = 1000
BODIES = [b'{"action":0}', b'{"action":1}']


@contextmanager
def comparisons() -> Iterator[list[Comparison]]:
    with (
        gym_http() as crowded,
        gym_http() as empty,
        Client(crowded.url) as client,
        Client(empty.url) as other,
        closing(RawHTTP(crowded.address)) as http,
        closing(RawHTTP(empty.address)) as other_http,
    ):
        ids = [client.env_create(ENV_ID) for _ in range(MANY)]
        in_turn = HTTPSteps(http, ids, BODIES)
        theirs = p50_us(HTTPSteps(other_http, [other.env_create(ENV_ID)], BODIES))
        yield [
            Comparison(
                f"a CartPole step, {MANY:,} instances alive",
                "a single one",
                "µs",
                p50_us(HTTPSteps(http, ids[:1], BODIES)),
                theirs,
                at_most(1.1),
            ),
            Comparison(
                "… each of them in turn",
                "a single one",
                "µs",
                p50_us(in_turn),
                theirs,
            ),
        ]


ROW = Row(7, "instances", comparisons)
