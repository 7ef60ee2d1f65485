"""Gymnasium's two general vector environments, where a server needs more of them.

- An exception in one environment is an exception of the call, after which all can be reset.
  AsyncVectorEnv's processes end by it, and every later call fails.
- Infos whose kind differs from environment to environment go through.
- The end of one environment doesn't wait for another's, nor for one that hangs.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import AlreadyPendingCallError
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array

from gym_http import forking, randomness
from gym_http.errors import BadValue
from gym_http.info import wire_info

log = logging.getLogger(__name__)

CLOSE_WAIT_S = 5.0
FAILURE = "__failure__"  # the key in the info of an environment that has failed

Build = Callable[[], gymnasium.Env[Any, Any]]


class _Infos:
    """VectorEnv._add_info for infos of any kind."""

    def _add_info(self, infos: dict[str, Any], info: dict[str, Any], which: int) -> dict[str, Any]:
        for key, value in info.items():
            column = infos.get(key)
            if _integers(column) and isinstance(value, (float, np.floating)):
                infos[key] = np.asarray(column, np.float64)  # else the value would be cut
            try:
                super()._add_info(infos, {key: value}, which)  # type: ignore[misc]
            except (TypeError, ValueError, AttributeError):
                objects = _objects(self.num_envs)  # type: ignore[attr-defined]
                if isinstance(column, np.ndarray):
                    objects[:] = list(column)
                objects[which] = value
                mask = infos.get(f"_{key}", np.zeros(len(objects), np.bool_))
                mask[which] = True
                infos[key], infos[f"_{key}"] = objects, mask
        return infos


def _integers(column: Any) -> bool:
    return isinstance(column, np.ndarray) and column.dtype.kind in "biu"


def _objects(length: int) -> np.ndarray:
    return np.array([None] * length, dtype=np.object_)


class Sync(_Infos, SyncVectorEnv):
    """One after the other."""

    def __init__(self, build: Build, num_envs: int, mode: AutoresetMode) -> None:
        self._made: list[gymnasium.Env[Any, Any]] = []
        try:
            super().__init__([partial(self._build, build)] * num_envs, autoreset_mode=mode)
        except BaseException:
            with suppress(Exception):  # what went wrong first is what matters
                self.close_extras()
            raise

    def _build(self, build: Build) -> gymnasium.Env[Any, Any]:
        self._made.append(build())
        return self._made[-1]

    def close_extras(self, **kwargs: Any) -> None:
        """Close each, whatever the others say to that; raise what the first said."""
        first: Exception | None = None
        for env in self._made:
            try:
                env.close()
            except Exception as error:
                first = first or error
        self._made.clear()
        if first is not None:
            raise first


class Async(_Infos, AsyncVectorEnv):
    """Side by side, each in a process of its own. build: is called there, too, and has to survive
    the way."""

    def __init__(self, build: Build, num_envs: int, mode: AutoresetMode, shared: bool) -> None:
        """shared: observations go through shared memory, which holds arrays only."""
        forking.context()
        super().__init__(
            [partial(_build_there, build, os.getpid())] * num_envs,
            context="forkserver",
            autoreset_mode=mode,
            shared_memory=shared,
        )

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        with _all_alive():
            return super().reset(seed=seed, options=options)

    def step(self, actions: Any) -> Any:
        with _all_alive():
            return super().step(actions)

    def reset_wait(self, timeout: float | None = None) -> Any:
        observations, infos = super().reset_wait(timeout)
        _raise_failure(infos.pop(FAILURE, ()))
        return observations, infos

    def step_wait(self, timeout: float | None = None) -> Any:
        *outcome, infos = super().step_wait(timeout)
        _raise_failure(infos.pop(FAILURE, ()))
        return *outcome, infos

    def render(self) -> Any:
        with _all_alive():
            frames = super().render()
        _raise_failure([frame if isinstance(frame, _Failure) else None for frame in frames or ()])
        return frames

    def random_states(self) -> list[dict[str, Any]]:
        """Of each environment, as randomness.random_state has it."""
        with _all_alive():
            return list(self.get_attr("random_state"))

    def set_random_states(self, states: list[Any], ours: bool) -> None:
        """Raises BadValue for what isn't a state of its environment."""
        with _all_alive():
            self.set_attr("random_state", [(ours, state) for state in states])
            refused = next(filter(None, self.get_attr("refused")), None)
        if refused is not None:
            raise BadValue(refused)

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Tell all to end, and kill those that haven't within CLOSE_WAIT_S."""
        for pipe in self.parent_pipes:
            try:
                if pipe is not None:
                    pipe.send(("close", None))
            except OSError:  # its process is gone
                continue
        deadline = time.monotonic() + CLOSE_WAIT_S
        for which, process in enumerate(self.processes):
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                log.warning("environment %d of a vector didn't close and was killed", which)
                process.kill()
                process.join()
        for pipe in self.parent_pipes:
            if pipe is not None:
                pipe.close()


@contextmanager
def _all_alive() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError, AlreadyPendingCallError) as error:
        # A frame of a broken pipe's holds a buffer that crashes Python 3.12.1 when the garbage
        # collector finds it (BytesIO.getbuffer, in a cycle).
        traceback.clear_frames(error.__traceback__)
        raise RuntimeError("a process of it has died: close the instance, make another") from error


class _Failure:
    """What an environment raised in its process. refusal: it may be the caller's arguments."""

    def __init__(self, error: BaseException) -> None:
        self.refusal = isinstance(error, (AssertionError, LookupError, TypeError, ValueError))
        self.text = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def _raise_failure(failures: Any) -> None:
    for which, failure in enumerate(failures):
        if failure is not None:
            kind = ValueError if failure.refusal else RuntimeError
            raise kind(f"environment {which}: {failure.text}")


def _build_there(build: Build, home_pid: int) -> gymnasium.Env[Any, Any]:
    if os.getpid() != home_pid:  # a terminal's Ctrl-C is for the server, which closes these
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        forking.end_with_parent()
    return _Shield(build())


class _Shield(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment in its process: what it raises is told in its info, for the process would
    end by it. Infos that can't travel are made so that they can."""

    refused: str | None = None  # why the last random state was

    @property
    def random_state(self) -> Any:
        return randomness.random_state(self.env)

    @random_state.setter
    def random_state(self, state: Any) -> None:
        try:
            self.refused = None
            ours, told = state
            randomness.set_random_state(self.env, told, ours=ours)
        except BaseException as error:
            self.refused = f"{type(error).__name__}: {error}"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        try:
            observation, info = self.env.reset(seed=seed, options=options)
            return self._fit(observation), _sendable(info)
        except BaseException as error:
            return self._blank(), {FAILURE: _Failure(error)}

    def step(self, action: Any) -> Any:
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
            ends = bool(terminated), bool(truncated)
            return self._fit(observation), float(reward), *ends, _sendable(info)
        except BaseException as error:
            return self._blank(), 0.0, False, False, {FAILURE: _Failure(error)}

    def render(self) -> Any:
        try:
            return self.env.render()
        except NotImplementedError:
            return None
        except BaseException as error:
            return _Failure(error)

    def _fit(self, observation: Any) -> Any:
        """`observation`, of its space's shape. Raises what else would be raised on its way."""
        space = self.observation_space
        room: Any = create_empty_array(space, 1)
        concatenate(space, [observation], room)
        return observation

    def _blank(self) -> Any:
        return self.observation_space.sample()


def _sendable(info: Any) -> dict[str, Any]:
    try:
        pickle.dumps(info)
        return info
    except Exception:  # whatever its own values raise
        return wire_info(info)[0]
