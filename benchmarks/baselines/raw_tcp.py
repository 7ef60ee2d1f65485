"""The least that a Python server can do: `python -m benchmarks.baselines.raw_tcp ENV_ID`.

A request is one byte: an action, or RESET. The reply is the observation's bytes, then the reward
and the two ends. Nothing is checked.
"""

from __future__ import annotations

import socket
import struct
import sys

import gymnasium

import benchmarks.fake_env  # noqa: F401 - registers environments

RESET = b"\xff"
ENDS = struct.Struct("<d??")  # reward, terminated, truncated


def reply_bytes(env_id: str) -> int:
    """How long the replies for an environment are."""
    env = gymnasium.make(env_id, disable_env_checker=True)
    try:
        return int(env.reset()[0].nbytes) + ENDS.size
    finally:
        env.close()


def main() -> None:
    env = gymnasium.make(sys.argv[1], disable_env_checker=True)
    pack, reset = ENDS.pack, RESET[0]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            connection, _ = listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while request := connection.recv(1):
                if request[0] == reset:
                    observation, _ = env.reset()
                    ends = pack(0.0, False, False)
                else:
                    observation, reward, terminated, truncated, _ = env.step(request[0])
                    ends = pack(reward, terminated, truncated)
                if observation.nbytes > 1000:
                    connection.sendmsg((observation, ends))  # blocks until all is sent
                else:  # a copy costs less than sendmsg does
                    connection.sendall(observation.tobytes() + ends)
            connection.close()


if __name__ == "__main__":
    main()
