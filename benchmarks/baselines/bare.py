"""The least that HTTP takes: `python -m benchmarks.baselines.bare ENV_ID [NUM_ENVS]`.

A WSGI callable on Granian that knows one environment, and checks nothing: no path, no instance, no
action, no outcome. What a server takes beyond that is its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import msgspec
import numpy as np

import benchmarks.fake_env  # noqa: F401 - registers environments
from benchmarks.baselines.on_granian import serve
from benchmarks.raw import MSGPACK

NAME = "BENCHMARKS_BARE"  # the worker is another process


def app() -> Callable[..., list[bytes]]:
    env_id, num_envs = os.environ[NAME].split()
    env: Any = gymnasium.make(env_id, disable_env_checker=True)
    if int(num_envs):
        env = gymnasium.make_vec(env_id, int(num_envs), vectorization_mode="vector_entry_point")
    env.reset()
    from_json, to_json = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    from_msgpack, to_msgpack = msgspec.msgpack.Decoder().decode, msgspec.msgpack.Encoder().encode

    def packed(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        return {"dtype": value.dtype.str, "shape": value.shape, "data": value.tobytes()}

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        body = environ["wsgi.input"].read()
        if environ["PATH_INFO"].endswith("reset/"):
            env.reset()
            sent = b"{}"
        else:
            packs = environ["CONTENT_TYPE"] == MSGPACK
            action = (from_msgpack if packs else from_json)(body)["action"]
            if isinstance(action, dict):
                action = np.frombuffer(action["data"], action["dtype"])
            seen, reward, terminated, truncated, info = env.step(action)
            turn = packed if packs else np.ndarray.tolist
            reply = {
                "observation": turn(seen),
                "reward": packed(reward),
                "done": packed(terminated | truncated),
                "info": info,
                "terminated": packed(terminated),
                "truncated": packed(truncated),
            }
            sent = to_msgpack(reply) if packs else to_json(reply)
        kind = environ.get("CONTENT_TYPE", "")
        start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(sent)))])
        return [sent]

    return answer


if __name__ == "__main__":
    os.environ[NAME] = f"{sys.argv[1]} {sys.argv[2] if len(sys.argv) > 2 else 0}"
    serve("benchmarks.baselines.bare_app:app")
