"""OpenEnv: an `Environment` on its FastAPI app, and an `EnvClient` on a WebSocket.

Plain, it is used as its tutorials have it: `step`, which the server runs on a thread, and `.sync()`
of the client, whose event loop is on another. With the argument `async`, in the way that needs no
threads: `step_async`, and a client in the loop that measures.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import sys
import time
from contextlib import closing
from typing import Any

import gymnasium
import uvicorn
from openenv.core import EnvClient
from openenv.core.client_types import StepResult
from openenv.core.env_server import Action, Environment, Observation, State, create_app

from benchmarks.measuring import WARM_UP, p50_us
from benchmarks.peers import ENV_ID
from benchmarks.peers.answering import SERVE, answer, serving
from benchmarks.working import CallSteps

IS_ASYNC = "async" in sys.argv


class Push(Action):
    direction: int


class Cart(Observation):
    values: list[float]


class CartPole(Environment):
    def __init__(self) -> None:
        super().__init__()
        self._env = gymnasium.make(ENV_ID)

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Cart:
        return Cart(values=self._env.reset(seed=seed)[0].tolist())

    def step(self, action: Push, timeout_s: float | None = None, **_: Any) -> Cart:
        observation, reward, terminated, truncated, _ = self._env.step(action.direction)
        return Cart(values=observation.tolist(), reward=reward, done=terminated or truncated)

    @property
    def state(self) -> State:
        return State()


class AsyncCartPole(CartPole):
    async def step_async(self, action: Push, timeout_s: float | None = None, **_: Any) -> Cart:
        return self.step(action)


class CartPoleClient(EnvClient):
    def _step_payload(self, action: Push) -> dict[str, Any]:
        return {"direction": action.direction}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult:
        observation = Cart(**payload["observation"])
        return StepResult(observation, payload["reward"], payload["done"])

    def _parse_state(self, payload: dict[str, Any]) -> State:
        return State(**payload)


def serve() -> None:
    app = create_app(AsyncCartPole if IS_ASYNC else CartPole, Push, Cart, env_name=ENV_ID)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listening])


def measure(url: str) -> None:
    with CartPoleClient(url).sync() as client:
        work = CallSteps(
            lambda direction: client.step(Push(direction=direction)),
            [0, 1],
            reset=client.reset,
            ended=lambda result: result.done,
        )
        answer(p50_us(work), __spec__.name)


def measure_async(url: str) -> None:
    async def round_us(seconds: float) -> float:
        """As benchmarks/measuring.py does it, where no loop needs to be entered for a step."""
        times: list[float] = []
        deadline = time.perf_counter() + seconds
        while len(times) <= WARM_UP or time.perf_counter() < deadline:
            began = time.perf_counter()
            result = await client.step(Push(direction=len(times) % 2))
            times.append(time.perf_counter() - began)
            if result.done:
                await client.reset()
        return statistics.median(times[WARM_UP:]) * 1e6

    client = CartPoleClient(url)
    with closing(asyncio.new_event_loop()) as loop:
        run = loop.run_until_complete
        run(client.connect())
        run(client.reset())
        answer(lambda seconds: run(round_us(seconds)), __spec__.name)
        run(client.close())


if __name__ == "__main__":
    if SERVE in sys.argv:
        serve()
    else:
        with serving(__spec__.name) as port:
            (measure_async if IS_ASYNC else measure)(f"http://127.0.0.1:{port}")
