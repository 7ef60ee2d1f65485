"""Frames in the usual way: a bare WSGI callable on Granian that lists the frame and writes the list
with the standard library's json."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gymnasium

import benchmarks.fake_env
from benchmarks.baselines.on_granian import serve

env = gymnasium.make(benchmarks.fake_env.FRAMES, disable_env_checker=True)
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
    serve(f"{__spec__.name}:app")
