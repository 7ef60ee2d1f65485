"""On which terms an instance is kept: where it lives, and for how long it may take for what."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any

from gym_http.errors import BadValue, shown
from gym_http.settings import BACKEND_NAMES, Settings

# Where a late environment can be killed, it is; on "local" a limit costs a thread, and each step
# the way to it, so that there is one only where somebody asks for it.
MOST_RESOURCES, LONGEST_NAME = 32, 100
LARGEST_RESOURCE = 2.0**53

USUAL_TIMEOUT_S = {"local": 0.0, "process": 300.0, "ray": 300.0}


@dataclass(frozen=True)
class Terms:
    """What a caller asked for; None is the server's setting. `settled` has no None but lease_s.

    Durations are seconds; 0 is no limit. resources: of a Ray actor.
    """

    backend: str | None = None
    resources: dict[str, Any] = field(default_factory=dict)
    step_timeout_s: float | None = None
    make_timeout_s: float | None = None
    lease_s: float | None = None

    def settled(self, settings: Settings) -> Terms:
        """With the server's settings for what was left out. Raises BadValue."""
        backend = self.backend or settings.backend
        if backend not in BACKEND_NAMES:
            names = ", ".join(BACKEND_NAMES)
            raise BadValue(f"backend must be one of {names}, got {shown(backend)}")
        if self.resources and backend != "ray":
            raise BadValue(f"resources are for the backend 'ray', not for {backend!r}")
        _check(self.resources)
        for name in ("step_timeout_s", "make_timeout_s", "lease_s"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= threading.TIMEOUT_MAX:  # nor NaN
                raise BadValue(f"{name}: expected seconds, 0 or more, got {shown(value)}")
        usual = USUAL_TIMEOUT_S[backend]
        return replace(
            self,
            backend=backend,
            step_timeout_s=_first(self.step_timeout_s, settings.step_timeout_s, usual),
            make_timeout_s=_first(self.make_timeout_s, settings.make_timeout_s, usual),
        )


def _check(resources: dict[str, Any]) -> None:
    """Raises BadValue."""
    if len(resources) > MOST_RESOURCES:
        raise BadValue(f"resources: at most {MOST_RESOURCES}, got {len(resources)}")
    for name, value in resources.items():
        if not name.isprintable() or len(name) > LONGEST_NAME:
            raise BadValue(f"resources: {shown(name)} is no resource's name")
        if not isinstance(value, (int, float)) or not 0 <= value < LARGEST_RESOURCE:  # nor NaN
            raise BadValue(f"resources.{name}: expected a number from 0, got {shown(value)}")


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
