"""A thin client of gym-http: one method an endpoint. This file alone, with `requests`, is enough.

    from gym_http_client import Client

    client = Client("http://127.0.0.1:5000")
    instance_id = client.env_create("CartPole-v1")
    observation = client.env_reset(instance_id)
    observation, reward, done, info = client.env_step(instance_id, 1)
    client.env_close(instance_id)

Failures are a ServerError where the server answered with one, and the exceptions of `requests`
where it didn't answer.
"""

from __future__ import annotations

import json
import os
import warnings
from typing import Any
from urllib.parse import quote

import requests

__all__ = ["Client", "ServerError"]


class ServerError(Exception):
    """The server refused or failed. `code` says which way; `message` says it in words."""

    def __init__(
        self,
        message: str,
        status_code: int | None = None,
        code: str | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.message} ({self.detail})" if self.detail else self.message


class Client:
    """One server. Not for several threads at once: give each its own.

    remote_base: the server's URL, such as "http://127.0.0.1:5000".
    token: sent as `Authorization: Bearer`, for servers that ask for one.
    timeout: seconds to wait for an answer, or a pair for connecting and for answering.
    compress: ask for compressed replies, which pays where the server is far away.

    Proxies and certificates are read from the environment once, here.
    """

    def __init__(
        self,
        remote_base: str,
        token: str | None = None,
        timeout: float | tuple[float, float] = 60.0,
        *,
        compress: bool = False,
    ) -> None:
        if not remote_base.startswith(("http://", "https://")):
            raise ValueError(f"a server's URL is http://… or https://…, not {remote_base!r}")
        self.remote_base = remote_base.rstrip("/")
        self.timeout = timeout
        self.session = requests.Session()
        found = self.session.merge_environment_settings(self.remote_base, {}, None, None, None)
        self.session.proxies, self.session.verify = found["proxies"], found["verify"]
        self.session.trust_env = False
        self.session.headers["Accept"] = self._content_type
        if not compress:
            self.session.headers["Accept-Encoding"] = "identity"
        if token is not None:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Instances live on; `env_close` ends one."""
        self.session.close()

    # ---- instances

    def env_create(
        self,
        env_id: str,
        *,
        seed: int | None = None,
        engine: str | None = None,
        kwargs: dict[str, Any] | None = None,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        num_envs: int | None = None,
        vectorization: str | None = None,
        autoreset: str | None = None,
    ) -> str:
        """Make an environment and return its instance_id.

        seed: for the first reset, and for `env_action_space_sample`.
        engine: "gymnasium" or "gym"; None takes the one that knows the id.
        kwargs: for the environment's constructor.
        num_envs: make a vector environment, whose resets and steps carry so many observations,
            rewards and ends; None makes a single one.
        vectorization: "sync", "async" (a process each), "native" (the environment's own vector
            form), or "auto".
        autoreset: "next_step", "same_step" or "disabled".
        Warns with a UserWarning where another version serves a retired id.
        """
        reply = self._post(
            "/v1/envs/",
            {
                "env_id": env_id,
                "seed": seed,
                "engine": engine,
                "kwargs": kwargs,
                "render_mode": render_mode,
                "max_episode_steps": max_episode_steps,
                "num_envs": num_envs,
                "vectorization": vectorization,
                "autoreset": autoreset,
            },
        )
        if "warning" in reply:
            warnings.warn(reply["warning"], stacklevel=2)
        return reply["instance_id"]

    def env_list_all(self) -> dict[str, str]:
        """Every instance of the server: instance_id -> env_id as it was asked for."""
        return self._get("/v1/envs/")["all_envs"]

    def env_info(self, instance_id: str) -> dict[str, Any]:
        """What the server knows of an instance: env_id, engine, steps, episodes, …"""
        return self._get(self._env(instance_id))

    def env_close(self, instance_id: str) -> None:
        """End an instance, and the recording on it."""
        self._post(self._env(instance_id, "close/"), {})

    # ---- an environment's life

    def env_reset(
        self,
        instance_id: str,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
        with_info: bool = False,
    ) -> Any:
        """Begin an episode. Returns the observation; with_info, [observation, info].

        seed: a vector environment also takes a list of num_envs.
        """
        reply = self._post(self._env(instance_id, "reset/"), {"seed": seed, "options": options})
        return [reply["observation"], reply["info"]] if with_info else reply["observation"]

    def env_step(
        self,
        instance_id: str,
        action: Any,
        render: bool = False,
        *,
        with_truncated: bool = False,
    ) -> list[Any]:
        """Advance by one step. Returns [observation, reward, done, info].

        action: plain values, or NumPy arrays and scalars; of a vector environment, all actions.
        with_truncated: return Gymnasium's [observation, reward, terminated, truncated, info].
        """
        reply = self._post(self._env(instance_id, "step/"), {"action": action, "render": render})
        ends = ("terminated", "truncated") if with_truncated else ("done",)
        return [reply[key] for key in ("observation", "reward", *ends, "info")]

    def env_render(self, instance_id: str) -> bytes | str:
        """The present frame: the bytes of a PNG, or the text of a text renderer."""
        response = self._send(
            "GET", self._env(instance_id, "render/"), headers={"Accept": "image/png, text/plain"}
        )
        is_text = response.headers.get("Content-Type", "").startswith("text/")
        return response.content.decode() if is_text else response.content

    # ---- spaces

    def env_action_space_info(self, instance_id: str) -> dict[str, Any]:
        """The action space: {"name": "Discrete", "n": …}, {"name": "Box", "shape": …}, …"""
        return self._get(self._env(instance_id, "action_space/"))["info"]

    def env_action_space_sample(self, instance_id: str) -> Any:
        """A random action."""
        return self._get(self._env(instance_id, "action_space/sample"))["action"]

    def env_action_space_contains(self, instance_id: str, x: Any) -> bool:
        """Whether x is an action."""
        value = quote(_json(x), safe="")
        return self._get(self._env(instance_id, f"action_space/contains/{value}"))["member"]

    def env_observation_space_info(self, instance_id: str) -> dict[str, Any]:
        """The observation space, described as the action space is."""
        return self._get(self._env(instance_id, "observation_space/"))["info"]

    def env_observation_space_contains(self, instance_id: str, params: dict[str, Any]) -> bool:
        """Whether {"value": x} is an observation; of other keys, whether they are the space's."""
        path = self._env(instance_id, "observation_space/contains")
        return self._post(path, params, keep_none=True)["member"]

    # ---- recordings and scores

    def env_monitor_start(
        self,
        instance_id: str,
        directory: str,
        force: bool = False,
        resume: bool = False,
        video_callable: bool | int = False,
    ) -> None:
        """Record episodes into a directory of the server, from the next reset on.

        force: delete a recording that is there. resume: add to it.
        video_callable: film no episode, those of Gym's schedule (True), or every N-th.
        """
        self._post(
            self._env(instance_id, "monitor/start/"),
            {
                "directory": os.fspath(directory),
                "force": force,
                "resume": resume,
                "video_callable": video_callable,
            },
        )

    def env_monitor_close(self, instance_id: str) -> None:
        """End the recording. The instance goes on."""
        self._post(self._env(instance_id, "monitor/close/"), {})

    def upload(
        self, training_dir: str, algorithm_id: str | None = None, api_key: str | None = None
    ) -> None:
        """Put the recordings in a directory of the server on its scoreboard.

        api_key: names the uploader; any text that you keep to yourself. By default that of the
        variables GYM_HTTP_API_KEY or OPENAI_GYM_API_KEY.
        """
        if not api_key:
            api_key = os.environ.get("GYM_HTTP_API_KEY") or os.environ.get("OPENAI_GYM_API_KEY")
        self._post(
            "/v1/upload/",
            {
                "training_dir": os.fspath(training_dir),
                "algorithm_id": algorithm_id,
                "api_key": api_key,
            },
        )

    def scoreboard(self, env_id: str | None = None) -> list[dict[str, Any]]:
        """The scores of each environment, best first."""
        return self._get("/v1/scoreboard/", {"env_id": env_id})["entries"]

    # ---- the server

    def registry(self, engine: str | None = None) -> list[dict[str, Any]]:
        """The environments that `env_create` can make."""
        return self._get("/v1/registry/", {"engine": engine})["envs"]

    def shutdown_server(self) -> None:
        """Close every environment and end the server."""
        self._send_body("/v1/shutdown/", {})

    # ---- the funnel, and the encoding that goes through it

    _content_type = "application/json"

    def _dump(self, value: Any) -> str | bytes:
        return _json(value)

    def _load(self, response: requests.Response) -> Any:
        return response.json()

    def _env(self, instance_id: str, rest: str = "") -> str:
        return f"/v1/envs/{quote(str(instance_id), safe='')}/{rest}"

    def _get(self, path: str, query: dict[str, Any] | None = None) -> Any:
        return self._answer(self._send("GET", path, params=query))

    def _post(self, path: str, body: dict[str, Any], keep_none: bool = False) -> Any:
        given = body if keep_none else {k: v for k, v in body.items() if v is not None}
        return self._answer(self._send_body(path, given))

    def _send_body(self, path: str, body: dict[str, Any]) -> requests.Response:
        headers = {"Content-Type": self._content_type}
        return self._send("POST", path, data=self._dump(body), headers=headers)

    def _answer(self, response: requests.Response) -> Any:
        try:
            return self._load(response)
        except ValueError as failure:  # some other server's page, say
            kind = response.headers.get("Content-Type", "nothing")
            raise ServerError(
                f"{response.url} answers with {kind}, not as a gym-http server does",
                response.status_code,
            ) from failure

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        response = self.session.request(
            method, self.remote_base + path, timeout=self.timeout, **options
        )
        if not response.ok:
            raise self._error(response)
        return response

    def _error(self, response: requests.Response) -> ServerError:
        is_ours = response.headers.get("Content-Type", "").startswith(self._content_type)
        try:
            error = self._load(response) if is_ours else response.json()
            return ServerError(
                error["message"], response.status_code, error.get("code"), error.get("detail")
            )
        except (ValueError, KeyError, TypeError, AttributeError):  # a proxy's page, say
            return ServerError(
                f"{response.status_code} {response.reason}: {response.text[:200]}",
                response.status_code,
            )


def _json(value: Any) -> str:
    """`value` as JSON. Raises ValueError for NaN and Infinity, which JSON doesn't have."""
    return json.dumps(value, default=_plain, allow_nan=False)


def _plain(value: Any) -> Any:
    """What `json` doesn't know: NumPy's arrays and scalars, without importing NumPy."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r} has no JSON form")
