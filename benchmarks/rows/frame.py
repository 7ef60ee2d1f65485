"""An Atari screen as the observation: over MessagePack, and over JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from benchmarks.baselines.raw_tcp import reply_bytes
from benchmarks.fake_env import FRAMES
from benchmarks.measuring import Comparison, Row, at_least, at_most, p50_us, per_second
from benchmarks.raw import JSON, MSGPACK, RawHTTP, RawTCP, post
from benchmarks.servers import baseline, gym_http
from benchmarks.working import CallSteps, HTTPSteps, TCPSteps
from gym_http import wire
from gym_http_client import Client


@contextmanager
def comparisons() -> Iterator[list[Comparison]]:
    with (
        gym_http("--import", "benchmarks.fake_env") as server,
        baseline("raw_tcp", FRAMES) as echo,
        baseline("bare", FRAMES) as bare,
        baseline("tolist_json") as tolist,
        Client(server.url) as client,
        closing(RawHTTP(server.address)) as http,
        closing(RawHTTP(bare.address)) as bare_http,
        closing(RawTCP(echo.address, reply_bytes(FRAMES))) as tcp,
        closing(RawHTTP(tolist.address)) as tolist_http,
    ):
        instance_id = client.env_create(FRAMES)
        packed = wire.to_msgpack({"action": 0})
        listed = b'{"action":0}'
        theirs = p50_us(TCPSteps(tcp, [0]))
        yield [
            Comparison(
                "a step with a frame, MessagePack",
                "raw TCP in Python",
                "µs",
                p50_us(HTTPSteps(http, [instance_id], [packed], content_type=MSGPACK)),
                theirs,
                at_most(3.0),
            ),
            Comparison(
                "… by a bare callable on Granian",
                "raw TCP in Python",
                "µs",
                p50_us(HTTPSteps(bare_http, ["bare"], [packed], content_type=MSGPACK)),
                theirs,
            ),
            Comparison(
                "steps with a frame, JSON",
                "tolist, json",
                "steps/s",
                per_second(HTTPSteps(http, [instance_id], [listed], content_type=JSON)),
                per_second(
                    CallSteps(tolist_http.call, [post("/", listed)], reset=lambda: None),
                ),
                at_least(5.0),
            ),
        ]


ROW = Row(4, "frame", comparisons)
