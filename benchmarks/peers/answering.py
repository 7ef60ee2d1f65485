"""What the peers' programs have in common. It needs Gymnasium only, and runs where they do.

A program starts its server, prints the versions of its packages, and measures a round for each
number of seconds that it reads. It ends when there is nothing more to read.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from benchmarks.measuring import Round
from benchmarks.peers import PEERS

SERVE = "serve"  # the argument by which a program becomes its own server
WARM_UP_S = 2.0  # Ray is still starting workers when it answers first


def answer(measure_round: Round, module: str) -> None:
    """module: the name of the program's, to know its packages by."""
    measure_round(WARM_UP_S)
    packages = next(peer.packages for peer in PEERS if peer.module == module.rpartition(".")[2])
    print(json.dumps({name: version(name) for name in (*packages, "numpy")}), flush=True)
    for line in sys.stdin:
        print(measure_round(float(line)), flush=True)


@contextmanager
def serving(module: str) -> Iterator[int]:
    """`python -m MODULE serve …`, which gets the same arguments, and prints its port."""
    command = [sys.executable, "-m", module, SERVE, *sys.argv[1:]]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            yield int(server.stdout.readline())
        finally:
            server.kill()
