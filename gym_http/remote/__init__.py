"""Gymnasium's own interface to an environment on a server, over MessagePack.

    import gymnasium
    import gym_http.remote

    env = gymnasium.make("http/Remote-v0", url="http://127.0.0.1:5000", env_id="CartPole-v1")
    envs = gymnasium.make_vec(
        "http/Remote-v0", num_envs=4, url="http://127.0.0.1:5000", env_id="CartPole-v1"
    )

Without the import: `gymnasium.make("gym_http.remote:http/Remote-v0", …)`.
"""

import gymnasium

from gym_http.remote.env import RemoteEnv
from gym_http.remote.spec import ENV_ID
from gym_http.remote.vector import RemoteVectorEnv
from gym_http.spaces import space_from_description

__all__ = ["ENV_ID", "RemoteEnv", "RemoteVectorEnv", "space_from_description"]

gymnasium.register(
    ENV_ID,
    entry_point="gym_http.remote.env:RemoteEnv",
    vector_entry_point="gym_http.remote.vector:RemoteVectorEnv",
)
