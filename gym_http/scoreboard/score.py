"""Gym's rule: what a recording's training episodes are worth. Source: gym 0.7.4's scoreboard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gym_http.recording.reader import Recording


@dataclass(frozen=True)
class Score:
    """None stands for what the recording is too short for, or never reached."""

    number_episodes: int
    number_timesteps: int
    seconds_in_total: float | None
    mean: float | None  # best mean return of any `trials` consecutive episodes
    error: float | None  # its standard error
    trials: int
    reward_threshold: float | None
    episode_t_value: int | None  # first episode of the first window that reaches the threshold
    timestep_t_value: int | None  # steps made before it
    seconds_to_solve: float | None


def score(recording: Recording, trials: int, reward_threshold: float | None) -> Score:
    """Score the episodes of type "t". trials: length of the window, in episodes.

    A window with an infinite return, or with NaN, has no mean.
    """
    training = [index for index, kind in enumerate(recording.episode_types) if kind == "t"]
    rewards = np.array(recording.episode_rewards, dtype=np.float64)[training]
    lengths = np.array(recording.episode_lengths, dtype=np.int64)[training]
    ends = np.array(recording.timestamps, dtype=np.float64)[training]
    begin = recording.initial_reset_timestamp

    mean = error = seconds_to_solve = None
    episode_t_value = timestep_t_value = None
    if len(rewards) >= trials:
        windows = np.lib.stride_tricks.sliding_window_view(rewards, trials)
        means = windows.mean(axis=1)
        finite = np.isfinite(means)
        if finite.any():
            best = int(np.argmax(np.where(finite, means, -np.inf)))
            mean = float(means[best])
            error = float(windows[best].std() / np.sqrt(trials - 1)) if trials > 1 else 0.0
        if reward_threshold is not None:
            solved = np.flatnonzero(finite & (means >= reward_threshold))
            if solved.size:
                episode_t_value = int(solved[0])
                timestep_t_value = int(lengths[:episode_t_value].sum())
                seconds_to_solve = float(ends[episode_t_value] - begin)
    return Score(
        number_episodes=len(rewards),
        number_timesteps=int(lengths.sum()),
        seconds_in_total=float(ends[-1] - begin) if len(ends) else None,
        mean=mean,
        error=error,
        trials=trials,
        reward_threshold=reward_threshold,
        episode_t_value=episode_t_value,
        timestep_t_value=timestep_t_value,
        seconds_to_solve=seconds_to_solve,
    )
