"""Ends the instances that nobody has called for as long as they may be idle.

One thread, begun with the first instance that can end so, sleeps until the next one can. Each
environment is closed on a thread of its own, so that one which hangs keeps nobody.
"""

from __future__ import annotations

import logging
import math
import threading
import time

from gym_http.ending import CLOSERS, finish
from gym_http.instance import Instance
from gym_http.registry import Registry

log = logging.getLogger(__name__)

LEAST_SLEEP_S = 0.05  # however short a lease is: those that end meanwhile are ended together
PATIENCE_S = 1.0  # with environments that are being closed, before further ones are begun
AGAIN_S = 1.0  # before another look at one whose time is up, and that somebody looks at


class Reaper:
    """Of one registry. Each method may be called from any thread."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._wake = threading.Condition()
        self._due = math.inf  # when to look again; of the registry's monotonic
        self._thread: threading.Thread | None = None
        self._closing: set[threading.Thread] = set()
        self._free = threading.Semaphore(CLOSERS)

    def watch(self, idle_s: float) -> None:
        """There is an instance that may be idle for so long; 0 is for ever."""
        if not idle_s:
            return
        with self._wake:
            due = self._registry.monotonic() + idle_s
            if due < self._due:
                self._due = due
                self._wake.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="reaper", daemon=True)
                self._thread.start()

    def sweep(self) -> float:
        """End those whose time is up. Returns how many seconds from now the next one's can be."""
        now = self._registry.monotonic()
        ended, soonest = [], math.inf
        for instance in self._registry.with_lease():
            left = instance.idle_s - (now - instance.renewed)
            if left <= 0:
                if self._registry.evict(instance):
                    ended.append(instance)
                    continue
                # A call is under way, whose end renews it, if it isn't one that only watches.
                left = AGAIN_S if instance.watched else instance.idle_s
            soonest = min(soonest, left)
        for instance in ended:
            self._close(instance)
        return soonest

    def stop(self, deadline: float) -> None:
        """End no more, and wait, until `deadline` (of time.monotonic), for those being closed."""
        with self._wake:
            thread, self._thread, self._due = self._thread, None, math.inf
            self._wake.notify_all()
        if thread is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
        for closer in list(self._closing):
            closer.join(max(0.0, deadline - time.monotonic()))
            if closer.is_alive():
                log.error("%s could not be closed in time", closer.name)

    def _work(self) -> None:
        me = threading.current_thread()
        while True:
            with self._wake:
                while self._thread is me and (left := self._left()) > 0:
                    self._wake.wait(min(left, threading.TIMEOUT_MAX))
                if self._thread is not me:
                    return
                self._due = math.inf
            try:
                soonest = self.sweep()
            except Exception:  # nobody else would end what has yet to come
                log.exception("instances that nobody calls could not be ended")
                soonest = PATIENCE_S
            with self._wake:
                due = self._registry.monotonic() + max(soonest, LEAST_SLEEP_S)
                self._due = min(self._due, due)

    def _left(self) -> float:
        return self._due - self._registry.monotonic()

    def _close(self, instance: Instance) -> None:
        """Begin to. Some at a time, but for those that seem to hang."""
        counted = self._free.acquire(timeout=PATIENCE_S)

        def close() -> None:
            try:
                finish(instance, self._registry)
            except Exception as error:
                log.error("closing %s: %s", instance.instance_id, error)
            finally:
                if counted:
                    self._free.release()
                self._closing.discard(closer)

        closer = threading.Thread(target=close, name=instance.instance_id, daemon=True)
        self._closing.add(closer)
        try:
            closer.start()
        except RuntimeError:  # out of threads
            close()
