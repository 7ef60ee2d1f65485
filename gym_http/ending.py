"""The end of instances: of one, and of all when the server stops."""

from __future__ import annotations

import logging
import queue
import threading
import time

from gym_http.backends.contract import Backend
from gym_http.blame import environments_own_code
from gym_http.errors import Busy, GymHTTPError, UnknownInstance
from gym_http.instance import Instance
from gym_http.registry import Registry, killed_its_worker

log = logging.getLogger(__name__)

CLOSERS = 32  # environments that are closed side by side


def end(instance: Instance, registry: Registry) -> None:
    """End a leased instance: its recording, then its environment.

    Raises StorageFailed, EnvFailed; the instance is gone all the same.
    """
    registry.remove(instance)
    finish(instance, registry)


def finish(instance: Instance, registry: Registry) -> None:
    """End what belongs to an instance that nobody can call any more: its recording, then its
    environment. Raises StorageFailed, EnvFailed, TimedOut, BackendLost."""
    try:
        end_recording(instance)
    finally:
        try:
            with environments_own_code(instance.env_id, "close"):
                instance.env.close()
        except GymHTTPError as error:
            if killed_its_worker(instance, error):
                registry.worker_died(instance.backend)
            raise


def condemn(registry: Registry, instance: Instance, error: GymHTTPError) -> None:
    """Give up a leased instance whose environment is gone, or hangs. What is answered says so, and
    which step was its last good one."""
    ahead = error.facts.pop("steps_ahead", 0) * (instance.facts.num_envs or 1)
    instance.progress.steps += ahead  # though nobody was told what they brought
    instance.tally.made(ahead, 0)
    last = instance.progress.steps
    error.facts["last_good_step"] = last
    error.message += f"; its last good step was number {last}" if last else "; it has made no step"
    error.message += "; create a new one"
    if instance.closed:
        return
    registry.retire(instance, error)
    try:
        end_recording(instance)
    except GymHTTPError as failure:
        _log_failure("the recording could not be ended", instance.instance_id, failure)
    close_quietly(instance.env)


def close_quietly(env: Backend) -> None:
    """Close an environment that nobody will get, whatever it says to that."""
    try:
        env.close()
    except Exception:
        log.exception("an environment failed to close")


def close_all(registry: Registry, deadline: float) -> None:
    """End every instance, until `deadline` (of time.monotonic). What fails, or stays, is logged.
    What was being made is closed by who was making it, for its place is refused: the caller sees
    to that (`Places.stopping`).

    A call that doesn't return, or an environment that doesn't close, costs the others nothing.
    """
    todo: queue.SimpleQueue[str] = queue.SimpleQueue()
    unfinished = set(registry.requested_ids())
    for instance_id in unfinished:
        todo.put(instance_id)
        try:
            with registry.lease(instance_id, wait_s=0.0) as instance:
                end_recording(instance)
        except (Busy, UnknownInstance):
            continue
        except Exception as error:
            _log_failure("the recording could not be ended", instance_id, error)

    def close_some() -> None:
        while True:
            try:
                instance_id = todo.get_nowait()
            except queue.Empty:
                return
            try:
                with registry.lease(instance_id, max(0.0, deadline - time.monotonic())) as instance:
                    end(instance, registry)
            except Busy:
                continue
            except UnknownInstance:
                pass  # somebody else has ended it
            except Exception as error:
                _log_failure("could not be closed", instance_id, error)
            unfinished.discard(instance_id)

    threads = [
        threading.Thread(target=close_some, daemon=True)
        for _ in range(min(CLOSERS, len(unfinished)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    for instance_id in sorted(unfinished):
        log.error("could not be closed in time", extra={"instance_id": instance_id})
    if not registry.places.wait_until_none(deadline):
        log.error("an environment was still being made, and could not be closed in time")


def _log_failure(event: str, instance_id: str, error: Exception) -> None:
    fields = {"instance_id": instance_id, "error": str(error)}
    log.error(event, exc_info=error.__cause__ or error, extra=fields)


def end_recording(instance: Instance) -> None:
    """End the recording on a leased instance, if there is one. Raises StorageFailed."""
    recorder, instance.recorder = instance.recorder, None
    if recorder is not None:
        recorder.close()
