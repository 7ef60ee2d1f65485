"""The environment in a process of its own. What happens to it there happens to nobody else."""

from __future__ import annotations

import logging
import multiprocessing.util
import os
import signal
import socket
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, NoReturn

from gym_http import forking
from gym_http.backends.contract import Build, Opened
from gym_http.backends.elsewhere import Elsewhere, raised, said
from gym_http.backends.line import Broken, Late, Line, Memory
from gym_http.backends.tenant import Failure
from gym_http.backends.undertaker import Undertaker
from gym_http.backends.worker import work
from gym_http.catalogue import Policy
from gym_http.environments import Recipe
from gym_http.errors import BackendLost, TimedOut
from gym_http.raised import brief
from gym_http.settings import Settings
from gym_http.terms import Terms

log = logging.getLogger(__name__)

KEEPER_S = 3.0  # that one may take to end an environment's processes
START_AGAIN_S = (0.05, 0.5)  # before a process is made again that couldn't be
REAP_S = 5.0  # that a killed process may take to be gone
FILES = 8  # that are open at once while one is made, and some
LEAVE_S = 1.0  # that one may take to end by itself, with what its libraries do then


def open_process(
    recipe: Recipe,
    policy: Policy,
    terms: Terms,
    settings: Settings,
    build: Build,
) -> Opened:
    """Make the environment in a new process. Raises what `build` raises, TimedOut, BackendLost."""
    backend = ProcessBackend(recipe, terms, settings.worker_memory_bytes)
    try:
        described = raised(backend.ask(terms.make_timeout_s or None, "make", recipe, policy, build))
        return Opened(backend, backend.describe(described))
    except BaseException:
        backend.end()
        raise


class ProcessBackend(Elsewhere):
    def __init__(self, recipe: Recipe, terms: Terms, most_bytes: int) -> None:
        super().__init__(recipe, terms)
        with ExitStack() as undo:
            try:
                self._memory = Memory()
                undo.callback(self._memory.close)
                ours, theirs = socket.socketpair()
            except OSError as error:  # out of files
                raise self._not_made(error) from error
            undo.callback(ours.close)
            with theirs:
                self._process = self._started(theirs, most_bytes)
            undo.pop_all()
        self._line = Line(ours, self._memory, copies=False, ended=self._process.sentinel)
        self._pid: int = self._process.pid
        _undertaker.begun(self._pid)
        _alive.add(self)

    def _started(self, end: socket.socket, most_bytes: int) -> Any:
        """A process that works at the line's other end. Raises BackendLost."""
        for patience_s in (*START_AGAIN_S, None):
            process = forking.context().Process(
                target=work,
                args=(end, self._memory, most_bytes),
                name=f"gym-http {self.env_id}",
            )
            try:
                _undertaker.start()
                _require_files()
                process.start()
                return process
            except (OSError, EOFError) as error:  # the server for forks has just ended, perhaps
                if patience_s is None:
                    raise self._not_made(error) from error
                time.sleep(patience_s)
        raise AssertionError

    def _not_made(self, error: Exception) -> BackendLost:
        return BackendLost(f"no process could be made for {self.env_id}: {brief(error)}")

    def ask(self, limit_s: float | None, verb: str, *arguments: Any) -> Any:
        self.require_tenant()
        if verb == "steps":
            self._memory.stamp(0)
        began = time.monotonic()
        try:
            self._line.send((verb, *arguments), limit_s)
            answer = self._line.receive(self._deadline(began, limit_s, verb) if limit_s else None)
        except Late:
            late = TimedOut(f"{self.env_id} took longer than {limit_s:g} s for its {said(verb)}")
            self._lose(late, verb)
        except Broken as error:
            how = self._how_it_ended(error)
            self._lose(BackendLost(f"the process of {self.env_id} {how}"), verb)
        if isinstance(answer, Failure) and isinstance(answer.ours, BackendLost):
            self._lose(answer.ours, verb)  # its last words
        return answer

    def leave(self) -> None:
        self._process.join(LEAVE_S)

    def _deadline(self, began: float, limit_s: float, verb: str) -> Callable[[], float]:
        """Of several steps each has its time."""
        if verb != "steps":
            return lambda: began + limit_s

        def of_this_step() -> float:
            since, _ = self._memory.stamped()
            return (since if began <= since <= time.monotonic() else began) + limit_s

        return of_this_step

    def _lose(self, error: BackendLost | TimedOut, verb: str) -> NoReturn:
        made = 0
        if verb == "steps":
            most = min(len(self._foreseen), self._most_ahead) - 1
            told = self._memory.stamped()[1]  # by the process, which may have gone mad
            made = min(max(0, told), most)
        self.lose(error, made)

    def _how_it_ended(self, error: Broken) -> str:
        self._process.join(1.0)
        code = self._process.exitcode
        if code is None:
            return f"doesn't answer any more ({error})"
        if code >= 0:
            return f"ended with exit code {code}"
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
        return f"was ended by signal {-code}"

    def end(self) -> None:
        """Kill what is left of the process, and of what the environment has started there."""
        if self not in _alive:
            return
        _alive.discard(self)
        self.lost = BackendLost(f"the process of {self.env_id} has been ended")
        if sys.platform == "linux":  # its keeper, which then ends the rest
            self._process.terminate()
            self._process.join(KEEPER_S)
        with suppress(ProcessLookupError, PermissionError, AttributeError):
            os.killpg(self._pid, signal.SIGKILL)
        self._process.kill()  # where it hadn't come to have its own group
        self._process.join(REAP_S)
        _undertaker.ended(self._pid)
        self._forget_steps()  # views of the memory
        self._line.close()
        if self._process.exitcode is None:
            log.error("process %d of %s can't be killed", self._pid, self.env_id)
        else:
            self._process.close()


def _require_files() -> None:
    """Raises OSError where there are none for a process to be made: multiprocessing doesn't let go
    of those that it has got until then."""
    with ExitStack() as held:
        for _ in range(FILES):
            held.callback(os.close, os.open(os.devnull, os.O_RDONLY))


_undertaker = Undertaker()
_alive: weakref.WeakSet[ProcessBackend] = weakref.WeakSet()


def _end_all() -> None:
    for backend in list(_alive):
        backend.end()


# Python would wait for them at its end.
multiprocessing.util.Finalize(None, _end_all, exitpriority=50)
