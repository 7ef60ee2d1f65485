"""The bundled client against what one writes with requests, on the same server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests

from benchmarks.measuring import Comparison, Row, at_least, per_second
from benchmarks.servers import gym_http
from benchmarks.working import CallSteps
from gym_http_client import Client

ENV_ID = "CartPole-v1"


@contextmanager
def comparisons() -> Iterator[list[Comparison]]:
    with gym_http() as server, Client(server.url) as client, requests.Session() as session:
        ours, theirs = client.env_create(ENV_ID), client.env_create(ENV_ID)
        url = f"{server.url}/v1/envs/{theirs}"
        yield [
            Comparison(
                "env_step of the bundled client",
                "requests.Session().post",
                "steps/s",
                per_second(
                    CallSteps(
                        lambda action: client.env_step(ours, action),
                        [0, 1],
                        reset=lambda: client.env_reset(ours),
                        ended=lambda returned: returned[2],
                    )
                ),
                per_second(
                    CallSteps(
                        lambda action: session.post(f"{url}/step/", json={"action": action}).json(),
                        [0, 1],
                        reset=lambda: session.post(f"{url}/reset/").raise_for_status(),
                        ended=lambda reply: reply["done"],
                    )
                ),
                at_least(2.5),
            )
        ]


ROW = Row(3, "client", comparisons)
