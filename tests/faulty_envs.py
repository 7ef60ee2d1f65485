"""What goes wrong in a Walk: every way that somebody has thought of."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import gymnasium
import numpy as np

from tests.walk import FAILED, FINE, LATE, LOST, Walk, fault

# ---- those that end the process


@fault(LOST)
def segfault(env: Walk) -> None:
    ctypes.string_at(0)


@fault(LOST)
def exits(env: Walk) -> None:
    os._exit(3)


@fault(LOST)
def aborts(env: Walk) -> None:
    os.abort()


@fault(LOST)
def kills_itself(env: Walk) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@fault(LOST)
def kills_its_group(env: Walk) -> None:
    os.killpg(0, signal.SIGKILL)


@fault(LOST)
def kills_its_parent(env: Walk) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


@fault(LOST)
def runs_out_of_time(env: Walk) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (1, 9))
    spins(env)


@fault(LOST)
def exits_with_a_child(env: Walk) -> None:
    """Which has all that it had open."""
    if os.fork() == 0:
        time.sleep(600)
    os._exit(4)


# ---- memory


@fault(LOST)
def leaks(env: Walk) -> None:
    left = []
    while True:
        left.append(bytearray(b"x" * 2**22))


@fault(LOST)
def asks_for_much(env: Walk) -> None:
    np.ones(2**45)


@fault(LOST)
def leaks_natively(env: Walk) -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    while True:
        libc.memset(ctypes.c_void_p(libc.malloc(ctypes.c_size_t(2**22))), 1, 2**22)


# ---- those that never return


@fault(LATE)
def sleeps(env: Walk) -> None:
    time.sleep(600)


@fault(FINE)
def sleeps_a_little(env: Walk) -> None:
    time.sleep(1.5)


@fault(LATE)
def spins(env: Walk) -> None:
    while True:
        pass


@fault(LATE)
def holds_the_gil(env: Walk) -> None:
    re.match(r"(a+)+b", "a" * 60)


@fault(LATE)
def waits_for_itself(env: Walk) -> None:
    lock = threading.Lock()
    with lock:
        lock.acquire()


@fault(LATE)
def stops_itself(env: Walk) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


@fault(LATE)
def blocks_signals(env: Walk) -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    spins(env)


@fault(LATE)
def forks_without_end(env: Walk) -> None:
    """Some of it: each of them spins, and the last ones have left its session."""
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            os.fork()
            while True:
                time.sleep(1)
    spins(env)


# ---- what can't be sent, or shouldn't be


@fault(FAILED)
def raises(env: Walk) -> None:
    raise ZeroDivisionError("by intent")


@fault(FAILED)
def raises_badly(env: Walk) -> None:
    class Bad(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

        def __reduce__(self) -> Any:
            raise RuntimeError("no way")

    raise Bad


@fault(FAILED)
def calls_exit(env: Walk) -> None:
    sys.exit(5)


@fault(FAILED)
def interrupts(env: Walk) -> None:
    raise KeyboardInterrupt


@fault(FAILED)
def recurses(env: Walk) -> None:
    recurses(env)


@fault(FINE)
def not_a_number(env: Walk) -> Any:
    return np.full(env.observation_space.shape, np.nan), float("nan"), False, False, {"x": np.nan}


@fault(FAILED)
def wrong_shape(env: Walk) -> Any:
    return np.zeros(7), 0.0, False, False, {}


@fault(FAILED)
def too_few(env: Walk) -> Any:
    return 1, 2


@fault(FAILED)
def no_number(env: Walk) -> Any:
    return np.zeros(env.observation_space.shape), "much", False, False, {}


@fault(FINE)
def odd_infos(env: Walk) -> Any:
    return (
        np.zeros(env.observation_space.shape),
        0.0,
        False,
        False,
        {"f": lambda: 0, "lock": threading.Lock(), "x": 1},
    )


@fault(FAILED)
def odd_observation(env: Walk) -> Any:
    return threading.Lock(), 0.0, False, False, {}


# ---- noise


@fault(FINE)
def prints(env: Walk) -> None:
    for stream in (sys.stdout, sys.stderr):
        for _ in range(16):
            print("x" * 2**16, file=stream, flush=True)


@fault(LOST)
def closes_files(env: Walk) -> None:
    os.closerange(0, 1000)


@fault(LOST)
def writes_garbage(env: Walk) -> None:
    rubbish = random.Random(0).randbytes(4096)
    for fd in range(3, 200):
        try:
            os.set_blocking(fd, False)
            os.write(fd, rubbish)
        except OSError:
            pass


@fault(LATE)
def writes_orders(env: Walk) -> None:
    """Into what may be the pipes of Python's own servers."""
    for fd in range(3, 200):
        with suppress(OSError):
            os.write(fd, b"gym\x01\xff\xff\xff\xff")


@fault(FINE)
def corrupts_memory(env: Walk) -> None:
    for fd in range(3, 200):
        try:
            if "memfd" in os.readlink(f"/proc/self/fd/{fd}"):
                shared = mmap.mmap(fd, 0)
                shared[:] = b"\xff" * len(shared)
                os.ftruncate(fd, 1)
        except OSError:
            pass


# ---- what it leaves behind


@fault(FINE)
def forks(env: Walk) -> None:
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)


@fault(FINE)
def forks_in_two(env: Walk) -> None:
    """And both come back from the step."""
    os.fork()


@fault(FINE)
def starts_a_process(env: Walk) -> None:
    subprocess.Popen(["sleep", "600"])


@fault(FINE)
def starts_a_daemon(env: Walk) -> None:
    """That has left its session, and whose parent is gone."""
    script = "sleep 600 & sleep 600 & exit"
    subprocess.Popen(["sh", "-c", script], start_new_session=True).wait()


@fault(FINE)
def starts_threads(env: Walk) -> None:
    for _ in range(8):
        threading.Thread(target=time.sleep, args=(600,)).start()


@fault(FINE)
def makes_semaphores(env: Walk) -> None:
    """And shared memory, both with names."""
    import multiprocessing
    from multiprocessing.shared_memory import SharedMemory

    context = multiprocessing.get_context("spawn")
    env.left = context.Lock(), context.Queue(), SharedMemory(create=True, size=10_000)  # type: ignore[attr-defined]


@fault(FINE)
def changes_directory(env: Walk) -> None:
    os.chdir("/")
    os.umask(0o777)


@fault(FINE)
def limits_itself(env: Walk) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))


gymnasium.register("Walk-v0", entry_point=Walk, disable_env_checker=True)
gymnasium.register("HangingImport-v0", entry_point="tests.hanging_import:Walk")
