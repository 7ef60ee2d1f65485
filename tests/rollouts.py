"""What tests of rollouts share: a server, talking to it, and rollouts made of single calls."""

from __future__ import annotations

import atexit
import http.client
import json
import math
import tempfile
import unittest
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import Space, spaces

from gym_http.spaces import describe, space_from_description
from gym_http.wire import as_json, from_msgpack, to_json, to_msgpack
from tests.support import ServerProcess

JSON, MSGPACK = "application/json", "application/msgpack"
MOST = 300  # steps of a rollout
FIELDS = (
    "observations", "rewards", "terminated", "truncated", "done", "final_observations", "actions",
    "infos",
)  # fmt: skip
NUMBERS = (spaces.Discrete, spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)
PROGRESS = ("steps", "episodes", "last_episode_return", "last_episode_length")


@lru_cache(maxsize=None)
def rollout_server() -> ServerProcess:
    modules = ("--import", "tests.custom_envs", "--import", "tests.rollout_envs")
    server = ServerProcess(*modules, "--max-rollout", str(MOST))
    atexit.register(server.stop)
    return server


def described(space: Space) -> Any:
    """As an environment's argument."""
    return as_json(describe(space))


def in_json(value: Any) -> Any:
    """What came over MessagePack as it comes over JSON."""
    if isinstance(value, dict):
        return {key: in_json(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, list):
        return [in_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else math.copysign(1e100, value)
    return value


class Refusal(Exception):
    """An answer that isn't 200."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.kind = status, error["code"]
        self.message = error["message"]


class Talk:
    """A connection to the server."""

    def __init__(self, server: ServerProcess | None = None) -> None:
        self._connection = http.client.HTTPConnection(*(server or rollout_server()).address)
        self.close = self._connection.close

    def raw(
        self, method: str, path: str, body: bytes = b"", sent: str = JSON, accept: str = JSON
    ) -> tuple[int, bytes]:
        headers = {"Content-Type": sent, "Accept": accept}
        self._connection.request(method, path, body, headers)
        reply = self._connection.getresponse()
        return reply.status, reply.read()

    def ask(
        self, method: str, path: str, value: Any = None, sent: str = MSGPACK, accept: str = MSGPACK
    ) -> Any:
        """The value that is answered. Raises Refusal."""
        body = b"" if value is None else (to_json if sent == JSON else to_msgpack)(value)
        status, got = self.raw(method, path, body, sent, accept)
        reply = json.loads(got) if accept == JSON else from_msgpack(got)
        if status != 200:
            raise Refusal(status, reply)
        return reply


class Played:
    """An instance, over MessagePack where nothing else is said."""

    def __init__(self, talk: Talk, env_id: str, **create: Any) -> None:
        made = talk.ask("POST", "/v1/envs/", {"env_id": env_id, **create})
        self.talk = talk
        self.path = f"/v1/envs/{made['instance_id']}/"
        self.facts = self.get("")

    def close(self) -> None:
        self.post("close/", {})

    def get(self, verb: str) -> Any:
        return self.talk.ask("GET", self.path + verb)

    def post(self, verb: str, body: Any, sent: str = MSGPACK, accept: str = MSGPACK) -> Any:
        return self.talk.ask("POST", self.path + verb, body, sent, accept)

    def reset(self, **body: Any) -> Any:
        return self.post("reset/", body)["observation"]

    def rollout(self, sent: str = MSGPACK, accept: str = MSGPACK, **body: Any) -> Any:
        return self.post("rollout/", body, sent, accept)

    @cached_property
    def observation_spaces(self) -> tuple[Space, Space]:
        """(of all environments together, of one)."""
        told = self.get("observation_space/")
        whole = space_from_description(told["info"])
        return whole, space_from_description(told["single"]) if "single" in told else whole

    @cached_property
    def action_space(self) -> Space:
        return space_from_description(self.get("action_space/")["info"])

    def progress(self) -> list[Any]:
        facts = self.get("")
        return [facts[name] for name in PROGRESS]

    def by_steps(
        self, actions: Any = None, sample: int | None = None, on_done: str = "stop"
    ) -> dict[str, Any]:
        """What a rollout with all fields answers, of single calls."""
        kept: dict[str, list[Any]] = {field: [] for field in FIELDS}
        dropped: list[str] = []
        for step in range(len(actions) if sample is None else sample):
            action = self.get("action_space/sample")["action"] if sample else actions[step]
            reply = self.post("step/", {"action": action})
            kept["actions"].append(action)
            kept["rewards"].append(reply["reward"])
            kept["infos"].append(reply["info"])
            for name in ("terminated", "truncated", "done"):
                kept[name].append(reply[name])
            kept["final_observations"] += self._last_ones(reply)
            dropped += [f"[{step}].{path}" for path in reply.get("info_dropped", ())]
            ended = np.any(reply["done"])
            if ended and on_done == "reset":
                reply = {**reply, **self._begin_anew(reply)}
            kept["observations"].append(reply["observation"])
            if ended and on_done == "stop":
                break
        space, single = self.observation_spaces
        is_array = isinstance(self.action_space, NUMBERS)
        actions = kept["actions"]
        return {
            "steps": step + 1,
            "observations": together(space, kept["observations"]),
            **{name: np.stack(kept[name]) for name in FIELDS[1:5]},
            "final_observations": together(single, kept["final_observations"]),
            "actions": together(self.action_space, actions) if is_array else actions,
            "infos": kept["infos"],
            **({"info_dropped": dropped} if dropped else {}),
        }

    def _last_ones(self, reply: dict[str, Any]) -> list[Any]:
        """The last observations of the episodes that a step ended."""
        if self.facts["num_envs"] is None:
            return [reply["observation"]] if reply["done"] else []
        ended = np.flatnonzero(reply["done"])
        if self.facts["autoreset"] == "same_step":
            return [reply["info"]["final_obs"][which] for which in ended]
        single = self.observation_spaces[1]
        return [part(single, reply["observation"], which) for which in ended]

    def begin(self, reply: dict[str, Any] | None, on_done: str) -> Any:
        """The reset that may be needed before the first rollout, and after that one; its
        observation, or None where there was none."""
        if reply is None:
            return self.reset()
        if on_done == "reset" or not reply["done"].any():
            return None
        if self.facts["autoreset"] in (None, "disabled"):
            return self._begin_anew({"done": reply["done"][-1]})["observation"]
        return None

    def _begin_anew(self, reply: dict[str, Any]) -> dict[str, Any]:
        """The reply to the reset that follows the end of an episode, where there is one."""
        if self.facts["num_envs"] is None:
            return self.post("reset/", {})
        if self.facts["autoreset"] == "disabled":
            return self.post("reset/", {"options": {"reset_mask": reply["done"].tolist()}})
        return {}


def stepped_in_windows(
    env_id: str, windows: tuple[int, ...], on_done: str, **create: Any
) -> list[tuple[Any, dict[str, Any], list[Any]]]:
    """Several rollouts of so many drawn actions, made of single calls: for each (what a reset
    before it answered, or None; the reply; the progress)."""
    talk, seen, reply = Talk(), [], None
    env = Played(talk, env_id, **create)
    for length in windows:
        first = env.begin(reply, on_done)
        reply = env.by_steps(sample=length, on_done=on_done)
        seen.append((first, reply, env.progress()))
    env.close()
    talk.close()
    return seen


def part(space: Space, batch: Any, which: int) -> Any:
    """Of a vector environment's observation, that of one."""
    if isinstance(space, spaces.Dict):
        return {key: part(inner, batch[key], which) for key, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return [part(inner, one, which) for inner, one in zip(space.spaces, batch, strict=True)]
    return batch[which]


def together(space: Space, elements: list[Any]) -> Any:
    """Elements as a reply has them: arrays of numbers, objects and lists of such, and lists."""
    if isinstance(space, spaces.Dict):
        return {
            key: together(inner, [element[key] for element in elements])
            for key, inner in space.spaces.items()
        }
    if isinstance(space, spaces.Tuple):
        columns = list(zip(*elements, strict=True)) or [()] * len(space.spaces)
        return [together(one, [*got]) for one, got in zip(space.spaces, columns, strict=True)]
    if isinstance(space, NUMBERS):
        return np.stack(elements) if elements else np.zeros((0, *space.shape), space.dtype)
    return elements


class Rollouts(unittest.TestCase):
    """Tests with a connection and a directory of their own."""

    def setUp(self) -> None:
        self.talk = Talk()
        self.addCleanup(self.talk.close)
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)

    def made(self, env_id: str, **create: Any) -> Played:
        """An instance until the test's end."""
        played = Played(self.talk, env_id, **create)
        self.addCleanup(played.close)
        return played
