"""Stable-Baselines3's PPO learns CartPole-v1, which lives on a gym-http server.

    make ppo ARGS="--plot curve.png"

Exit code 0: the mean return of the last 100 episodes passed --until. 1: --total-steps came first.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import error
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from gym_http.remote import RemoteVectorEnv

ROOT = Path(__file__).resolve().parent.parent
ENV_ID = "CartPole-v1"
WINDOW = 100  # episodes that a mean return is taken of
STEPS_A_LINE = 5000  # between two lines of progress


class SB3VecEnv(VecEnv):
    """Environments on a server as Stable-Baselines3's VecEnv. Of their infos it carries what SB3
    reads. Source of the methods: stable_baselines3.common.vec_env.VecEnv.
    """

    def __init__(self, envs: RemoteVectorEnv) -> None:
        """envs: with autoreset "same_step", for SB3 expects a step that ends an episode to bring
        the first observation of the next."""
        self.envs = envs
        self.waited_s = 0.0  # for steps
        self._began = time.perf_counter()
        self._returns = np.zeros(envs.num_envs)  # (num_envs,), of the running episodes
        self._lengths = np.zeros(envs.num_envs, dtype=int)  # (num_envs,), in steps
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> np.ndarray:
        """First observations, (num_envs, …), seeded by what `seed` was last told."""
        observations, _ = self.envs.reset(seed=self._seeds)
        self._reset_seeds()
        self._returns[:], self._lengths[:] = 0, 0
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Observations (num_envs, …), float32 rewards and bool dones (num_envs,), their infos."""
        asked = time.perf_counter()
        observations, rewards, terminated, truncated, info = self.envs.step(self._actions)
        answered = time.perf_counter()
        self.waited_s += answered - asked
        self._returns += rewards
        self._lengths += 1
        dones = terminated | truncated
        infos: list[dict[str, Any]]
        infos = [{"TimeLimit.truncated": bool(only)} for only in truncated & ~terminated]
        for which in np.flatnonzero(dones):
            infos[which]["terminal_observation"] = info["final_obs"][which]
            infos[which]["episode"] = {  # as SB3's Monitor has it
                "r": float(self._returns[which]),
                "l": int(self._lengths[which]),
                "t": round(answered - self._began, 6),
            }
        self._returns[dones], self._lengths[dones] = 0, 0
        return observations, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.envs, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("the environments themselves are out of reach, on a server")

    env_method = env_is_wrapped = set_attr


class Curve(BaseCallback):
    """What a training comes to: written down and told of as it goes on, and ended at the goal."""

    def __init__(self, until: float) -> None:
        super().__init__()
        self.until = until
        self.ends: list[int] = []  # for each finished episode: steps of all environments by then
        self.returns: list[float] = []  # for each finished episode
        self.seconds = 0.0
        self._began = time.perf_counter()

    def mean(self) -> float:
        """Mean return of the last 100 episodes; NaN before the first has ended."""
        return float(np.mean(self.returns[-WINDOW:])) if self.returns else float("nan")

    def reached(self) -> bool:
        return len(self.returns) >= WINDOW and self.mean() > self.until

    def __str__(self) -> str:
        steps, seconds = self.num_timesteps, self.seconds
        return (
            f"{steps:7d} steps  {seconds:6.1f} s  {steps / seconds:6.0f} steps/s"
            f"  {len(self.returns):5d} episodes  mean return {self.mean():6.1f}"
        )

    def _on_step(self) -> bool:
        ended = [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        self.returns += ended
        self.ends += [self.num_timesteps] * len(ended)
        if self.num_timesteps % STEPS_A_LINE < self.training_env.num_envs:
            self._on_training_end()  # so far
            print(self, flush=True)
        return not self.reached()

    def _on_training_end(self) -> None:
        self.seconds = time.perf_counter() - self._began


def train(envs: VecEnv, *, total_steps: int, until: float, seed: int) -> Curve:
    """Train until the mean return of 100 episodes passes `until`, for `total_steps` at most."""
    torch.set_num_threads(1)  # networks this small only lose by more
    steps_a_rollout = 32
    model = PPO(  # what rl-baselines3-zoo found for CartPole-v1 and 8 environments
        "MlpPolicy",
        envs,
        n_steps=steps_a_rollout,
        batch_size=steps_a_rollout * envs.num_envs,
        n_epochs=20,
        gamma=0.98,
        gae_lambda=0.8,
        ent_coef=0.0,
        learning_rate=lambda left: 1e-3 * left,  # left: of total_steps, from 1 down to 0
        clip_range=lambda left: 0.2 * left,
        seed=seed,
        device="cpu",
    )
    curve = Curve(until)
    model.learn(total_steps, callback=curve)
    return curve


def plot(curve: Curve, path: str) -> None:
    """Write the curve as a picture of 900 × 500 pixels."""
    import matplotlib

    matplotlib.use("Agg")  # there may be no display
    from matplotlib import pyplot

    means = [np.mean(curve.returns[max(0, n - WINDOW) : n]) for n in range(1, len(curve.ends) + 1)]
    figure, axes = pyplot.subplots(figsize=(9, 5), dpi=100, layout="constrained")
    axes.scatter(curve.ends, curve.returns, s=12, alpha=0.4, linewidths=0, label="one episode")
    axes.plot(curve.ends, means, color="C1", linewidth=2, label=f"mean of the last {WINDOW}")
    axes.axhline(curve.until, color="C2", linestyle="--", label=f"goal: {curve.until:g}")
    spent = f"{curve.num_timesteps:,} steps, {curve.seconds:.0f} seconds"
    axes.set_title(f"PPO learns {ENV_ID} over HTTP: {spent}")
    axes.set_xlabel(f"steps, of all {curve.training_env.num_envs} environments together")
    axes.set_ylabel("return of an episode")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")  # where a curve that rises isn't
    figure.savefig(path)
    pyplot.close(figure)


@contextmanager
def own_server() -> Iterator[str]:
    """The URL of a server that lives as long as this."""
    with tempfile.TemporaryDirectory(prefix="train-ppo-") as data:
        command = [sys.executable, str(ROOT / "gym_http_server.py"), "-p", "0"]
        command += ["--data-dir", data, "--log-level", "warning"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                greeting = re.search(r"http://\S+(?=:\s)", server.stdout.readline())
                if greeting is None:
                    sys.exit("the server did not start")
                yield greeting.group(0)
            finally:
                server.terminate()


def environments(url: str | None, num_envs: int) -> VecEnv:
    """On the server at `url`; None: in this process, as SB3 has them by itself."""
    if url is None:
        return DummyVecEnv([lambda: Monitor(gymnasium.make(ENV_ID))] * num_envs)
    return SB3VecEnv(RemoteVectorEnv(url, ENV_ID, num_envs, autoreset="same_step"))


def main() -> None:
    parser = argparse.ArgumentParser(description="PPO learns CartPole-v1 on a gym-http server.")
    parser.add_argument("--url", help="the server's; by default one is started, and ended")
    parser.add_argument("--local", action="store_true", help="without a server, to compare")
    parser.add_argument("--num-envs", type=int, default=8)
    parser.add_argument("--total-steps", type=int, default=100_000, help="give up after so many")
    parser.add_argument("--until", type=float, default=400.0, help="mean return to be passed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", metavar="PATH", help="write the curve as a picture")
    options = parser.parse_args()
    serves = nullcontext(options.url) if options.url or options.local else own_server()
    try:
        with serves as url, closing(environments(url, options.num_envs)) as envs:
            curve = train(
                envs, total_steps=options.total_steps, until=options.until, seed=options.seed
            )
    except error.Error as failure:
        sys.exit(str(failure))
    print(curve)
    if isinstance(envs, SB3VecEnv):
        print(f"{envs.waited_s:.1f} s of them were spent in steps, the rest in learning")
    print(f"the goal of {curve.until:g} was {'' if curve.reached() else 'not '}reached")
    if options.plot:
        plot(curve, options.plot)
    sys.exit(not curve.reached())


if __name__ == "__main__":
    main()
