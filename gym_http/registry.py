"""The dict of instance_id -> Instance, and who may use one when.

An instance is leased, not looked up: a lease takes the instance's one lock, makes sure that it
still lives, and stamps its use. No lock spans two instances, and the registry's own is held for
dict operations only, never while an environment is built, stepped or closed.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from gym_http import spaces
from gym_http.backends.contract import Backend
from gym_http.environments import Facts
from gym_http.errors import Busy, InstanceLost, UnknownInstance
from gym_http.ledger import Ledger
from gym_http.progress import Progress
from gym_http.recording.recorder import Recorder

MOST_WAITING = 8  # calls on one instance


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
    pending_seed: int | None = None  # given at create, for the first reset
    recorder: Recorder | None = None
    lock: Any = field(default_factory=threading.Lock)
    waiting: int = 0
    closed: bool = False

    @property
    def env_id(self) -> str:
        return self.facts.env_id

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
                raise UnknownInstance(self._instance_id)
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
        self._lock = threading.Lock()

    def add(self, instance: Instance) -> str:
        """Give the instance an id, eight hexadecimal digits as in v1, and let it be used."""
        with self._lock:
            while True:
                instance_id = uuid.uuid4().hex[:8]
                if instance_id not in self._instances and not self._ledger.lost(instance_id):
                    break
            instance.instance_id = instance_id
            self._ledger.opened(instance_id)
            self._instances[instance_id] = instance
        return instance_id

    def requested_ids(self) -> dict[str, str]:
        """instance_id -> the environment id that was asked for, oldest first."""
        with self._lock:
            return {key: instance.requested_id for key, instance in self._instances.items()}

    def peek(self, instance_id: str) -> Instance:
        """The instance, to be looked at only: its numbers, each of which is whole, without
        waiting for a call on it. Raises UnknownInstance, InstanceLost."""
        return self.find(instance_id)

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

    def remove(self, instance: Instance) -> None:
        """Take the instance out. The caller holds its lease and closes the environment."""
        instance.closed = True
        with self._lock:
            self._instances.pop(instance.instance_id, None)
            self._ledger.closed(instance.instance_id)

    def find(self, instance_id: str) -> Instance:
        """For Lease. Raises UnknownInstance, InstanceLost."""
        instance = self._instances.get(instance_id)
        if instance is None:
            if self._ledger.lost(instance_id):
                raise InstanceLost(instance_id)
            raise UnknownInstance(instance_id)
        return instance
