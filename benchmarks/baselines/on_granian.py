"""A WSGI callable on Granian, served as a baseline is: its port is printed."""

from __future__ import annotations

import socket

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels


def serve(target: str) -> None:
    """target: "module:callable"."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    print(port, flush=True)
    Granian(
        target,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.WSGI,
        blocking_threads=64,  # as ours has
        websockets=False,
        log_level=LogLevels.error,
    ).serve()
