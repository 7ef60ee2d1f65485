#!/usr/bin/env python3
"""A random agent on a running server: 100 episodes, recorded, then scored.

python gym_http_server.py &
python example_agent.py
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile

import requests
from tqdm import trange

from gym_http_client import Client, ServerError

ALGORITHM_ID = "random-agent"


def play(client: Client, instance_id: str, episodes: int) -> None:
    """Act at random until `episodes` episodes have ended."""
    for _ in trange(episodes, unit="episode"):
        client.env_reset(instance_id)
        done = False
        while not done:
            action = client.env_action_space_sample(instance_id)
            _observation, _reward, done, _info = client.env_step(instance_id, action)


def run(url: str, token: str | None, env_id: str, episodes: int, directory: str) -> None:
    """Play with the monitor on, upload, and print the line that the scoreboard got."""
    with Client(url, token) as client:
        instance_id = client.env_create(env_id)
        try:
            client.env_monitor_start(instance_id, directory, force=True)
            play(client, instance_id, episodes)
        finally:
            client.env_close(instance_id)  # which ends the recording, too
        api_key = os.environ.get("GYM_HTTP_API_KEY") or "example"
        client.upload(directory, algorithm_id=ALGORITHM_ID, api_key=api_key)
        entries = client.scoreboard()
    mine = max(
        (entry for entry in entries if entry["algorithm_id"] == ALGORITHM_ID),
        key=lambda entry: entry["entry_id"],
    )
    print(line(mine))


def line(entry: dict) -> str:
    """One line of the scoreboard."""
    window = entry["trials"]
    if entry["mean"] is None:
        score = f"no score: that takes {window} episodes"
    else:
        score = f"best {window}-episode mean {entry['mean']:.2f} ± {entry['error']:.2f}"
    return (
        f"{entry['env_id']}: {score}, {entry['number_episodes']} episodes, "
        f"{entry['number_timesteps']} steps, by {entry['algorithm_id']} ({entry['uploader']})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="A random agent on a running server.")
    parser.add_argument("--url", default="http://127.0.0.1:5000", help="the server's")
    parser.add_argument("--token", help="the server's; by default the variable GYM_HTTP_TOKEN")
    parser.add_argument("--env-id", default="CartPole-v1")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument(
        "--directory",
        help="where the server records; by default a temporary directory, which is deleted",
    )
    options = parser.parse_args()
    try:
        if options.directory:
            run(options.url, options.token, options.env_id, options.episodes, options.directory)
        else:
            with tempfile.TemporaryDirectory(prefix="random-agent-") as directory:
                run(options.url, options.token, options.env_id, options.episodes, directory)
    except requests.ConnectionError:
        sys.exit(f"nothing answers at {options.url}; is the server running? (make serve)")
    except ServerError as error:
        sys.exit(f"the server refused: {error}")


if __name__ == "__main__":
    main()
