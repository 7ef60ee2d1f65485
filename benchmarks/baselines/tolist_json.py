"""Frames in the usual way: a bare WSGI callable on Granian that lists the frame and writes the list
with the standard library's json."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import gymnasium
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

import benchmarks.fake_env

env = gymnasium.make(benchmarks.fake_env.FRAMES)
env.reset()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    action = json.loads(environ["wsgi.input"].read())["action"]
    frame, reward, terminated, truncated, info = env.step(action)
    reply = {
        "observation": frame.tolist(),
        "reward": reward,
        "done": terminated or truncated,
        "info": info,
        "terminated": terminated,
        "truncated": truncated,
    }
    body = json.dumps(reply).encode()
    head = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", head)
    return [body]


if __name__ == "__main__":
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    print(port, flush=True)
    Granian(
        f"{__spec__.name}:app",
        address="127.0.0.1",
        port=port,
        interface=Interfaces.WSGI,
        websockets=False,
        log_level=LogLevels.error,
    ).serve()
