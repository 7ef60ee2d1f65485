"""A step over HTTP, against the least that a Python server can do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from benchmarks.baselines.raw_tcp import reply_bytes
from benchmarks.measuring import Comparison, Row, at_most, p50_us
from benchmarks.raw import RawHTTP, RawTCP
from benchmarks.servers import baseline, gym_http
from benchmarks.working import HTTPSteps, TCPSteps
from gym_http_client import Client

ENV_ID = "CartPole-v1"


@contextmanager
def comparisons() -> Iterator[list[Comparison]]:
    with (
        gym_http() as server,
        baseline("raw_tcp", ENV_ID) as echo,
        baseline("bare", ENV_ID) as bare,
        Client(server.url) as client,
        closing(RawHTTP(server.address)) as http,
        closing(RawHTTP(bare.address)) as bare_http,
        closing(RawTCP(echo.address, reply_bytes(ENV_ID))) as tcp,
    ):
        instance_id = client.env_create(ENV_ID)
        bodies = [b'{"action":0}', b'{"action":1}']
        theirs = p50_us(TCPSteps(tcp, [0, 1]))
        yield [
            Comparison(
                "a CartPole step, JSON",
                "raw TCP in Python",
                "µs",
                p50_us(HTTPSteps(http, [instance_id], bodies)),
                theirs,
                at_most(3.0, reach=2.0),
            ),
            Comparison(
                "… by a bare callable on Granian",
                "raw TCP in Python",
                "µs",
                p50_us(HTTPSteps(bare_http, ["bare"], bodies)),
                theirs,
            ),
        ]


ROW = Row(1, "step", comparisons)
