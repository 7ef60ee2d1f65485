"""An environment that is always called on one thread, its own.

OpenGL belongs to the thread that first drew: from any other, MuJoCo's frames are black, and nothing
says so. A server answers each request on whichever thread is free.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from gym_http.backends.contract import Backend


def draws_with_opengl(env: Any) -> bool:
    """Whether it, or one of a vector environment's, has Gymnasium's MuJoCo renderer."""
    one = getattr(env, "envs", None) or [env]
    return hasattr(one[0].unwrapped, "mujoco_renderer")


class OneThread:
    """A backend around another, whose calls wait for that one's thread. Source: Backend."""

    def __init__(self, env: Backend) -> None:
        self._env = env
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]
        self._calls = queue.SimpleQueue()
        # A daemon: an environment that hangs must not keep the process.
        threading.Thread(target=self._work, daemon=True).start()

    def __getattr__(self, name: str) -> Any:  # the spaces
        return getattr(self._env, name)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        return self._there(lambda: self._env.reset(seed=seed, options=options))

    def step(self, action: Any) -> Any:
        return self._there(lambda: self._env.step(action))

    def render(self) -> Any:
        return self._there(self._env.render)

    def close(self) -> None:
        try:
            self._there(self._env.close)
        finally:
            self._calls.put(None)

    def _there(self, call: Callable[[], Any]) -> Any:
        answer: Future[Any] = Future()
        self._calls.put((answer, call))
        return answer.result()

    def _work(self) -> None:
        while (asked := self._calls.get()) is not None:
            answer, call = asked
            try:
                answer.set_result(call())
            except BaseException as error:  # whoever asked gets it, Exception or not
                answer.set_exception(error)
