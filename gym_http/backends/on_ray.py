"""The environment in an actor of a Ray cluster, on whichever machine has room for it.

The server itself never talks with Ray: a process beside it does, the driver. Ray ends a process
whose cluster can't be reached any more, and that mustn't be the one that holds everybody else's
environments.
"""

from __future__ import annotations

import importlib.util
import math
import os
import pickle
import sys
import time
from typing import Any

from gym_http.backends.contract import Build, Opened
from gym_http.backends.elsewhere import CLOSE_S, Elsewhere, raised, said
from gym_http.backends.line import Broken, Late
from gym_http.backends.ray_driver import (
    ANSWER,
    LATE,
    LOST,
    MISSING,
    OPEN,
    REFUSED,
    STEPS,
)
from gym_http.backends.ray_drivers import Driver, drivers
from gym_http.catalogue import Policy
from gym_http.environments import Recipe
from gym_http.errors import BackendLost, BadValue, DependencyMissing, TimedOut, shown
from gym_http.settings import Settings
from gym_http.terms import Terms

GRACE_S = 10.0  # for the driver, which looks at the limits itself
MOST = 10**15  # of a resource
_OWN = ("num_cpus", "num_gpus", "memory")
_TAKEN = {"CPU": "num_cpus", "GPU": "num_gpus", "object_store_memory": "memory"}


def open_ray(
    recipe: Recipe,
    policy: Policy,
    terms: Terms,
    settings: Settings,
    build: Build,
) -> Opened:
    """Make the environment in a new actor. Raises what `build` raises, BadValue,
    TimedOut, BackendLost. The time that it takes to start Ray isn't part of make_timeout_s."""
    demand = checked_demand(terms.resources)
    if importlib.util.find_spec("ray") is None:
        raise DependencyMissing("the backend 'ray' needs Ray: pip install '.[ray]'")
    if "://" in settings.ray_address:
        raise DependencyMissing(
            "--ray-address takes 'auto' or HOST:PORT of the cluster's head, and the server runs on "
            f"one of its machines; Ray's client, {settings.ray_address}, can't do what is needed"
        )
    backend = RayBackend(recipe, terms, drivers.of(settings.ray_address))
    try:
        limit_s = terms.make_timeout_s or None
        described = raised(backend.make(demand, limit_s, recipe, policy, build))
        return Opened(backend, backend.describe(described))
    except BaseException:
        backend.end()
        raise


def checked_demand(resources: dict[str, Any]) -> dict[str, float]:
    """The resources that were asked for. Raises BadValue."""
    for name, amount in resources.items():
        if not isinstance(name, str) or not 0 < len(name) <= 200:
            raise BadValue(f"resources: expected names of resources, got {shown(name)}")
        if name in _TAKEN:
            raise BadValue(f"resources: {name} is called {_TAKEN[name]} here")
        number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
        if not number or not math.isfinite(amount) or not 0 <= amount <= MOST:
            raise BadValue(
                f"resources.{name}: expected a number from 0 to {MOST:g}, got {shown(amount)}"
            )
        if name == "memory" and amount != int(amount):
            raise BadValue(f"resources.memory: expected bytes, got {shown(amount)}")
        if name != "memory" and amount > 1 and amount != int(amount):
            raise BadValue(f"resources.{name}: above 1, Ray has whole numbers, got {shown(amount)}")
        if 0 < amount < 1e-4:
            raise BadValue(f"resources.{name}: Ray has nothing finer than 0.0001")
    return dict(resources)


class RayBackend(Elsewhere):
    def __init__(self, recipe: Recipe, terms: Terms, driver: Driver) -> None:
        super().__init__(recipe, terms)
        self._line = driver.connect()
        self._ended = False

    def make(self, demand: dict[str, float], limit_s: float | None, *arguments: Any) -> Any:
        """Have an actor placed that has what is demanded, and the environment made there."""
        own = {name: demand[name] for name in _OWN if name in demand}
        if demand:  # else it is as Ray has it: 1 to be placed, none from then on
            own.setdefault("num_cpus", 0)
        others = {name: demand[name] for name in demand if name not in _OWN}
        request = (OPEN, limit_s, own, others, import_paths(), _packed("make", *arguments))
        return self._asked_driver(request, limit_s, "make")

    def ask(self, limit_s: float | None, verb: str, *arguments: Any) -> Any:
        self.require_tenant()
        whole_s = limit_s
        if verb == STEPS and limit_s is not None:
            whole_s = limit_s * len(arguments[0])
        return self._asked_driver((verb, limit_s, _packed(verb, *arguments)), whole_s, verb)

    def _asked_driver(self, request: Any, limit_s: float | None, verb: str) -> Any:
        deadline = None if limit_s is None else time.monotonic() + limit_s + GRACE_S
        try:
            self._line.send(request, None if limit_s is None else limit_s + GRACE_S)
            kind, value, ahead = self._line.receive(None if deadline is None else lambda: deadline)
            if kind == ANSWER:
                return pickle.loads(value)
        except Late:
            kind, value, ahead = LATE, "", 0
        except Broken as error:
            kind, ahead = LOST, 0
            value = f"is gone with our connection to its Ray cluster ({error})"
        except Exception as error:  # pickle raises nearly anything
            kind, ahead = LOST, 0
            value = f"has answered what can't be read here ({type(error).__name__}: {error})"
        if kind == REFUSED:
            raise BadValue(f"resources: {value}")
        if kind == MISSING:
            raise DependencyMissing(value)
        if kind == LATE:
            text = f"{self.env_id} took longer than {limit_of(request):g} s for its {said(verb)}"
            self.lose(TimedOut(text + value), ahead)
        return self.lose(BackendLost(f"the actor of {self.env_id} {value}"), ahead)

    def end(self) -> None:
        """Where its line ends, the driver has the actor killed."""
        if self._ended:
            return
        self._ended = True
        self.lost = BackendLost(f"the actor of {self.env_id} has been ended")
        self._line.close()


def limit_of(request: Any) -> float:
    """Seconds."""
    return request[1] or CLOSE_S


def import_paths() -> list[str]:
    """Where this process looks for modules, besides Python's own places: where the server was
    started, and where it lies. Of use on the same machine, and on others that look alike."""
    own = (sys.prefix, sys.base_prefix)
    return [os.path.abspath(path) for path in sys.path if not path.startswith(own)]


def _packed(verb: str, *arguments: Any) -> bytes:
    return pickle.dumps((verb, *arguments), 5)
