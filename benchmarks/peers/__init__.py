"""Other ways of stepping an environment in another process, on the same work: CartPole-v1, one
client. Each is a program for a Python environment of its own, and used as its documentation has it.
"""

from __future__ import annotations

from dataclasses import dataclass

ENV_ID = "CartPole-v1"


@dataclass(frozen=True)
class Peer:
    """`python -m benchmarks.peers.MODULE ARGUMENTS`, where REQUIREMENTS are installed.

    packages: whose versions are told, beside those that all have.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    requirements: tuple[str, ...]
    packages: tuple[str, ...]


# The versions that these programs were written for: what is newer may have other interfaces.
_OPENENV = (("openenv-core==0.3.0",), ("openenv-core", "uvicorn", "websockets"))
_DM_ENV_RPC = (("dm-env-rpc==1.1.7",), ("dm-env-rpc", "grpcio", "protobuf"))
_RAY = (("ray==2.60.0",), ("ray",))

PEERS = (
    Peer("OpenEnv, step", "openenv_websocket", (), *_OPENENV),
    Peer("OpenEnv, step_async", "openenv_websocket", ("async",), *_OPENENV),
    Peer("dm_env_rpc", "dm_env_rpc_stream", (), *_DM_ENV_RPC),
    Peer("Ray, actor", "ray_actor", (), *_RAY),
    Peer("Ray, compiled graph", "ray_actor", ("compiled",), *_RAY),
)
