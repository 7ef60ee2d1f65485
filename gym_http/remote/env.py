"""A single environment on a server."""

from __future__ import annotations

from typing import Any

import gymnasium

from gym_http.remote.connection import observed
from gym_http.remote.spec import Specified, metadata_of


class RemoteEnv(Specified, gymnasium.Env[Any, Any]):  # type: ignore[misc]
    """An environment that lives on a server. Everything in it does: its time limit, its random
    numbers and its frames. Source of the methods: gymnasium.Env.
    """

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 30}

    def __init__(
        self,
        url: str,
        env_id: str,
        *,
        render_mode: str | None = None,
        engine: str | None = None,
        kwargs: dict[str, Any] | None = None,
        max_episode_steps: int | None = None,
        time_limit: int | None = None,
        backend: str | None = None,
        resources: dict[str, float] | None = None,
        step_timeout_s: float | None = None,
        make_timeout_s: float | None = None,
        lease_s: float | None = None,
        token: str | None = None,
        timeout: float | tuple[float, float] = 60.0,
        compress: bool = False,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
    ) -> None:
        """Make the environment `env_id` on the server at `url`.

        render_mode: None takes the server's choice, "rgb_array" where the environment has it.
        engine, kwargs, max_episode_steps: as in gym_http_client.Client.env_create.
        time_limit: max_episode_steps by a name that gymnasium.make passes on; that one it keeps for
            a limit of its own, on this side.
        backend, resources, step_timeout_s, make_timeout_s, lease_s: where it lives and how long it
            may take and be idle, as in env_create.
        token, timeout, compress, verify, cert: as in gym_http_client.Client. `env.spec`, which
            makes another one, has the token; where it comes from the variable GYM_HTTP_TOKEN, it
            hasn't.

        Raises gymnasium.error.UnregisteredEnv, DependencyNotInstalled, Error.
        """
        self._open(
            url,
            token,
            timeout,
            compress,
            verify,
            cert,
            time_limit=time_limit or max_episode_steps,
            env_id=env_id,
            engine=engine,
            kwargs=kwargs,
            render_mode=render_mode,
            backend=backend,
            resources=resources,
            step_timeout_s=step_timeout_s,
            make_timeout_s=make_timeout_s,
            lease_s=lease_s,
        )
        self.action_space, _ = self._connection.action_spaces
        self.observation_space, _ = self._connection.observation_spaces
        self.metadata = metadata_of(self.remote)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        observation, info = self._connection.reset(seed, options)
        return observed(self.observation_space, observation), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self._connection.step(
            self.action_space, action
        )
        return observed(self.observation_space, observation), reward, terminated, truncated, info

    def render(self) -> Any:
        """(height, width, 3) uint8, or the text of a text renderer; None where there is neither."""
        return None if self.render_mode is None else self._connection.frame()

    def close(self) -> None:
        self._connection.close()

    def __str__(self) -> str:
        return f"<RemoteEnv {self._connection}>"

    __repr__ = __str__
