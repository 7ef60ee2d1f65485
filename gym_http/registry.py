"""The dict of instance_id -> Instance, and who may use one when.

An instance is leased, not looked up: a lease takes the instance's one lock, makes sure that it
still lives, and stamps its use. No lock spans two instances, and the registry's own is held for
dict operations only, never while an environment is built, stepped or closed.
"""

from __future__ import annotations

import copy
import logging
import math
import threading
import time
import uuid
from collections.abc import Callable
from types import TracebackType

from gym_http.errors import (
    BackendLost,
    Busy,
    Evicted,
    GymHTTPError,
    InstanceLost,
    OutOfSequence,
    TimedOut,
    UnknownInstance,
)
from gym_http.gone import Gone
from gym_http.instance import Instance
from gym_http.ledger import Ledger
from gym_http.places import Place, Places
from gym_http.tally import Tally, Totals
from gym_http.watching import is_watching

log = logging.getLogger(__name__)

MOST_WAITING = 8  # calls on one instance
MOST_WATCHING = 4  # … for who only watches: an agent finds a place among them
CLOSED = "closed"  # by whoever had it, or with the server


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
            if is_watching():
                registry.require_time(instance)
                instance.watched = True
            else:
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
        instance = self._instance
        try:
            if error is not None and isinstance(error, GymHTTPError) and error.fatal:
                self._registry.condemn(instance, error)
        finally:
            if instance.watched:
                instance.watched = False
            else:
                instance.renewed = self._registry.monotonic()  # before another may think it idle
            instance.lock.release()


class Registry:
    """Every instance of this server."""

    def __init__(
        self,
        clock: Callable[[], float],
        busy_timeout_s: float,
        ledger: Ledger | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        max_instances: float = math.inf,
    ) -> None:
        """clock: epoch seconds, to be shown. monotonic: seconds, to be reckoned with."""
        self.clock = clock
        self.monotonic = monotonic
        self._busy_timeout_s = busy_timeout_s
        self._ledger = Ledger(None) if ledger is None else ledger
        self._instances: dict[str, Instance] = {}
        self._gone = Gone(monotonic)
        # What is done when a call on a leased instance has ended it.
        self.condemn: Callable[[Instance, GymHTTPError], None] = self.retire
        self._totals = Totals()
        self._lock = threading.Lock()
        self.places = Places(self._lock, self._instances, max_instances)

    def add(self, instance: Instance, place: Place | None = None) -> str:
        """Give the instance an id, eight hexadecimal digits as in v1, and let it be used.

        place: that it takes. Raises ServerStopping with one.
        """
        instance.renewed = self.monotonic()
        with self._lock:
            if place is not None:
                place.take()
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
        waiting for a call on it. Also one that is gone. Who looks is still there: it renews the
        lease, though it isn't a use; who only watches doesn't. Raises UnknownInstance,
        InstanceLost."""
        with self._lock:
            gone: Instance | None = self._gone.instance(instance_id)
            if gone is not None:
                return gone
            instance = self._instances.get(instance_id)
            if instance is not None:
                if not is_watching():
                    instance.renewed = self.monotonic()
                return instance
        raise self.absence(instance_id)

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
        most = MOST_WATCHING if is_watching() else MOST_WAITING
        with self._lock:
            if instance.waiting >= most:
                raise Busy(f"{name} is busy: {instance.waiting} calls wait for it already")
            instance.waiting += 1
        try:
            if not instance.lock.acquire(timeout=wait_s):
                raise Busy(f"{name} is busy: another call has not returned for {wait_s:g} s")
        finally:
            with self._lock:
                instance.waiting -= 1

    def require_time(self, instance: Instance) -> None:
        """Raises Busy for one that is about to be evicted: whoever watched it all the time would
        keep it from that."""
        if instance.idle_s and self.monotonic() - instance.renewed >= instance.idle_s:
            raise Busy(f"Instance_id {instance.instance_id} is about to end: nobody calls it")

    def remove(self, instance: Instance) -> None:
        """Take the instance out. The caller holds its lease and closes the environment."""
        with self._lock:
            taken = self._take_out(instance, CLOSED)
        if taken:
            _log_end(instance, CLOSED, None)

    def retire(self, instance: Instance, error: GymHTTPError) -> None:
        """Take the instance out, and answer `error` to who calls it within the next hour. The
        caller holds its lease and closes the environment."""
        with self._lock:
            kept = self._retire(instance, error)
        _log_end(instance, error.code, kept)

    def evict(self, instance: Instance) -> bool:
        """Retire the instance if it has been without a call for its idle_s, also in this moment.
        The caller closes the environment. Returns whether it was."""
        if not instance.lock.acquire(False):
            return False
        try:
            with self._lock:  # who looks at it does so before, and renews it, or afterwards
                idle = self.monotonic() - instance.renewed
                if instance.closed or instance.waiting or idle < instance.idle_s:
                    return False
                rule = "--idle-timeout" if instance.terms.lease_s is None else "its lease_s"
                reason = f"nobody called it for {instance.idle_s:g} s ({rule})"
                kept = self._retire(instance, Evicted(instance.instance_id, reason))
        finally:
            instance.lock.release()
        _log_end(instance, Evicted.code, kept)
        return True

    def with_lease(self) -> list[Instance]:
        """Those that end when nobody calls them."""
        with self._lock:
            return [instance for instance in self._instances.values() if instance.idle_s]

    def _retire(self, instance: Instance, error: GymHTTPError) -> GymHTTPError:
        error = copy.copy(error)  # without the traceback, which holds the environment
        instance.last_error = error, self.clock()
        if killed_its_worker(instance, error):
            self._totals.deaths[instance.backend] += 1
        self._gone.add(instance.instance_id, instance.remembered(), error)
        self._take_out(instance, error.code)
        return error

    def _take_out(self, instance: Instance, reason: str) -> bool:
        """Returns whether it was in."""
        instance.closed = True
        instance.sequence.forget()
        if self._instances.pop(instance.instance_id, None) is None:
            return False
        self._ledger.closed(instance.instance_id)
        self._totals.closed[instance.backend, reason] += 1
        self._totals.ended[instance.backend].add(instance.tally)
        return True

    def worker_died(self, backend: str) -> None:
        """Count it, where the instance lives on, or has been taken out."""
        with self._lock:
            self._totals.deaths[backend] += 1

    def answered(self, error: GymHTTPError, instance_id: str | None) -> None:
        """Count an error that a call was answered with, and note it at the call's instance. One
        that only says that the call came too early or too late tells nothing of the instance."""
        with self._lock:
            self._totals.errors[error.code] += 1
            instance = None if instance_id is None else self._instances.get(instance_id)
        if instance is None or is_watching():
            return
        if not isinstance(error, (UnknownInstance, Busy, OutOfSequence)):
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


def killed_its_worker(instance: Instance, error: BaseException) -> bool:
    """Whether what the instance lived in is gone by it; on "local" there is no worker."""
    late = isinstance(error, TimedOut) and instance.backend != "local"
    return late or isinstance(error, BackendLost)


def _log_end(instance: Instance, reason: str, error: GymHTTPError | None) -> None:
    fields = {
        "reason": reason,
        "steps": instance.progress.steps,
        "episodes": instance.progress.episodes,
        "error": error and str(error),
    }
    log.info("closed", extra={**instance.names(), **fields})
