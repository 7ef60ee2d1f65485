"""Preloaded into the server for forks, which without it ends, and every environment with it, where
one request comes to nothing: where who asks has no files left and hangs up, or no process can be
forked.

It goes on after an accepted connection that was aborted; so each of these becomes one.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import reduction
from typing import Any

_given: list[int] = []  # the files that came with the latest request


def _aborted(error: BaseException) -> OSError:
    return OSError(errno.ECONNABORTED, f"{type(error).__name__}: {error}")


def _receiving(recvfds: Callable[..., list[int]]) -> Callable[..., list[int]]:
    def received(*arguments: Any) -> list[int]:
        try:
            _given[:] = recvfds(*arguments)
        except (EOFError, OSError) as error:
            raise _aborted(error) from error
        return [*_given]

    return received


def _forking(fork: Callable[[], int]) -> Callable[[], int]:
    def forked() -> int:
        try:
            pid = fork()
        except OSError as error:
            for fd in _given:  # whoever asked waits for their end
                with suppress(OSError):
                    os.close(fd)
            raise _aborted(error) from error
        if pid == 0:
            os.fork = fork
        return pid

    return forked


if "multiprocessing.forkserver" in " ".join(sys.orig_argv):
    reduction.recvfds = _receiving(reduction.recvfds)
    os.fork = _forking(os.fork)
