"""Steps against gym-http-api as it was: its server, and its client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import requests

from benchmarks.measuring import Comparison, Row, at_least, per_second
from benchmarks.raw import RawHTTP
from benchmarks.servers import baseline, gym_http
from benchmarks.working import CallSteps, HTTPSteps
from gym_http_client import Client

ENV_ID = "CartPole-v1"
BODIES = [b'{"action":0}', b'{"action":1}']


class V1Client:
    """What v1's client did for a call. (Its session kept no connection: the server closed it.)"""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.headers["Content-Type"] = "application/json"

    def post(self, path: str, body: dict[str, Any]) -> Any:
        response = self._session.post(self._url + path, data=json.dumps(body))
        response.raise_for_status()
        return response.json()

    def close(self) -> None:
        self._session.close()


@contextmanager
def comparisons() -> Iterator[list[Comparison]]:
    with (
        gym_http() as server,
        baseline("v1") as v1,
        Client(server.url) as client,
        closing(V1Client(v1.url)) as v1_client,
        closing(RawHTTP(server.address)) as http,
        closing(RawHTTP(v1.address, keeps=False)) as v1_http,
    ):
        ours = [client.env_create(ENV_ID) for _ in range(2)]
        theirs = [v1_client.post("/v1/envs/", {"env_id": ENV_ID})["instance_id"] for _ in range(2)]
        env = f"/v1/envs/{theirs[1]}"
        yield [
            Comparison(
                "CartPole steps, raw client",
                "v1, raw client",
                "steps/s",
                per_second(HTTPSteps(http, ours[:1], BODIES)),
                per_second(HTTPSteps(v1_http, theirs[:1], BODIES)),
                at_least(5.0),
            ),
            Comparison(
                "CartPole steps, bundled client",
                "v1, its client",
                "steps/s",
                per_second(
                    CallSteps(
                        lambda action: client.env_step(ours[1], action),
                        [0, 1],
                        reset=lambda: client.env_reset(ours[1]),
                        ended=lambda returned: returned[2],
                    )
                ),
                per_second(
                    CallSteps(
                        lambda action: v1_client.post(
                            f"{env}/step/", {"action": action, "render": False}
                        ),
                        [0, 1],
                        reset=lambda: v1_client.post(f"{env}/reset/", {}),
                        ended=lambda reply: reply["done"],
                    )
                ),
                at_least(5.0),
            ),
        ]


ROW = Row(2, "v1", comparisons)
