"""The app on Granian: one worker process with several threads, and an orderly end.

The main process watches the worker and starts another where it crashed; it holds no environment.
Three things that Granian leaves to its user are done here: a port that another server has is
refused (Granian shares it, and half of the requests go astray); what the worker holds is closed
when it ends (`atexit` isn't called there); and a worker whose main process was killed ends too.
"""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.util
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from gym_http.ledger import Ledger
from gym_http.service import Service
from gym_http.settings import Settings
from gym_http.web.app import create_app

log = logging.getLogger(__name__)

KEEP_ALIVE_MS = 3_600_000  # old clients pause for minutes, and some don't reconnect


class PortInUse(Exception):
    """The address can't be listened on."""


def serve(settings: Settings, greeting: str) -> None:
    """Serve until SIGINT, SIGTERM or `POST /v1/shutdown/`. Raises PortInUse.

    greeting: printed with `{url}` filled in as soon as the server answers.
    """
    host, port = free_address(settings.listen, settings.port)
    run_dir = Path(tempfile.mkdtemp(prefix="gym-http-"))
    server = Server(
        "gym_http",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=settings.threads,
        respawn_failed_workers=True,
        workers_kill_timeout=settings.shutdown_timeout_s,
        websockets=False,
        http1_settings=HTTP1Settings(header_read_timeout=KEEP_ALIVE_MS),
        log_level=LogLevels.error,
    )
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    greeter = threading.Thread(
        target=_greet, args=((host, port), greeting.format(url=url)), daemon=True
    )
    greeter.start()
    try:
        server.serve(
            target_loader=partial(_load_worker, settings, run_dir / "ledger"), wrap_loader=False
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


def _load_worker(settings: Settings, ledger_path: Path) -> Any:
    """The worker's WSGI app. Runs in the worker process, which may have been spawned or forked."""
    start_logging(settings.log_level)
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # a terminal's Ctrl-C is for the main process, which then ends the worker
    for module in settings.imports:
        __import__(module)
    service = Service(settings, ledger=Ledger(ledger_path))
    main = multiprocessing.parent_process()
    assert main is not None and main.pid is not None
    main_pid = main.pid
    service.on_shutdown = lambda: os.kill(main_pid, signal.SIGTERM)
    multiprocessing.util.Finalize(None, service.close_all, exitpriority=100)
    threading.Thread(target=_end_with, args=(main,), daemon=True).start()
    return create_app(settings, service)


def _end_with(main: Any) -> None:
    """End this worker when its main process is gone."""
    main.join()
    log.error("the main process is gone; ending")
    os.kill(os.getpid(), signal.SIGTERM)


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


def start_logging(level: str) -> None:
    logging.basicConfig(
        level=level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
