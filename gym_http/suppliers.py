"""Well-known packages that register their environments when they are imported.

One that is installed is imported when an id is asked for that nobody has, or all are listed. Any
other package comes with `--import`.
"""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gym_http import importing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Supplier:
    module: str
    package: str  # its name for pip
    extra: str  # of ours, which installs it
    prefixes: tuple[str, ...]  # of ids that nobody else has


SUPPLIERS = (
    Supplier("ale_py", "ale-py", "atari", ("ALE/",)),
    Supplier("minigrid", "minigrid", "minigrid", ("MiniGrid-", "BabyAI-")),
)


@lru_cache(maxsize=1)
def import_installed() -> tuple[str, ...]:
    """Import those that are installed, once, and answer which they are."""
    found = []
    for supplier in SUPPLIERS:
        if importlib.util.find_spec(supplier.module) is None:
            continue
        try:
            importing.module(supplier.module)
        except Exception:
            log.exception("%s is installed, but can't be imported", supplier.module)
        else:
            found.append(supplier.module)
    return tuple(found)


def incomplete(env_id: str) -> str | None:
    """What an installed supplier lacks for one of its own; None where it is whole."""
    if env_id.startswith("MiniGrid-WFC-"):
        package = importlib.util.find_spec("minigrid")
        home = package.submodule_search_locations if package else None
        if not home or not Path(home[0], "envs", "wfc", "patterns").is_dir():
            return "MiniGrid from its sources: the patterns are not in its wheel"
    return None


def missing(env_id: str) -> str | None:
    """What to install for an id that nobody has; None where that isn't known."""
    for supplier in SUPPLIERS:
        if env_id.startswith(supplier.prefixes) and supplier.module not in import_installed():
            return f"pip install {supplier.package}, or make serve EXTRAS={supplier.extra}"
    return None
