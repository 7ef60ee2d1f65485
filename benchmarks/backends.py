"""What a step, a rollout's step and a create cost on each backend, against `local`.

    python -m benchmarks.backends              ray as well, where it is installed

CartPole through the Python client, all on one server, in turns; medians of the rounds.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable

from benchmarks import machine
from benchmarks.servers import gym_http
from gym_http_client import Client

ROUNDS = 9
STEPS = 500
ROLLOUT = 1000
CREATES = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    backends = ["local", "process"] + ["ray"] * bool(importlib.util.find_spec("ray"))
    with gym_http() as server, Client(_url(*server.address), timeout=120) as client:
        taken = {backend: Taken(client, backend) for backend in backends}
        for _ in range(rounds):
            for one in taken.values():
                one.round()
        print(", ".join(f"{name} {value}" for name, value in machine.facts().items()))
        local = taken["local"].medians()
        print(f"{'':10}{'step':>16}{'of a rollout':>18}{'create':>18}")
        for backend, one in taken.items():
            told = [
                f"{seconds * 1e6:9.0f} µs {seconds / before:5.2f}×"
                for seconds, before in zip(one.medians(), local, strict=True)
            ]
            print(f"{backend:10}" + "  ".join(told))


def _url(host: str, port: int) -> str:
    return f"http://{host}:{port}"


class Taken:
    """Seconds, of one backend."""

    def __init__(self, client: Client, backend: str) -> None:
        self._client = client
        self._backend = backend
        self._instance_id = self._create()
        self._seconds: list[tuple[float, float, float]] = []

    def round(self) -> None:
        made: list[str] = []
        create = timed(lambda: made.append(self._create()), CREATES)
        for instance_id in made:
            self._client.env_close(instance_id)
        step = timed(self._step, STEPS)
        rollout = timed(self._rollout, 1) / ROLLOUT
        self._seconds.append((step, rollout, create))

    def medians(self) -> list[float]:
        return [statistics.median(column) for column in zip(*self._seconds, strict=True)]

    def _create(self) -> str:
        instance_id = self._client.env_create("CartPole-v1", seed=1, backend=self._backend)
        self._client.env_reset(instance_id)
        return instance_id

    def _step(self) -> None:
        if self._client.env_step(self._instance_id, 1)[2]:
            self._client.env_reset(self._instance_id)

    def _rollout(self) -> None:
        self._client.env_reset(self._instance_id)
        self._client.env_rollout(self._instance_id, sample=ROLLOUT, on_done="reset")
        self._client.env_reset(self._instance_id)


def timed(call: Callable[[], object], times: int) -> float:
    """Seconds for each."""
    begun = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - begun) / times


if __name__ == "__main__":
    main()
