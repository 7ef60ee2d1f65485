"""What an environment on a server says of itself."""

from __future__ import annotations

import copy
from typing import Any

from gymnasium.envs.registration import EnvSpec

ENV_ID = "http/Remote-v0"


class Specified:
    """Has the spec that makes such an environment anew, and says of it what the remote one's does.

    remote: Client.env_info of the instance.
    """

    remote: dict[str, Any]
    _spec: EnvSpec

    @property
    def spec(self) -> EnvSpec:
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec) -> None:  # gymnasium.make and make_vec have their own
        self._spec = _told(spec, self.remote)


def metadata_of(facts: dict[str, Any]) -> dict[str, Any]:
    mode = facts["render_mode"]
    return {"render_modes": [] if mode is None else [mode], "render_fps": facts["render_fps"]}


def spec_of(facts: dict[str, Any], **arguments: Any) -> EnvSpec:
    spec = EnvSpec(
        ENV_ID,
        entry_point="gym_http.remote.env:RemoteEnv",
        vector_entry_point="gym_http.remote.vector:RemoteVectorEnv",
        kwargs={name: value for name, value in arguments.items() if value is not None},
    )
    return _told(spec, facts)


def _told(spec: EnvSpec, facts: dict[str, Any]) -> EnvSpec:
    """A copy of `spec` with what the remote environment's says of itself. A copy, for of its own
    Gymnasium would take the time limit for one that it has to keep."""
    spec = copy.deepcopy(spec)
    spec.max_episode_steps = facts["max_episode_steps"]
    spec.reward_threshold = facts["reward_threshold"]
    spec.nondeterministic = facts["nondeterministic"]
    return spec
