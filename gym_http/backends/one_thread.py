"""An environment that is always called on one thread, its own.

OpenGL belongs to the thread that first drew: from any other, MuJoCo's frames are black, and nothing
says so. A server answers each request on whichever thread is free.

And who calls on another thread can stop waiting.
"""

from __future__ import annotations

import copy
import logging
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FuturesTimeout
from contextlib import suppress
from typing import Any

from gym_http import randomness
from gym_http.backends.contract import Backend, There
from gym_http.errors import TimedOut

log = logging.getLogger(__name__)

_OPENGL = ("OpenGL", "pyglet", "moderngl", "glfw", "vispy")


def draws_with_opengl(env: Any) -> bool:
    """Whether it, or one of a vector environment's, does: has Gymnasium's MuJoCo renderer, or a
    module of its class has imported a library for it."""
    one = (getattr(env, "envs", None) or [env])[0].unwrapped
    if hasattr(one, "mujoco_renderer"):
        return True
    homes = {kind.__module__ for kind in type(one).__mro__} - {"builtins"}
    names = (vars(sys.modules[home]).values() for home in homes if home in sys.modules)
    return any(
        getattr(value, "__name__", "").partition(".")[0] in _OPENGL
        for home in names
        for value in home
        if isinstance(value, type(sys))
    )


class OneThread(There):
    """A thread for an environment, which is made on it too, and then a backend around it. Source:
    Backend.

    A call that is late is given up: it raises TimedOut, and so does every later one. Its thread
    can't be ended; where it comes back after all, the environment is closed.
    """

    def __init__(self, env_id: str) -> None:
        self.env_id = env_id
        self.env: Backend | None = None
        self._limit_s: float | None = None
        self._make_limit_s: float | None = None
        self._given_up: TimedOut | None = None
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]
        self._calls = queue.SimpleQueue()
        # A daemon: an environment that hangs must not keep the process.
        threading.Thread(target=self._work, name=f"env {env_id}", daemon=True).start()

    def make(self, build: Callable[[], tuple[Backend, Any]], limit_s: float | None) -> Any:
        """Build the environment. Returns what comes with it. Raises TimedOut."""
        self._make_limit_s = limit_s
        return self._there("make", lambda: self._built(build), limit_s)

    def hold(self, limit_s: float | None) -> OneThread:
        """As a backend. limit_s: for a call."""
        self._limit_s = limit_s
        return self

    def let_go(self) -> Backend:
        """The environment, to be called anywhere."""
        assert self.env is not None
        self._calls.put(None)
        return self.env

    def abandon(self) -> None:
        """End the thread of what couldn't be made."""
        if self._given_up is None:
            self._calls.put(None)

    def __getattr__(self, name: str) -> Any:  # the spaces
        return getattr(self.__dict__["env"], name)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        env = self.env
        assert env is not None
        return self._there("reset", lambda: env.reset(seed=seed, options=options), self._limit_s)

    def begin(self, seed: Any, options: dict[str, Any] | None) -> tuple[Any, Any]:
        env = self.env
        assert env is not None

        def call() -> tuple[Any, Any]:
            return randomness.before_reset(env), env.reset(seed=seed, options=options)

        return self._there("reset", call, self._limit_s)

    def step(self, action: Any) -> Any:
        env = self.env
        assert env is not None
        return self._there("step", lambda: env.step(action), self._limit_s)

    def render(self) -> Any:
        assert self.env is not None
        return self._there("render", self.env.render, self._limit_s)

    def apply(self, function: Callable[..., Any], *arguments: Any) -> Any:
        env = self.env
        return self._there("snapshot", lambda: function(env, *arguments), self._make_limit_s)

    def close(self) -> None:
        if self._given_up is not None:  # its thread will see to it, if it comes back
            return
        assert self.env is not None
        try:
            self._there("close", self.env.close, self._limit_s)
        finally:
            self._calls.put(None)

    def _there(self, verb: str, call: Callable[[], Any], limit_s: float | None) -> Any:
        if self._given_up is not None:
            raise copy.copy(self._given_up)  # one that is raised gets a traceback, which keeps all
        answer: Future[Any] = Future()
        self._calls.put((answer, call))
        with suppress(FuturesTimeout):  # or the environment's own
            return answer.result(limit_s)
        if limit_s is None or answer.done():
            return answer.result()
        self._given_up = TimedOut(f"{self.env_id} took longer than {limit_s:g} s for its {verb}")
        self._calls.put(None)
        log.error(
            "a thread is stuck: %s has not returned from %s for %g s; what holds it can't be ended "
            "on 'local' (backend 'process' can)",
            self.env_id,
            verb,
            limit_s,
        )
        raise copy.copy(self._given_up)

    def _built(self, build: Callable[[], tuple[Backend, Any]]) -> Any:
        self.env, facts = build()  # also where nobody waits any more
        self.env_id = getattr(facts, "env_id", self.env_id)  # which a retired id isn't
        return facts

    def _work(self) -> None:
        while (asked := self._calls.get()) is not None:
            answer, call = asked
            try:
                answer.set_result(call())
            except BaseException as error:  # whoever asked gets it, Exception or not
                answer.set_exception(error)
            del answer, call, asked
        if self._given_up is None:
            return
        log.warning("%s has come back, and is closed", self.env_id)
        try:
            if self.env is not None:
                self.env.close()
        except Exception:
            log.exception("%s failed to close", self.env_id)
