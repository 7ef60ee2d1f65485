"""A vector environment's steps, against the same one in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import gymnasium
import numpy as np

from benchmarks.measuring import Comparison, Round, Row, at_least, per_second
from benchmarks.raw import MSGPACK, RawHTTP
from benchmarks.servers import baseline, gym_http
from benchmarks.working import CallSteps, HTTPSteps
from gym_http import wire
from gym_http.remote.connection import MessagePackClient

ENV_ID = "CartPole-v1"
NUM_ENVS = 64


def actions(*shape: int) -> np.ndarray:
    """Random ones, for NUM_ENVS each: (*shape, NUM_ENVS)."""
    return np.random.default_rng(0).integers(2, size=(*shape, NUM_ENVS))


@contextmanager
def comparisons() -> Iterator[list[Comparison]]:
    with (
        gym_http() as server,
        baseline("bare", ENV_ID, str(NUM_ENVS)) as bare,
        MessagePackClient(server.url) as client,
        closing(RawHTTP(server.address)) as http,
        closing(RawHTTP(bare.address)) as bare_http,
        closing(in_process()) as envs,
    ):
        raw, bundled = (
            client.env_create(ENV_ID, num_envs=NUM_ENVS, vectorization="native") for _ in range(2)
        )
        taken = list(actions(16))
        bodies = [wire.to_msgpack({"action": action}) for action in taken]
        theirs = per_second(CallSteps(envs.step, taken, reset=envs.reset), NUM_ENVS)
        yield [
            Comparison(
                f"{NUM_ENVS} native CartPoles, MessagePack",
                "the same in process",
                "steps/s",
                per_second(HTTPSteps(http, [raw], bodies, content_type=MSGPACK), NUM_ENVS),
                theirs,
                at_least(0.45, reach=0.6),
            ),
            Comparison(
                "… by a bare callable on Granian",
                "the same in process",
                "steps/s",
                per_second(HTTPSteps(bare_http, ["bare"], bodies, content_type=MSGPACK), NUM_ENVS),
                theirs,
            ),
            by_client(client.env_step, client, bundled, taken, NUM_ENVS, theirs),
        ]


def by_client(
    call: Callable[..., Any],
    client: MessagePackClient,
    instance_id: str,
    taken: Sequence[Any],
    each: int,
    theirs: Round,
) -> Comparison:
    """The same by a method of the client, which makes `each` steps of one of `taken`."""
    work = CallSteps(
        lambda actions: call(instance_id, actions),
        taken,
        reset=lambda: client.env_reset(instance_id),
    )
    return Comparison(
        "… by the bundled MessagePack client",
        "the same in process",
        "steps/s",
        per_second(work, each),
        theirs,
    )


def in_process() -> gymnasium.vector.VectorEnv:
    return gymnasium.make_vec(ENV_ID, NUM_ENVS, vectorization_mode="vector_entry_point")


ROW = Row(5, "vector", comparisons)
