"""The app on Granian: one worker process with several threads, and an orderly end.

The main process watches the worker and starts another where it crashed; it holds no environment.
What Granian leaves to its user is done here:

- A port that another server has is refused; Granian shares it, and half of the requests go astray.
- What the worker holds is closed when it ends (`atexit` isn't called there), before the calls
  under way are waited for.
- A worker that crashes is replaced, however often; one whose main process was killed ends.
- SIGHUP ends the server, in place of a reload that would lose every environment.
"""

from __future__ import annotations

import gc
import logging
import math
import multiprocessing
import multiprocessing.util
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from gym_http import logs
from gym_http.ledger import Ledger
from gym_http.service import Service
from gym_http.settings import Settings
from gym_http.web import tls
from gym_http.web.app import create_app
from gym_http.web.connections import Overseer
from gym_http.web.hot import Front
from gym_http.web.room import STACK_BYTES, most_connections, open_many_files, places_of
from gym_http.web.supervisor import (
    ENDING,
    Respawned,
    Supervisor,
    kill_group,
    release_signals,
)

log = logging.getLogger(__name__)

ORPHAN_S = 2.5  # that a worker has to end in, whose main process was killed
NEWBORN_S = 2.0
AGAIN_S = 0.2
LONGEST_HEAD_BYTES = 128 * 1024  # a URL of 64 KB, which is the longest anyway, and headers


class PortInUse(Exception):
    """The address can't be listened on."""


def serve(settings: Settings, greeting: str) -> None:
    """Serve until SIGINT, SIGTERM or `POST /v1/shutdown/`. Raises PortInUse, BadCertificate.

    greeting: printed with `{url}` filled in as soon as the server answers.
    """
    secure = tls.options(settings)
    host, port = free_address(settings.listen, settings.port)
    run_dir = Path(tempfile.mkdtemp(prefix="gym-http-"))
    # Granian works on its own threads, whose stacks are Rust's 2 MiB; environments, and Python's
    # idea of how deep it may recurse, are made for those of a main thread.
    os.environ.setdefault("RUST_MIN_STACK", str(STACK_BYTES))
    most = most_connections(settings.max_connections)
    places = places_of(most)
    server = Supervisor(
        "gym_http",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,  # one request a connection at a time: what is counted, and tested
        workers=1,
        blocking_threads=places,  # each may be held by a body that doesn't come; see `work`
        backpressure=places,
        backlog=max(places, 1024),
        respawn_failed_workers=True,
        workers_kill_timeout=settings.shutdown_timeout_s,
        websockets=False,
        http1_settings=HTTP1Settings(
            header_read_timeout=int(settings.keep_alive_s * 1000),
            max_buffer_size=LONGEST_HEAD_BYTES,
        ),
        **secure,
        log_level=LogLevels.error,
        log_dictconfig={"loggers": {"_granian": {"propagate": True}}},  # into our own log
    )
    server.respawned_wrks = Respawned(run_dir / "loaded")
    url = f"http{'s' if secure else ''}://{f'[{host}]' if ':' in host else host}:{port}"
    greeter = threading.Thread(
        target=_greet, args=((host, port), greeting.format(url=url)), daemon=True
    )
    greeter.start()
    try:
        server.serve(
            target_loader=partial(_load_worker, settings, run_dir, port, most), wrap_loader=False
        )
    finally:
        shutil.rmtree(run_dir, ignore_errors=True)


def free_address(listen: str, port: int) -> tuple[str, int]:
    """The address and port to listen on, a free port where `port` is 0. Raises PortInUse."""
    try:
        found = socket.getaddrinfo(listen, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise PortInUse(f"can't listen on {listen}: {error.strerror}") from error
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise PortInUse(f"can't listen on {listen}:{port}: {error.strerror}") from error
        host, taken = probe.getsockname()[:2]
    return str(host), int(taken)


def _load_worker(settings: Settings, run_dir: Path, port: int, most: int) -> Any:
    """The worker's WSGI app. Runs in the worker process, which may have been spawned or forked.

    run_dir: of this server's run; has the ledger, and a mark that the worker came up.
    most: connections at once.
    """
    for number in ENDING:  # what is inherited is the main process's; Granian's own comes later
        signal.signal(number, signal.SIG_DFL)
    release_signals()
    logs.start(settings.log_level, settings.log_format)
    open_many_files()
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # a terminal's Ctrl-C is for the main process, which then ends the worker
    service = Service(settings, ledger=Ledger(run_dir / "ledger"))
    main = multiprocessing.parent_process()
    assert main is not None and main.pid is not None
    main_pid = main.pid
    service.on_shutdown = lambda: os.kill(main_pid, signal.SIGTERM)
    multiprocessing.util.Finalize(None, service.close_all, exitpriority=100)
    ending = (main, settings.shutdown_timeout_s, run_dir)
    threading.Thread(target=_end_with, args=ending, daemon=True).start()
    app = create_app(settings, service)
    overseer = Overseer(port, app.work, most, settings)
    _close_when_told_to_end(service, overseer)
    overseer.start()
    service.numbers.register(overseer)
    front = Front(app)
    # What has been imported stays: the garbage collector, which would write to all of it, and so
    # take 20 MB that are shared with the main process, need never look at it.
    gc.freeze()
    with suppress(OSError):
        (run_dir / "loaded").touch()
    return front


def _close_when_told_to_end(service: Service, overseer: Overseer) -> None:
    """Close the environments as soon as the worker is told to end, and wait for no slow request.

    Granian first waits for every call under way, and kills the worker where one doesn't return;
    the others' environments and recordings would then never be closed. It takes the signals for
    itself, but Python writes their numbers to a wakeup file as well.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    threading.Thread(
        target=_close_at_signals, args=(service, overseer, reading, writing), daemon=True
    ).start()


def _close_at_signals(
    service: Service, overseer: Overseer, reading: socket.socket, writing: socket.socket
) -> None:
    """Holds both ends for good: once closed, a later signal would be written to another file.

    Granian loses a signal that comes just after it has set its handler. A worker that is told to
    end as soon as it is born tells itself once more.
    """
    born = time.monotonic()
    while number := reading.recv(1):
        if number[0] in ENDING:
            overseer.hurry()
            service.close_all()
            if time.monotonic() - born < NEWBORN_S:
                born = -math.inf
                time.sleep(AGAIN_S)
                os.kill(os.getpid(), number[0])


def _end_with(main: Any, timeout_s: float, run_dir: Path) -> None:
    """End this worker, and what it started, when its main process is gone."""
    main.join()
    log.error("the main process is gone; ending")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(min(timeout_s, ORPHAN_S))  # the process mostly ends in here
    shutil.rmtree(run_dir, ignore_errors=True)
    kill_group(os.getpid())


def _greet(address: tuple[str, int], greeting: str) -> None:
    host, port = address
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    while True:
        try:
            socket.create_connection((target, port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.02)
    print(greeting, flush=True)
