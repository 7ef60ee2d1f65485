"""The process beside the server that talks with Ray.

It starts a cluster, or connects to one, and serves a line for each instance, each on a thread of
its own. When the server has gone, so does it, and with it its actors, which Ray sees to.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from gym_http import __version__, forking
from gym_http.backends.line import Broken, Line

TELL_LATE_S = 0.25  # that the news of a step may take beside its own time
OBJECT_STORE_BYTES = 256 * 1024 * 1024  # of a cluster that is started here; frames pass through it
NODE_S = 30.0  # that Ray may take to learn of a node's death; until then it places actors there
AGAIN_S = 0.5

OPEN, STEPS = "open", "steps"  # asked; any other verb is a tenant's
ANSWER, LATE, LOST, REFUSED, MISSING = "answer", "late", "lost", "refused", "missing"
_PREFIX = "gym-ray-"  # of our clusters' directories
Reply = tuple[str, Any, int]  # which of these; the answer or a text; steps made before


def drive(control: socket.socket, hello: socket.socket, address: str) -> None:
    """Serve the lines that come in on `control`, until it ends."""
    forking.end_with_parent()
    if hasattr(os, "setpgid"):
        with suppress(OSError):
            os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's: the server will say when
    os.dup2(2, 1)  # the server's stdout is its own; what environments print is shown beside its log
    scratch = None if address else _scratch()
    try:
        _start(address, scratch)
    except BaseException as error:
        Line(hello, None, copies=True).send(_brief(error))
        _end(scratch)
    Line(hello, None, copies=True).send(None)
    hello.close()
    while True:
        told, fds, _, _ = socket.recv_fds(control, 1, 1)
        if not told:
            break
        if not fds:  # no files left: whom it was for finds it closed
            continue
        line = Line(socket.socket(fileno=fds[0]), None, copies=True)
        threading.Thread(target=_serve, args=(line, scratch is not None), daemon=True).start()
    _end(scratch)


def _scratch() -> str:
    """A directory of a short name: there are sockets in it, whose paths may have 107 bytes. Those
    that killed drivers have left are removed."""
    home = Path("/tmp") if os.path.isdir("/tmp") else Path(tempfile.gettempdir())
    for left in home.glob(f"{_PREFIX}*-*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and _is_over(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=home)


def _is_over(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _start(address: str, scratch: str | None) -> None:
    """scratch: for a cluster of our own, so that nobody else takes it for one that is there to be
    found ("auto")."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    common: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": True}
    if scratch is None:
        ray.init(address, **common)
    else:
        ray.init(
            "local",
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _temp_dir=scratch,
            **common,
        )


def _end(scratch: str | None) -> None:
    """End this process, whatever its threads are waiting for."""
    with suppress(BaseException):
        import ray

        ray.shutdown()
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)


def _serve(line: Line, own_cluster: bool) -> None:
    """Serve an instance until its line ends; then its actor does."""
    seat = _Seat(own_cluster)
    try:
        while True:
            verb, limit_s, *arguments = line.receive()
            line.send(seat.reply(verb, limit_s, arguments))
    except Broken:
        pass
    finally:
        seat.kill()
        line.close()


class _Seat:
    """An actor, as the driver sees it."""

    def __init__(self, own_cluster: bool) -> None:
        self._own_cluster = own_cluster
        self._actor: Any = None
        self._host = ""
        self._made = 0  # steps of the present call

    def reply(self, verb: str, limit_s: float | None, arguments: list[Any]) -> Reply:
        """Whatever Ray raises is told."""
        import ray

        self._made = 0
        try:
            if verb == OPEN:
                return self._open(limit_s, *arguments)
            if verb == STEPS:
                return self._steps(limit_s, *arguments)
            return ANSWER, ray.get(self._actor.answer.remote(*arguments), timeout=limit_s), 0
        except ray.exceptions.GetTimeoutError:
            return self._late("")
        except BaseException as error:
            self.kill()
            return LOST, self._why(error), self._made

    def kill(self) -> None:
        import ray

        actor, self._actor = self._actor, None
        if actor is not None:
            with suppress(Exception):
                ray.kill(actor, no_restart=True)

    def _open(
        self,
        limit_s: float | None,
        own: dict[str, float],
        others: dict[str, float],
        paths: list[str],
        message: bytes,
    ) -> Reply:
        import ray

        demand = {**(own or {"num_cpus": 1}), **others}
        wanted = ", ".join(f"{name} {amount:g}" for name, amount in demand.items() if amount)
        lacking = _lacking(demand)
        if lacking and (self._own_cluster or not _may_grow()):
            return REFUSED, f"no node of the Ray cluster has {wanted}; {lacking}", 0
        end = None if limit_s is None else time.monotonic() + limit_s
        give_up = time.monotonic() + NODE_S
        while True:
            try:
                here, made = self._place(own, others, paths, message)
            except (TypeError, ValueError, OverflowError) as error:
                return REFUSED, _brief(error), 0
            if not ray.wait([here], timeout=_until(end))[0]:
                lacking = _lacking(demand)
                why = f"no node has that: {lacking}" if lacking else "no node had that free"
                return self._late(f": it waited for an actor with {wanted}, and {why}")
            try:
                self._host, problem = ray.get(here)
                break
            except ray.exceptions.RayActorError:  # nothing has been made there
                if time.monotonic() > give_up:
                    raise
                self.kill()
                time.sleep(AGAIN_S)
        if problem is not None:
            self.kill()
            return MISSING, f"the node {self._host} {problem}", 0
        return ANSWER, ray.get(made, timeout=_until(end)), 0

    def _place(
        self, own: dict[str, float], others: dict[str, float], paths: list[str], message: bytes
    ) -> tuple[Any, Any]:
        """Ask for an actor. Returns what will tell where it is, and what it makes there; by then
        both are on their way."""
        # Never anew, never twice: an environment can't be what it was before. SPREAD: Ray's usual
        # way is to fill one node first, and these take nothing of what it counts.
        options = {"max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
        kind = _actor_class().options(**options, **own, resources=others)
        self._actor = kind.remote(paths, __version__)
        return self._actor.where.remote(), self._actor.answer.remote(message)

    def _steps(self, limit_s: float | None, message: bytes) -> Reply:
        """Each step has its time: no longer than that, and what it takes to tell of it, may pass
        without news."""
        import ray

        wait_s = None if limit_s is None else limit_s + TELL_LATE_S
        news = self._actor.steps.options(num_returns="streaming").remote(message)
        while True:
            if not ray.wait([news], timeout=wait_s)[0]:
                return self._late("")
            told = ray.get(next(news))
            if isinstance(told, bytes):
                return ANSWER, told, 0
            self._made = told

    def _late(self, text: str) -> Reply:
        self.kill()
        return LATE, text, self._made

    def _why(self, error: BaseException) -> str:
        """What became of the actor, as far as Ray tells."""
        import ray

        where = f"on {self._host} " if self._host else ""
        if isinstance(error, ray.exceptions.ActorUnavailableError):
            return f"{where}can't be reached, as where its node has died: {_brief(error)}"
        return f"{where}has ended: {_brief(error)}"


def _until(end: float | None) -> float | None:
    """Seconds, 0 at least."""
    return None if end is None else max(0.0, end - time.monotonic())


def _actor_class() -> Any:
    import ray

    from gym_http.backends import ray_actor

    ray.cloudpickle.register_pickle_by_value(ray_actor)
    return ray.remote(ray_actor.Actor)


def _lacking(demand: dict[str, float]) -> str:
    """ "" where a node that lives has all of it; else what the largest of them have of it."""
    import ray

    names = {"num_cpus": "CPU", "num_gpus": "GPU"}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    amounts = [{name: has.get(names.get(name, name), 0.0) for name in demand} for has in nodes]
    if any(all(has[name] >= demand[name] for name in demand) for has in amounts):
        return ""
    most = {name: max((has[name] for has in amounts), default=0.0) for name in demand}
    text = ", ".join(f"{name} {amount:g}" for name, amount in most.items() if demand[name])
    return f"the most that one has is {text}"


def _may_grow() -> bool:
    """Whether the cluster has an autoscaler, which may bring nodes of another kind. One without
    has a kind for each node, named after it."""
    import json

    with suppress(Exception):  # Ray promises nobody where this is told
        from ray.experimental.internal_kv import _internal_kv_get

        status = json.loads(_internal_kv_get("__autoscaling_status"))
        kinds = status["autoscaler_report"]["node_type_mapping"]
        return any(kind != f"node_{node}" for node, kind in kinds.items())
    return True


def _brief(error: BaseException) -> str:
    """The last and telling lines of what Ray writes, on one."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = " ".join(line for line in lines if not line.startswith("\t"))
    for chatter in (
        " Some common causes",
        " There are some potential root",
        " The task may or may",
    ):
        text = text.partition(chatter)[0]
    for chatter in ("The actor died unexpectedly before finishing this task. ", "unavailable: "):
        text = text.rpartition(chatter)[2]
    return " ".join(text.split())[:500]
