"""What an environment on a server says of itself."""

from __future__ import annotations

import copy
import weakref
from typing import Any

from gymnasium.envs.registration import EnvSpec

from gym_http.remote.connection import Connection

ENV_ID = "http/Remote-v0"


class Specified:
    """Has the instance that it is made of, and the spec that makes such an environment anew, which
    says of it what the remote one's does.

    remote: Client.env_info of the instance.
    """

    remote: dict[str, Any]
    render_mode: str | None
    _connection: Connection
    _spec: EnvSpec

    def _open(
        self,
        url: str,
        token: str | None,
        timeout: float | tuple[float, float],
        compress: bool,
        verify: bool | str | None,
        cert: str | tuple[str, str] | None,
        *,
        time_limit: int | None,
        **create: Any,
    ) -> None:
        """Make the instance. create: further arguments of Client.env_create."""
        connection = Connection(
            url, token, timeout, compress, verify, cert, max_episode_steps=time_limit, **create
        )
        weakref.finalize(self, connection.close)  # for who forgets to
        self._connection = connection
        self.remote = connection.facts
        self.render_mode = self.remote["render_mode"]
        given = {
            "url": url,
            **create,
            "time_limit": time_limit,
            "token": token,
            "timeout": timeout,
            "compress": compress,
            "verify": verify,
            "cert": cert,
        }
        self.spec = EnvSpec(
            ENV_ID,
            entry_point="gym_http.remote.env:RemoteEnv",
            vector_entry_point="gym_http.remote.vector:RemoteVectorEnv",
            kwargs={name: value for name, value in given.items() if value is not None},
        )

    @property
    def spec(self) -> EnvSpec:
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec) -> None:  # gymnasium.make and make_vec have their own
        self._spec = _told(spec, self.remote)


def metadata_of(facts: dict[str, Any]) -> dict[str, Any]:
    mode = facts["render_mode"]
    return {"render_modes": [] if mode is None else [mode], "render_fps": facts["render_fps"]}


def _told(spec: EnvSpec, facts: dict[str, Any]) -> EnvSpec:
    """A copy of `spec` with what the remote environment's says of itself. A copy, for of its own
    Gymnasium would take the time limit for one that it has to keep."""
    spec = copy.deepcopy(spec)
    spec.max_episode_steps = facts["max_episode_steps"]
    spec.reward_threshold = facts["reward_threshold"]
    spec.nondeterministic = facts["nondeterministic"]
    return spec
