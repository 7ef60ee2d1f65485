"""dm_env_rpc: a gRPC servicer as that of its example `catch_environment`, and its dm_env adaptor.
(A file called dm_env_rpc would hide the package from whoever runs it by its path.)"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import gymnasium
from dm_env_rpc.v1 import (
    connection,
    dm_env_adaptor,
    dm_env_rpc_pb2,
    dm_env_rpc_pb2_grpc,
    spec_manager,
)
from google.rpc import status_pb2

from benchmarks.measuring import p50_us
from benchmarks.peers import ENV_ID
from benchmarks.peers.answering import SERVE, answer, serving
from benchmarks.working import CallSteps

ACTIONS = {1: dm_env_rpc_pb2.TensorSpec(name="push", dtype=dm_env_rpc_pb2.INT64)}
OBSERVATIONS = {
    1: dm_env_rpc_pb2.TensorSpec(name="cart", shape=[4], dtype=dm_env_rpc_pb2.FLOAT),
    2: dm_env_rpc_pb2.TensorSpec(name="reward", dtype=dm_env_rpc_pb2.DOUBLE),
}
SPECS = dm_env_rpc_pb2.ActionObservationSpecs(actions=ACTIONS, observations=OBSERVATIONS)


class World:
    """One environment, by dm_env_rpc's requests: a method for each that is made of it."""

    def __init__(self) -> None:
        self._env = gymnasium.make(ENV_ID)
        self._actions = spec_manager.SpecManager(ACTIONS)
        self._observations = spec_manager.SpecManager(OBSERVATIONS)
        self._begins = True  # the step that follows a reset brings its observation

    def create_world(self, _: Any) -> Any:
        return dm_env_rpc_pb2.CreateWorldResponse(world_name=ENV_ID)

    def join_world(self, _: Any) -> Any:
        return dm_env_rpc_pb2.JoinWorldResponse(specs=SPECS)

    def reset(self, _: Any) -> Any:
        self._begins = True
        return dm_env_rpc_pb2.ResetResponse(specs=SPECS)

    def step(self, request: Any) -> Any:
        if self._begins:
            cart, reward, ended = self._env.reset()[0], 0.0, False
        else:
            action = self._actions.unpack(request.actions)["push"]
            cart, reward, terminated, truncated, _ = self._env.step(action)
            ended = terminated or truncated
        self._begins = ended
        response = dm_env_rpc_pb2.StepResponse(
            state=dm_env_rpc_pb2.TERMINATED if ended else dm_env_rpc_pb2.RUNNING
        )
        packed = self._observations.pack({"cart": cart, "reward": reward})
        for uid in request.requested_observations:
            response.observations[uid].CopyFrom(packed[uid])
        return response


class Servicer(dm_env_rpc_pb2_grpc.EnvironmentServicer):
    def Process(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        world = World()
        for request in requests:
            response = dm_env_rpc_pb2.EnvironmentResponse()
            kind = request.WhichOneof("payload")
            try:
                answered = getattr(world, kind)(getattr(request, kind))
                getattr(response, kind).CopyFrom(answered)
            except Exception as failure:
                response.error.CopyFrom(status_pb2.Status(message=repr(failure)))
            yield response


def serve() -> None:
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    dm_env_rpc_pb2_grpc.add_EnvironmentServicer_to_server(Servicer(), server)
    port = server.add_secure_port("127.0.0.1:0", grpc.local_server_credentials())
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


def measure(address: str) -> None:
    with connection.create_secure_channel_and_connect(address, timeout=60) as connected:
        env, _ = dm_env_adaptor.create_and_join_world(connected, {}, {})
        work = CallSteps(
            lambda action: env.step({"push": action}),
            [0, 1],
            reset=env.reset,
            ended=lambda timestep: timestep.last(),
        )
        answer(p50_us(work), __spec__.name)


if __name__ == "__main__":
    if SERVE in sys.argv:
        serve()
    else:
        with serving(__spec__.name) as port:
            measure(f"127.0.0.1:{port}")
