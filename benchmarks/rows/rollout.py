"""Many steps of a vector environment in one request, against as many in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

from benchmarks.measuring import Comparison, Row, at_least, per_second
from benchmarks.raw import MSGPACK, RawHTTP
from benchmarks.rows.vector import ENV_ID, NUM_ENVS, actions, by_client, in_process
from benchmarks.servers import gym_http
from benchmarks.working import CallSteps, HTTPSteps
from gym_http import wire
from gym_http.remote.connection import MessagePackClient

STEPS = 100  # a request


@contextmanager
def comparisons() -> Iterator[list[Comparison]]:
    with (
        gym_http() as server,
        MessagePackClient(server.url) as client,
        closing(RawHTTP(server.address)) as http,
        closing(in_process()) as envs,
    ):
        raw, bundled = (
            client.env_create(ENV_ID, num_envs=NUM_ENVS, vectorization="native") for _ in range(2)
        )
        taken = list(actions(4, STEPS))
        bodies = [wire.to_msgpack({"actions": each, "on_done": "reset"}) for each in taken]

        def step_all(actions: Any) -> None:
            for action in actions:
                envs.step(action)

        roll_out = partial(client.env_rollout, on_done="reset")
        each = STEPS * NUM_ENVS
        theirs = per_second(CallSteps(step_all, taken, reset=envs.reset), each)
        ours = HTTPSteps(http, [raw], bodies, content_type=MSGPACK, verb="rollout")
        yield [
            Comparison(
                f"rollout, {NUM_ENVS} native CartPoles × {STEPS}",
                "the same in process",
                "steps/s",
                per_second(ours, each),
                theirs,
                at_least(0.9),
            ),
            by_client(roll_out, client, bundled, taken, each, theirs),
        ]


ROW = Row(6, "rollout", comparisons)
