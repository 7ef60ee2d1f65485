"""A line between a server and the process of an environment: messages of any size through a socket,
with large arrays beside it, in memory that both have mapped.

What comes in from a process that may have lost its mind is not trusted further than one has to:
a message is read within its time, and none that doesn't begin as ours do.
"""

from __future__ import annotations

import mmap
import os
import pickle
import select
import socket
import struct
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import reduction
from typing import Any

SMALL = 16 * 1024  # bytes of an array that go through the socket like all else
_HEAD = struct.Struct("<4sI")  # a mark, the length of what follows
_MARK = b"gym\x01"
_STAMP = struct.Struct("<dq")  # at the memory's beginning: since when, which step
_PAGE = 4096  # where arrays begin
_ALIGNED = 64
_AT_ONCE = 256 * 1024


class Late(Exception):
    """Nothing came in time."""


class Broken(Exception):
    """The other end is gone, or what comes from it is no message of ours."""


class Memory:
    """Memory that two processes share. It has no name: the kernel frees it with the last of them,
    however they end. It grows where it has to."""

    def __init__(self, fd: int | None = None) -> None:
        self.fd = _unnamed() if fd is None else fd
        try:
            if os.fstat(self.fd).st_size < _PAGE:
                os.ftruncate(self.fd, _PAGE)
            self._map = mmap.mmap(self.fd, 0)  # which takes a file of its own
        except BaseException:
            os.close(self.fd)
            raise

    def place(self, buffers: list[memoryview]) -> list[tuple[int, int]]:
        """Write the buffers. Returns (where, how long) of each."""
        places, end = [], _PAGE
        for buffer in buffers:
            places.append((end, buffer.nbytes))
            end += -(-buffer.nbytes // _ALIGNED) * _ALIGNED
        if end > len(self._map):
            os.ftruncate(self.fd, max(end, 2 * len(self._map)))
            self._map = mmap.mmap(self.fd, 0)  # views of the old one keep it as long as they need
        for (begin, length), buffer in zip(places, buffers, strict=True):
            self._map[begin : begin + length] = buffer
        return places

    def views(self, places: list[tuple[int, int]]) -> list[memoryview]:
        """Raises Broken where there is no such place."""
        if max(begin + length for begin, length in places) > len(self._map):
            self._map = mmap.mmap(self.fd, 0)
        whole = memoryview(self._map)
        found = [whole[begin : begin + length] for begin, length in places]
        if any(view.nbytes != length for view, (_, length) in zip(found, places, strict=True)):
            raise Broken("a place that isn't there")
        return found

    def stamp(self, index: int) -> None:
        """Note that a step begins: where its time is looked at, the clock is the same."""
        _STAMP.pack_into(self._map, 0, time.monotonic(), index)

    def stamped(self) -> tuple[float, int]:
        """(since when, the index) of the step that runs."""
        since, index = _STAMP.unpack_from(self._map, 0)
        return since, index

    def close(self) -> None:
        os.close(self.fd)
        with suppress(BufferError):  # somebody looks at it still
            self._map.close()

    def __reduce__(self) -> Any:  # on its way into a process that is being made
        return _memory_there, (reduction.DupFd(self.fd),)


def _memory_there(fd: Any) -> Memory:
    return Memory(fd.detach())


class Line:
    """One end. Messages go to and fro in turns."""

    def __init__(
        self, end: socket.socket, memory: Memory | None, *, copies: bool, ended: int | None = None
    ) -> None:
        """copies: whether arrays that come in are taken out of the memory at once; else they are
        views, good until the next message. ended: a file that can be read when the other process
        has ended, whoever else may hold its end."""
        self._end = end
        self._memory = memory
        self._copies = copies
        end.setblocking(False)
        self._writable, self._readable = select.poll(), select.poll()
        self._writable.register(end, select.POLLOUT)
        self._readable.register(end, select.POLLIN)
        if ended is not None:
            self._readable.register(ended, select.POLLIN)

    def send(self, value: Any, timeout_s: float | None = None) -> None:
        """Raises Broken, Late; and what pickle raises for a value that can't travel."""
        message = self._packed(value)
        rest = memoryview(_HEAD.pack(_MARK, len(message)) + message)
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while rest:
            try:
                rest = rest[self._end.send(rest) :]
            except BlockingIOError:
                self._wait(self._writable, end)
            except OSError as error:
                raise Broken(str(error)) from error

    def receive(self, deadline: Callable[[], float] | None = None) -> Any:
        """The next message. Raises Late, Broken.

        deadline: says, each time it is asked, at which time.monotonic() it will be late.
        """
        read = bytearray()
        while len(read) < _HEAD.size:
            read += self._some(deadline)
        mark, length = _HEAD.unpack_from(read)
        whole = _HEAD.size + length
        if mark != _MARK:
            raise Broken("what came is no message of ours")
        while len(read) < whole:
            read += self._some(deadline)
        if len(read) > whole:  # nobody speaks out of turn
            raise Broken("more came than one message")
        return self._unpacked(memoryview(read)[_HEAD.size :])

    def close(self) -> None:
        self._end.close()
        if self._memory is not None:
            self._memory.close()

    def _packed(self, value: Any) -> bytes:
        if self._memory is None:
            return b"\0" + pickle.dumps(value, 5)
        buffers: list[memoryview] = []

        def small(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes < SMALL:
                return True
            buffers.append(raw)
            return False

        data = pickle.dumps(value, 5, buffer_callback=small)
        if not buffers:
            return b"\0" + data
        return b"\1" + pickle.dumps((self._memory.place(buffers), data), 5)

    def _unpacked(self, message: memoryview) -> Any:
        try:
            if message[0] == 0:
                return pickle.loads(message[1:])
            places, data = pickle.loads(message[1:])
            assert self._memory is not None
            views = self._memory.views(places)
            return pickle.loads(data, buffers=map(bytearray, views) if self._copies else views)
        except Broken:
            raise
        except Exception as error:  # pickle raises nearly anything
            raise Broken(f"{type(error).__name__}: {error}") from error

    def _some(self, deadline: Callable[[], float] | None) -> bytes:
        """What there is to read, once there is."""
        self._wait(self._readable, deadline and deadline())
        try:
            some = self._end.recv(_AT_ONCE)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise Broken(str(error)) from error
        if not some:
            raise Broken("it has hung up")
        return some

    def _wait(self, poll: Any, end: float | None) -> None:
        """Until the line may be ready, or that time. Raises Late, Broken."""
        wait_s = None if end is None else end - time.monotonic()
        if wait_s is not None and wait_s <= 0:
            raise Late
        ready = poll.poll(None if wait_s is None else min(1000 * wait_s + 1, 2**31 - 1))
        if ready and all(fd != self._end.fileno() for fd, _ in ready):
            raise Broken("its process has ended")


def _unnamed() -> int:
    """A file without a name, in memory where there is that."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("gym-http", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with suppress(OSError, ImportError, AttributeError):
            import fcntl

            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        return fd
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
