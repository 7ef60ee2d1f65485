"""The process of one environment: asks that come over a line, answered by a tenant."""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
from contextlib import suppress

from gym_http.backends.line import Broken, Line, Memory
from gym_http.backends.tenant import Failure, Tenant, failure_of
from gym_http.errors import BackendLost


def work(end: socket.socket, memory: Memory | None, most_bytes: int) -> None:
    """Serve until told to close, or until the server is gone. most_bytes: 0 is no limit."""
    _settle({end.fileno(), *(() if memory is None else (memory.fd,))}, most_bytes)
    pid = os.getpid()
    line, tenant = Line(end, memory, copies=True), Tenant()
    closed = False
    while not closed:
        try:
            verb, *arguments = line.receive()
        except Broken:  # so is the server
            end_with_all()
        if verb == "steps" and memory is not None:
            arguments.append(memory.stamp)
        try:
            answer = tenant.answer(verb, *arguments)
            closed = verb == "close"
        except MemoryError as error:
            answer, closed = _out_of_memory(error, most_bytes), True
        if os.getpid() != pid:  # the environment has forked, and both came back
            os._exit(0)
        try:
            line.send(answer)
        except Broken:
            end_with_all()
        except MemoryError as error:
            line.send(_out_of_memory(error, most_bytes))
            closed = True
        except BaseException as error:  # it can't be pickled, which takes any exception
            line.send(failure_of(error))


def _settle(ours: set[int], most_bytes: int) -> None:
    """Become a process that ends when it should, with all that it has started. ours: the files
    that it needs."""
    if sys.platform == "linux":
        from gym_http.backends import keeper

        keeper.have_kept(ours)
    elif hasattr(os, "setpgid"):
        with suppress(OSError):
            os.setpgid(0, 0)
    with suppress(OSError):
        os.dup2(2, 1)  # what is printed goes to the log: nobody may read the server's stdout
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's: the server will say when
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with suppress(Exception):  # where there is no stderr, say
        faulthandler.enable()  # a crash says where
    if most_bytes and sys.platform == "linux":
        import resource

        # Of what is private and can be written: not of what libraries merely map or reserve.
        resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))


def _out_of_memory(error: MemoryError, most_bytes: int) -> Failure:
    limit = f" than the {most_bytes} bytes of --worker-memory" if most_bytes else ""
    lost = BackendLost(f"the environment needed more memory{limit or ' than there is'}")
    return failure_of(error)._replace(ours=lost)


def end_with_all() -> None:
    """End this process, and what the environment has started; a keeper sees to that."""
    if sys.platform != "linux" and hasattr(os, "killpg"):
        os.killpg(os.getpgid(0), signal.SIGKILL)
    os._exit(1)
