"""Environments in a plain Python process: prints how much memory a further one takes, in KiB."""

from __future__ import annotations

import os
import sys

import gymnasium

from benchmarks.memory import FIRST, FURTHER, private_kib


def main() -> None:
    envs = []

    def make(count: int) -> None:
        for _ in range(count):
            env = gymnasium.make(sys.argv[1], disable_env_checker=True)
            env.reset()
            env.step(0)
            envs.append(env)

    make(FIRST)
    before = private_kib(os.getpid())
    make(FURTHER)
    print((private_kib(os.getpid()) - before) / FURTHER)


if __name__ == "__main__":
    main()
