"""Rounds that a peer's program measures: this process's end of answering.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from benchmarks.measuring import Round, Unavailable
from benchmarks.peers import Peer
from benchmarks.peers.installing import python_of
from benchmarks.servers import END_S, ROOT


@contextmanager
def asked(peer: Peer) -> Iterator[tuple[Round, dict[str, str]]]:
    """A peer that runs: the p50 of its steps in µs, and the versions of its packages. It starts
    what it needs, and ends it. Raises Unavailable, also in a round."""
    command = [str(python_of(peer)), "-m", f"benchmarks.peers.{peer.module}", *peer.arguments]
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            start_new_session=True,  # one that doesn't end can be ended with all that it started
        ) as process,
    ):
        assert process.stdin is not None and process.stdout is not None
        to, answers = process.stdin, process.stdout

        def answer() -> str:
            if line := answers.readline():
                return line
            complaints.seek(0)
            said = complaints.read().strip().splitlines()
            raise Unavailable(said[-1] if said else "it ended without a word")

        def measure_round(seconds: float) -> float:
            with suppress(BrokenPipeError):  # its last words tell why
                print(seconds, file=to, flush=True)
            return float(answer())

        try:
            yield measure_round, json.loads(answer())
        finally:
            with suppress(BrokenPipeError):
                to.close()  # which ends it
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
