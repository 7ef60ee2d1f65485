"""Granian's main process, with other ideas of a few events.

Each method here overrides one of Granian's; what they rely on is tested with real processes
(`tests/test_crashes.py`, `tests/test_server_process.py`).
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from granian.server import Server

log = logging.getLogger(__name__)

HAS_HUP = hasattr(signal, "SIGHUP")
IMPATIENCE_S = 1.0
ENDING = (signal.SIGINT, signal.SIGTERM)


class Supervisor(Server):  # type: ignore[misc]
    """Watches the worker, replaces one that crashed, and ends it when told to."""

    def startup(self, *arguments: Any) -> None:
        ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN if HAS_HUP else False
        super().startup(*arguments)
        if ignored:  # as under nohup
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def signal_handler_reload(self, *signal_and_frame: Any) -> None:
        """SIGHUP says that the terminal is gone. A reload would lose every environment."""
        self.signal_handler_interrupt()

    def signal_handler_interrupt(self, number: int = signal.SIGTERM, *frame: Any) -> None:
        """The first signal asks. Another Ctrl-C, by somebody who has seen that it takes time,
        doesn't wait for calls that don't return; process managers repeat themselves unmeant."""
        now = time.monotonic()
        if not self.interrupt_signal:
            self._asked = now
        elif number == signal.SIGINT and now - self._asked > IMPATIENCE_S:
            for worker in self.wrks:
                worker.kill()
        super().signal_handler_interrupt()

    def shutdown(self, exit_code: int = 0) -> None:
        if self.interrupt_signal:  # it was told to end: a worker that went first is no failure
            self.interrupt_children = _Unheard()
            log.info("stopping; calls under way have %s s", self.workers_kill_timeout)
        super().shutdown(exit_code)

    def _spawn_workers(self, *arguments: Any) -> None:
        with signals_held():
            super()._spawn_workers(*arguments)

    def _respawn_workers(self, workers: list[int], *arguments: Any, **more: Any) -> None:
        for idx in workers:
            kill_group(self.wrks[idx]._id())
        with signals_held():
            super()._respawn_workers(workers, *arguments, **more)

    def _stop_workers(self) -> None:
        workers, begun = list(self.wrks), time.monotonic()
        super()._stop_workers()
        if time.monotonic() - begun >= self.workers_kill_timeout:
            log.error("the worker had to be killed: a call on it did not return")
        for worker in workers:
            kill_group(worker._id())


class _Unheard(list[int]):
    """Where a worker's watcher writes that it went by itself, which it may do late."""

    def append(self, idx: int) -> None:
        pass


class Respawned(dict[int, float]):
    """When which worker was last replaced. Granian gives up on one that dies within seconds of
    that, as it should on one that never comes up. One that did come up was brought down by an
    environment, and that may happen again as soon as an agent tries again.

    loaded: a file that a worker makes when it has come up.
    """

    def __init__(self, loaded: Path) -> None:
        super().__init__()
        self._loaded = loaded

    def get(self, idx: int, default: Any = None) -> Any:
        if self._loaded.exists():
            self._loaded.unlink()
            log.error("the worker died, and every environment with it; another one starts")
            return default
        return super().get(idx, default)


@contextmanager
def signals_held() -> Iterator[None]:
    """Let no signal to end come between a worker's birth and its own handlers, where it would be
    lost on the main process's, which the worker has inherited."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        release_signals()


def release_signals() -> None:
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def kill_group(leader: int) -> None:
    """Kill a worker's process group: what environments have forked holds its listening socket,
    and its journals' locks, as long as it lives."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
