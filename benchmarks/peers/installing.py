"""Environments of the peers' own: what they need stays apart from what gym-http needs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.measuring import Unavailable
from benchmarks.peers import Peer
from benchmarks.servers import ROOT

VENVS = ROOT / ".venv-peers"


def python_of(peer: Peer) -> Path:
    """The interpreter that has what a peer needs; made from PyPI where it isn't there yet. It has
    gym-http's version of Gymnasium, for the work is the same. Raises Unavailable."""
    requirements = [*peer.requirements, f"gymnasium=={version('gymnasium')}"]
    home = VENVS / peer.module
    installed, python = home / "installed", home / "bin" / "python"
    told = f"Python {sys.version}\n" + "\n".join(requirements)
    if not (installed.exists() and installed.read_text() == told):
        print(f"Installing {', '.join(requirements)} into {home}, once …", file=sys.stderr)
        VENVS.mkdir(exist_ok=True)
        (VENVS / ".gitignore").write_text("*\n")
        _run(sys.executable, "-m", "venv", "--clear", str(home))
        _run(str(python), "-m", "pip", "install", "--disable-pip-version-check", *requirements)
        installed.write_text(told)
    return python


def _run(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        said = (ended.stderr or ended.stdout).strip().splitlines()
        raise Unavailable(f"not installed: {said[-1] if said else f'{command[2]} failed'}")
