"""gym-http-api of 2016 in a few lines: a Flask route on Werkzeug's development server, which closes
the connection after each reply."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import gymnasium
from flask import Flask, jsonify, request
from werkzeug.serving import make_server

app = Flask(__name__)
envs: dict[str, gymnasium.Env] = {}


@app.post("/v1/envs/")
def create() -> Any:
    instance_id = uuid.uuid4().hex[:8]
    envs[instance_id] = gymnasium.make(request.get_json()["env_id"], disable_env_checker=True)
    return jsonify(instance_id=instance_id)


@app.post("/v1/envs/<instance_id>/reset/")
def reset(instance_id: str) -> Any:
    return jsonify(observation=envs[instance_id].reset()[0].tolist())


@app.post("/v1/envs/<instance_id>/step/")
def step(instance_id: str) -> Any:
    action = request.get_json()["action"]
    observation, reward, terminated, truncated, info = envs[instance_id].step(action)
    done = bool(terminated or truncated)
    return jsonify(observation=observation.tolist(), reward=reward, done=done, info=info)


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # as v1 did
    server = make_server("127.0.0.1", 0, app)  # one thread, as Flask had it then
    print(server.port, flush=True)
    server.serve_forever()
