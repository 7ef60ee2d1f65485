"""What one client does with one instance, whose environment goes wrong or not, and whether the
server has answered each call as it should: a step as its twin in this process makes it, a fault as
that fault is answered."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil

import tests.faulty_envs  # noqa: F401  # whose codes are CODES
from tests.walk import CODES, FAILED, FINE, LATE, LOST, Walk

LATE_S = 1.0  # for steps of which one never returns
LONG_S = 120.0  # for all others, on a machine that has much else to do
REPLACED = ("not_a_number", "odd_infos")  # whose step isn't the twin's
# In a rollout, noticed only when it tells of it; or they overwrite the number of the step.
UNCOUNTED = ("closes_files", "writes_garbage", "writes_orders")
SLOW = ("sleeps_a_little",)  # a fault where nothing can be killed
ELSEWHERE = ("segfault", "exits", "kills_itself", "sleeps", "holds_the_gil", "raises", "calls_exit",
             "starts_a_process", "starts_a_daemon")  # which may happen in any verb  # fmt: skip
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP, signal.SIGSTOP)


class Wrong(Exception):
    """The server did what it shouldn't."""


@dataclass(frozen=True)
class Errand:
    """how: a fault, or nothing; at: in which step, or where: in which other verb. killed: after so
    many seconds the environment's process, or its keeper, gets a signal."""

    seed: int
    how: str = ""
    at: int = 0
    where: str = "step"
    size: int = 3
    length: int = 30
    calls: int = 20
    pause_s: float = 0.0
    killed: tuple[float, int, bool] | None = None  # after, signal, whether it's the keeper

    @property
    def code(self) -> str:
        """What is answered when it happens."""
        if self.how and self.where == "make" and CODES[self.how] == FAILED:
            return "make_failed"
        if self.killed:
            return LATE if self.killed[1] == signal.SIGSTOP else LOST
        return CODES.get(self.how, FINE)

    @property
    def limit_s(self) -> float:
        return LATE_S if self.code == LATE else LONG_S

    def __str__(self) -> str:
        if self.killed is None:
            return f"{self.how or 'nothing'}, {self.where}"
        _, number, keeper = self.killed
        return f"{signal.Signals(number).name} for the {'keeper' if keeper else 'process'}"


def drawn(rng: random.Random) -> Errand:
    errand: dict[str, Any] = {
        "seed": rng.randrange(2**31),
        "size": rng.choice((1, 3, 3, 3000)),
        "length": rng.randint(1, 60),
        "calls": rng.randint(5, 40),
        "pause_s": rng.choice((0.0, 0.0, 0.002)),
    }
    kind = rng.random()
    if kind < 0.2:
        errand["killed"] = rng.random() * 0.3, rng.choice(SIGNALS), rng.random() < 0.3
    elif kind < 0.4:
        errand["how"], errand["where"] = (
            rng.choice(ELSEWHERE),
            rng.choice(("make", "reset", "render", "close")),
        )
    elif kind < 0.9:
        errand["how"] = rng.choice([how for how in CODES if how not in SLOW])
        errand["at"] = rng.randint(1, 50)
        if errand["how"] == "limits_itself":  # further memory would take a further file
            errand["size"] = 3
    return Errand(**errand)


class Talk:
    """A connection, on which nothing is tried twice."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._connection = http.client.HTTPConnection(*address, timeout=2 * LONG_S)
        self.close = self._connection.close

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """(status, the reply). Raises Wrong where there is none that is typed."""
        sent = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/json"}
        try:
            self._connection.request(method, path, sent, headers)
            got = self._connection.getresponse()
            data = got.read()
        except (OSError, http.client.HTTPException) as error:
            raise Wrong(f"no reply to {method} {path}: {error!r}") from error
        if got.status == 200 and got.headers.get_content_type() != "application/json":
            return got.status, data  # a picture
        reply = json.loads(data)
        if got.status != 200 and not ("code" in reply and "message" in reply):
            raise Wrong(f"an untyped reply to {method} {path}: {got.status} {data[:200]!r}")
        return got.status, reply


class _Ended(Exception):
    """The instance has, with that code."""


class Run:
    """One errand, run."""

    def __init__(self, errand: Errand, talk: Talk, mark: str) -> None:
        """mark: that the server's processes have in their environment, and no other."""
        self.errand, self.talk, self.mark = errand, talk, mark
        self.rng = random.Random(errand.seed)
        self.twin = Walk(size=errand.size, length=errand.length)
        self.seeds = iter(range(errand.seed, errand.seed + 10**6))
        self.instance = ""
        self.happened = False  # what leaves the instance alive
        self.steps_made = 0

    def run(self) -> str:
        """The code with which it ended, "" for none. Raises Wrong."""
        errand = self.errand
        killer = None
        try:
            self._make()
            pid = self._reset(seeded=True)
            if errand.killed:
                killer = threading.Timer(errand.killed[0], self._kill, (pid,))
                killer.start()
            for _ in range(errand.calls):
                self._call()
            if killer is not None:
                killer.join()
            self._close()
        except _Ended as ended:
            if errand.code == FAILED and errand.where == "reset":
                self.talk.ask("POST", f"{self.instance}/close/", {})
            return str(ended)
        except BaseException:
            with suppress(Wrong):
                self.talk.ask("POST", f"{self.instance}/close/", {})
            raise
        finally:
            if killer is not None:
                killer.cancel()
                killer.join()
        expected = errand.code == FINE or errand.killed or self.happened or not self._had_to()
        if not expected:
            raise Wrong(f"{errand}: it should have happened")
        return FAILED if errand.code == FAILED and self.happened else FINE

    def _had_to(self) -> bool:
        return self.errand.where in ("make", "reset", "close") or (
            self.errand.where == "step" and 0 < self.errand.at <= self.steps_made
        )

    # ---- calls

    def _make(self) -> None:
        errand = self.errand
        status, reply = self.talk.ask("POST", "/v1/envs/", {
            "env_id": "Walk-v0",
            "step_timeout_s": errand.limit_s,
            "make_timeout_s": errand.limit_s if errand.where == "make" else LONG_S,
            "kwargs": {name: getattr(errand, name)
                       for name in ("how", "at", "where", "size", "length", "pause_s")},
        })  # fmt: skip
        if status != 200:
            if errand.where != "make" or reply["code"] != errand.code:
                raise Wrong(f"{errand}: it was not made: {reply}")
            raise _Ended(reply["code"])
        self.instance = f"/v1/envs/{reply['instance_id']}"

    def _call(self) -> None:
        chance = self.rng.random()
        if chance < 0.7:
            self._steps("step", 1)
        elif chance < 0.9:
            self._steps("rollout", self.rng.randint(1, 30))
        elif chance < 0.95:
            self._asked("render", "GET", "/render/")
        else:
            self._reset()

    def _reset(self, seeded: bool = False) -> int:
        seed = next(self.seeds) if seeded else None
        reply = self._asked("reset", "POST", "/reset/", {"seed": seed})
        if reply is None:  # it failed, and the twin has to begin where a next one does
            raise _Ended(FAILED)
        self._same(reply["observation"], self.twin.reset(seed=seed)[0])
        return int(reply["info"]["pid"])

    def _steps(self, verb: str, count: int) -> None:
        if count == 1 and verb == "step":
            action = self.rng.randrange(2)
            reply = self._asked("step", "POST", "/step/", {"action": action})
            actions, several = [action], reply and {
                "observations": [reply["observation"]], "rewards": [reply["reward"]],
                "done": [reply["done"]],
            }  # fmt: skip
        else:
            actions = [self.rng.randrange(2) for _ in range(count)]
            several = self._asked("step", "POST", "/rollout/", {"actions": actions})
        if several is None:  # it failed, which a reset heals
            self.steps_made = max(self.steps_made, self.errand.at)
            self._reset(seeded=True)
            return
        done = False
        for action, observation, reward, done in zip(
            actions, several["observations"], several["rewards"], several["done"], strict=False
        ):
            self.steps_made += 1
            expected, expected_reward, ended, *_ = self.twin.step(action)
            if self.steps_made == self.errand.at and self.errand.how in REPLACED:
                self.happened = True
                continue
            self._same(observation, expected)
            if (reward, done) != (expected_reward, ended):
                raise Wrong(f"{self.errand}: step {self.steps_made} isn't its twin's")
        if self.steps_made >= self.errand.at > 0 and self.errand.code not in (FINE, FAILED):
            raise Wrong(f"{self.errand}: step {self.errand.at} was made")
        if done or self.twin.time >= self.errand.length:
            self._reset()

    def _close(self) -> None:
        if self._asked("close", "POST", "/close/", {}) is not None:
            status, reply = self.talk.ask("GET", self.instance)
            if status == 200 or reply["code"] != "unknown_instance":
                raise Wrong(f"{self.errand}: it was closed, and is there: {reply}")

    # ---- answers

    def _asked(self, where: str, method: str, path: str, body: Any = None) -> Any:
        """The reply; or None where the environment failed, and lives. Raises _Ended, Wrong."""
        status, reply = self.talk.ask(method, self.instance + path, body)
        if status == 200:
            return reply
        errand, code = self.errand, reply["code"]
        # Who waits for what never returns may be too late before that, on a busy machine.
        early = code == LATE and errand.limit_s == LATE_S
        if code != errand.code or not (errand.killed or where == errand.where or early):
            raise Wrong(f"{errand}: {where} was answered {reply}")
        if code == FAILED and not errand.killed:
            self.happened = True
            if where == "close":
                raise _Ended(FAILED)
            return None
        if where == errand.where == "step" and not (errand.killed or early):
            last = reply["last_good_step"]
            if last != errand.at - 1 and errand.how not in UNCOUNTED:
                raise Wrong(f"{errand}: at step {errand.at}: {reply}")
        if where != "close":
            self._check_condemned(code)
        raise _Ended(code)

    def _check_condemned(self, code: str) -> None:
        status, told = self.talk.ask("GET", self.instance)
        if status != 200 or told["last_error"]["code"] != code:
            raise Wrong(f"{self.errand}: afterwards it is {told}")
        status, again = self.talk.ask("POST", f"{self.instance}/step/", {"action": 0})
        if again.get("code") != code:
            raise Wrong(f"{self.errand}: a later call is answered {again}")
        status, reply = self.talk.ask("POST", f"{self.instance}/close/", {})
        if status != 200:
            raise Wrong(f"{self.errand}: it can't be closed: {reply}")

    def _same(self, got: Any, expected: Any) -> None:
        if got != expected.tolist():
            raise Wrong(f"{self.errand}: step {self.steps_made} isn't its twin's")

    def _kill(self, pid: int) -> None:
        assert self.errand.killed is not None
        _, number, keeper = self.errand.killed
        with suppress(psutil.Error, ProcessLookupError):
            process = psutil.Process(pid)
            if self.mark not in process.environ().values():
                return
            os.kill(process.ppid() if keeper else pid, number)
