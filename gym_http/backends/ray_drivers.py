"""The server's handle on the process that talks with Ray: started when first asked for, and anew
where it has died, as it does when it loses its cluster."""

from __future__ import annotations

import logging
import multiprocessing.util
import os
import signal
import socket
import threading
import time
from contextlib import ExitStack, suppress

from gym_http import forking
from gym_http.backends.line import Broken, Late, Line
from gym_http.backends.ray_driver import drive
from gym_http.backends.undertaker import Undertaker
from gym_http.errors import BackendLost

log = logging.getLogger(__name__)

START_S = 120.0  # that Ray may take to start, or to be found
END_S = 5.0
KNOCK_S = 5.0


class Driver:
    """The server's handle. Making one starts the process. Raises BackendLost."""

    def __init__(self, address: str) -> None:
        _knock(address)
        self._sending = threading.Lock()
        with ExitStack() as undo:
            try:
                self._control, theirs = map(undo.enter_context, socket.socketpair())
                hello, hello_there = map(undo.enter_context, socket.socketpair())
                self._process = forking.context().Process(
                    target=drive, args=(theirs, hello_there, address), name="gym-http ray"
                )
                _undertaker.start()
                self._process.start()
            except (OSError, EOFError) as error:  # out of files, perhaps
                raise BackendLost(f"no process could be made to talk with Ray: {error}") from error
            undo.pop_all()
        theirs.close()
        hello_there.close()
        _undertaker.begun(self._process.pid)
        log.info("%s Ray", f"connecting to {address}:" if address else "starting")
        line = Line(hello, None, copies=True, ended=self._process.sentinel)
        end = time.monotonic() + START_S
        try:
            problem = line.receive(lambda: end)
        except Late:
            problem = f"it took longer than {START_S:g} s"
        except Broken as error:
            problem = str(error)
        finally:
            line.close()
        if problem is not None:
            self.end()
            what = (
                f"the Ray cluster {address!r} can't be reached (the log may tell more)"
                if address
                else ("Ray could not be started")
            )
            raise BackendLost(f"{what}: {problem}")

    @property
    def alive(self) -> bool:
        try:
            return self._control.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True  # it has nothing to say
        except OSError:
            return False

    def connect(self) -> Line:
        """A line for one instance. Raises BackendLost."""
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise BackendLost(f"there can't be another line to Ray ({error})") from error
        try:
            with self._sending:
                socket.send_fds(self._control, [b"+"], [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise BackendLost(f"our connection to the Ray cluster is gone ({error})") from error
        finally:
            theirs.close()
        return Line(ours, None, copies=True, ended=self._process.sentinel)

    def end(self) -> None:
        """End the process, and the cluster that it started."""
        self._control.close()
        self._process.join(END_S)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        _undertaker.ended(self._process.pid)


def _knock(address: str) -> None:
    """Raise BackendLost where nobody listens at HOST:PORT: Ray would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()
    except (OSError, OverflowError) as error:
        raise BackendLost(f"the Ray cluster {address!r} can't be reached: {error}") from error


class Drivers:
    """The one driver of this server, and the next one where it has died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._driver: Driver | None = None

    def of(self, address: str) -> Driver:
        """Raises BackendLost."""
        with self._lock:
            if self._driver is not None and not self._driver.alive:
                log.error("the connection to Ray is gone, and the instances on it with it")
                self._driver.end()
                self._driver = None
            if self._driver is None:
                self._driver = Driver(address)
            return self._driver

    def end(self) -> None:
        with self._lock:
            if self._driver is not None:
                self._driver.end()
                self._driver = None


_undertaker = Undertaker()
drivers = Drivers()
# After the instances have been closed, and before Python waits for its processes.
multiprocessing.util.Finalize(None, drivers.end, exitpriority=40)
