"""The dict of instance_id -> Instance, and who may use one when.

An instance is leased, not looked up: a lease takes the instance's one lock, makes sure that it
still lives, and stamps its use. No lock spans two instances, and the registry's own is held for
dict operations only, never while an environment is built, stepped or closed.
"""

from __future__ import annotations

import copy
import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from gym_http import spaces
from gym_http.backends.contract import Backend, Foreseeing
from gym_http.environments import Facts
from gym_http.errors import (
    BackendLost,
    Busy,
    GymHTTPError,
    InstanceLost,
    OutOfSequence,
    TimedOut,
    UnknownInstance,
)
from gym_http.gone import Gone
from gym_http.ledger import Ledger
from gym_http.progress import Progress
from gym_http.recording.recorder import Recorder
from gym_http.tally import Tally, Totals
from gym_http.terms import Terms

log = logging.getLogger(__name__)

MOST_WAITING = 8  # calls on one instance
CLOSED = "closed"  # by whoever had it, or with the server


@dataclass(slots=True)
class Instance:
    """One environment and what the server knows of it. Touched under a lease only."""

    requested_id: str  # as the caller wrote it
    env: Backend
    facts: Facts
    created: float  # epoch seconds
    last_used: float
    progress: Progress = field(default_factory=Progress)
    instance_id: str = ""
    terms: Terms = field(default_factory=Terms)
    pending_seed: int | None = None  # given at create, for the first reset
    recorder: Recorder | None = None
    last_error: tuple[GymHTTPError, float] | None = None  # and when, in epoch seconds
    tally: Tally = field(default_factory=Tally)
    foresees: bool = field(init=False)  # whether its backend does
    lock: Any = field(default_factory=threading.RLock)
    waiting: int = 0
    closed: bool = False

    def __post_init__(self) -> None:
        self.foresees = isinstance(self.env, Foreseeing)

    @property
    def env_id(self) -> str:
        return self.facts.env_id

    @property
    def backend(self) -> str:
        return self.terms.backend or "local"

    def names(self) -> dict[str, str]:
        """What the log calls it by."""
        return {
            "instance_id": self.instance_id,
            "env_id": self.env_id,
            "backend": self.backend,
        }

    def decode(self, action: Any) -> Any:
        """The element of the action space that it stands for. Raises BadValue."""
        space = self.env.action_space
        return spaces.row(spaces.decode, space.__class__)(space, action)

    def encode(self, observation: Any) -> Any:
        """As wire values. Raises TypeError, ValueError, LookupError for what is none."""
        space = self.env.observation_space
        return spaces.row(spaces.encode, space.__class__)(space, observation)


class Lease:
    """`with` it, the instance is the caller's. A class: a generator's context takes four times as
    long, and every call has one."""

    __slots__ = ("_instance", "_instance_id", "_registry", "_wait_s")

    def __init__(self, registry: Registry, instance_id: str, wait_s: float | None) -> None:
        self._registry = registry
        self._instance_id = instance_id
        self._wait_s = wait_s

    def __enter__(self) -> Instance:
        registry = self._registry
        instance = self._instance = registry.find(self._instance_id)
        if not instance.lock.acquire(False):
            registry.wait(instance, self._wait_s)
        try:
            if instance.closed:
                raise registry.absence(self._instance_id)
            instance.last_used = registry.clock()
        except BaseException:  # somebody's Ctrl-C, say
            instance.lock.release()
            raise
        return instance

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if isinstance(error, GymHTTPError) and error.fatal:
                self._registry.condemn(self._instance, error)
        finally:
            self._instance.lock.release()


class Registry:
    """Every instance of this server."""

    def __init__(
        self, clock: Callable[[], float], busy_timeout_s: float, ledger: Ledger | None = None
    ) -> None:
        self.clock = clock
        self._busy_timeout_s = busy_timeout_s
        self._ledger = Ledger(None) if ledger is None else ledger
        self._instances: dict[str, Instance] = {}
        self._gone = Gone(clock)
        # What is done when a call on a leased instance has ended it.
        self.condemn: Callable[[Instance, GymHTTPError], None] = self.retire
        self._totals = Totals()
        self._lock = threading.Lock()

    def add(self, instance: Instance) -> str:
        """Give the instance an id, eight hexadecimal digits as in v1, and let it be used."""
        with self._lock:
            while True:
                instance_id = uuid.uuid4().hex[:8]
                if instance_id not in self._instances and not self._was(instance_id):
                    break
            instance.instance_id = instance_id
            self._ledger.opened(instance_id)
            self._instances[instance_id] = instance
            self._totals.created[instance.backend] += 1
        facts = instance.facts
        fields = {"engine": facts.engine, "num_envs": facts.num_envs}
        log.info("created", extra={**instance.names(), **fields})
        return instance_id

    def requested_ids(self) -> dict[str, str]:
        """instance_id -> the environment id that was asked for, oldest first."""
        with self._lock:
            return {key: instance.requested_id for key, instance in self._instances.items()}

    def peek(self, instance_id: str) -> Instance:
        """The instance, to be looked at only: its numbers, each of which is whole, without
        waiting for a call on it. Also one that is gone. Raises UnknownInstance, InstanceLost."""
        with self._lock:
            gone = self._gone.instance(instance_id)
        return gone or self.find(instance_id)

    def lease(self, instance_id: str, wait_s: float | None = None) -> Lease:
        """A context with the instance, for this caller alone. Entering it raises UnknownInstance,
        InstanceLost, Busy.

        wait_s: for the calls before this one; the setting by default.
        """
        return Lease(self, instance_id, wait_s)

    def wait(self, instance: Instance, wait_s: float | None) -> None:
        """Take the instance's lock within `wait_s`, or the setting. For Lease. Raises Busy.

        Only so many may wait: each occupies one of the server's threads, and those who wait for
        a call that doesn't return would in the end keep everybody else from being served.
        """
        wait_s = self._busy_timeout_s if wait_s is None else wait_s
        name = f"Instance_id {instance.instance_id}"
        with self._lock:
            if instance.waiting >= MOST_WAITING:
                raise Busy(f"{name} is busy: {instance.waiting} calls wait for it already")
            instance.waiting += 1
        try:
            if not instance.lock.acquire(timeout=wait_s):
                raise Busy(f"{name} is busy: another call has not returned for {wait_s:g} s")
        finally:
            with self._lock:
                instance.waiting -= 1

    def remove(self, instance: Instance, error: GymHTTPError | None = None) -> None:
        """Take the instance out. The caller holds its lease and closes the environment.

        error: what it ended by, where nobody asked for it.
        """
        instance.closed = True
        reason = CLOSED if error is None else error.code
        with self._lock:
            if self._instances.pop(instance.instance_id, None) is None:
                return
            self._ledger.closed(instance.instance_id)
            self._totals.closed[instance.backend, reason] += 1
            self._totals.ended[instance.backend].add(instance.tally)
        fields = {
            "reason": reason,
            "steps": instance.progress.steps,
            "episodes": instance.progress.episodes,
            "error": error and str(error),
        }
        log.info("closed", extra={**instance.names(), **fields})

    def retire(self, instance: Instance, error: GymHTTPError) -> None:
        """Take the instance out, and answer `error` to who calls it within the next hour. The
        caller holds its lease and closes the environment."""
        error = copy.copy(error)  # one that was raised has a traceback, which keeps what it saw
        with self._lock:
            self._gone.add(instance.instance_id, instance, error)
        instance.last_error = error, self.clock()
        if isinstance(error, BackendLost) or (
            isinstance(error, TimedOut) and instance.backend != "local"  # where there is no worker
        ):
            self.worker_died(instance.backend)
        self.remove(instance, error)

    def worker_died(self, backend: str) -> None:
        """Count it: an instance's worker is gone, whatever becomes of the instance."""
        with self._lock:
            self._totals.deaths[backend] += 1

    def answered(self, error: GymHTTPError, instance_id: str | None) -> None:
        """Count an error that a call was answered with, and note it at the call's instance. One
        that only says that the call came too early or too late tells nothing of the instance."""
        with self._lock:
            self._totals.errors[error.code] += 1
            instance = None if instance_id is None else self._instances.get(instance_id)
        if instance is not None and not isinstance(error, (UnknownInstance, Busy, OutOfSequence)):
            instance.last_error = copy.copy(error), self.clock()

    def counted(self) -> tuple[list[tuple[str, Tally]], Totals]:
        """(backend and numbers of each living instance, those of the server so far). An instance
        that is about to end is in the one or in the other."""
        with self._lock:
            living, totals = list(self._instances.values()), self._totals.copy()
        return [(instance.backend, instance.tally) for instance in living], totals

    def forget(self, instance_id: str) -> bool:
        """Remember no longer an instance that is gone. Returns whether it was."""
        with self._lock:
            return self._gone.remove(instance_id)

    def absence(self, instance_id: str) -> GymHTTPError:
        """What to answer of an id that no instance has."""
        with self._lock:
            gone = self._gone.error(instance_id)
        if gone is not None:
            return gone
        lost = self._ledger.lost(instance_id)
        return InstanceLost(instance_id) if lost else UnknownInstance(instance_id)

    def _was(self, instance_id: str) -> bool:
        return self._ledger.lost(instance_id) or self._gone.instance(instance_id) is not None

    def find(self, instance_id: str) -> Instance:
        """For Lease. Raises UnknownInstance, InstanceLost, or how it ended."""
        instance = self._instances.get(instance_id)
        if instance is None:
            raise self.absence(instance_id)
        return instance
