"""Ray: an environment as an actor, in a process of its own, whose `step` is called remotely. With
the argument `compiled`, by a compiled graph, which Ray has for calls made over and over."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when it is imported

import gymnasium
import ray
from ray.dag import InputNode

from benchmarks.measuring import p50_us
from benchmarks.peers import ENV_ID
from benchmarks.peers.answering import answer
from benchmarks.working import CallSteps

STORE_BYTES = 100 * 1024 * 1024


@ray.remote
class CartPole:
    def __init__(self) -> None:
        self._env = gymnasium.make(ENV_ID)

    def reset(self) -> Any:
        return self._env.reset()

    def step(self, action: int) -> Any:
        return self._env.step(action)

    def step_or_reset(self, action: int | None) -> Any:
        """For a compiled graph, beside which an actor answers no other call."""
        return self.reset() if action is None else self.step(action)


def measure(actor: Any) -> None:
    work = CallSteps(
        lambda action: ray.get(actor.step.remote(action)),
        [0, 1],
        reset=lambda: ray.get(actor.reset.remote()),
        ended=lambda returned: returned[2] or returned[3],
    )
    answer(p50_us(work), __spec__.name)


def measure_compiled(actor: Any) -> None:
    def round_us(seconds: float) -> float:
        """Compiles the graph for each round: its actor waits for calls without ever sleeping, and
        would share the core with the other side's round."""
        with InputNode() as action:
            graph = actor.step_or_reset.bind(action).experimental_compile()
        work = CallSteps(
            lambda action: ray.get(graph.execute(action)),
            [0, 1],
            reset=lambda: ray.get(graph.execute(None)),
            ended=lambda returned: returned[2] or returned[3],
        )
        try:
            return p50_us(work)(seconds)
        finally:
            graph.teardown()

    answer(round_us, __spec__.name)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as scratch:
        ray.init(
            num_cpus=1,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=STORE_BYTES,
            _temp_dir=scratch,
        )
        (measure_compiled if "compiled" in sys.argv else measure)(CartPole.remote())
        ray.shutdown()
