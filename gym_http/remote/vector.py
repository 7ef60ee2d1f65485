"""Many environments on a server, stepped as one."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from gym_http.remote.connection import observed
from gym_http.remote.spec import Specified, metadata_of


class RemoteVectorEnv(Specified, VectorEnv[Any, Any, np.ndarray]):  # type: ignore[misc]
    """A vector environment that lives on a server: one request a step, however many there are.

    Source of the methods: gymnasium.vector.VectorEnv.
    """

    metadata = {"render_modes": ["rgb_array", "ansi"], "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self,
        url: str,
        env_id: str,
        num_envs: int = 1,
        *,
        vectorization: str | None = None,
        autoreset: str | AutoresetMode | None = None,
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
        """Make `num_envs` environments `env_id` on the server at `url`.

        vectorization: "sync", "async", "native" or "auto"; autoreset: "next_step", "same_step" or
        "disabled" (or Gymnasium's AutoresetMode), both as in gym_http_client.Client.env_create. The
        rest is as in RemoteEnv.
        """
        if isinstance(autoreset, AutoresetMode):
            autoreset = autoreset.name.lower()
        self._open(
            url,
            token,
            timeout,
            compress,
            verify,
            cert,
            time_limit=time_limit or max_episode_steps,
            env_id=env_id,
            num_envs=num_envs,
            vectorization=vectorization,
            autoreset=autoreset,
            engine=engine,
            kwargs=kwargs,
            render_mode=render_mode,
            backend=backend,
            resources=resources,
            step_timeout_s=step_timeout_s,
            make_timeout_s=make_timeout_s,
            lease_s=lease_s,
        )
        self.num_envs = self.remote["num_envs"]
        self.action_space, self.single_action_space = self._connection.action_spaces
        self.observation_space, self.single_observation_space = self._connection.observation_spaces
        mode = AutoresetMode[self.remote["autoreset"].upper()]
        self.metadata = {**metadata_of(self.remote), "autoreset_mode": mode}

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """seed: an integer, or a list of num_envs. options: "reset_mask", a boolean array of
        num_envs, resets only those; it's how "disabled" goes on."""
        super().reset(seed=seed if isinstance(seed, int) else None)
        observation, info = self._connection.reset(seed, options)
        return observed(self.observation_space, observation), self._infos(info)

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        observation, rewards, terminated, truncated, info = self._connection.step(
            self.action_space, actions
        )
        observations = observed(self.observation_space, observation)
        return observations, rewards, terminated, truncated, self._infos(info)

    def render(self) -> tuple[Any, ...] | None:
        """A frame of each."""
        return None if self.render_mode is None else tuple(self._connection.frame())

    def close_extras(self, **kwargs: Any) -> None:
        if hasattr(self, "_connection"):  # which it hasn't where making it failed
            self._connection.close()

    def __str__(self) -> str:
        return f"<RemoteVectorEnv {self.num_envs} x {self._connection}>"

    __repr__ = __str__

    def _infos(self, info: dict[str, Any]) -> dict[str, Any]:
        """`info` with its lists of num_envs as the object arrays that they were."""
        restored: dict[str, Any] = {}
        for key, value in info.items():
            if isinstance(value, dict):
                restored[key] = self._infos(value)
            elif f"_{key}" in info and isinstance(value, list) and len(value) == self.num_envs:
                column = np.full(self.num_envs, None, dtype=object)
                for which, one in enumerate(value):
                    is_last = key == "final_obs" and one is not None
                    column[which] = observed(self.single_observation_space, one) if is_last else one
                restored[key] = column
            else:
                restored[key] = value
        return restored
