"""What the kernel knows of this process's connections: Linux's TCP_INFO, of each open file.

Granian has the sockets and tells nobody of them. What is done here is done to copies of their file
descriptors: a number may belong to another file a moment later, and must never be closed here. Each
in turn is copied to the same place, which is kept for it: where connections have taken every file,
they have to be ended all the more.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple, TypeVar

_T = TypeVar("_T")

OPEN_FILES = "/proc/self/fd"
LENGTH = 208  # up to and with bytes_sent, which is there since Linux 4.19
# unacked; last_data_sent, last_data_recv; bytes_acked, bytes_received; notsent_bytes; bytes_sent.
# Source: struct tcp_info in Linux's include/uapi/linux/tcp.h.
_INFO = struct.Struct("=24x I 16x I 4x I 64x Q Q 8x I 52x Q")
assert _INFO.size == LENGTH


class Line(NamedTuple):
    """A connection at one moment. Its bytes are counted from its beginning."""

    inode: int  # no other open file of the process has it
    fd: int
    address: str
    port: int
    received: int
    sent: int
    taken: int  # of what was sent, what its peer says it has; may be one more
    waiting: int  # bytes, or where there are none packets, that its peer hasn't got yet
    is_asking: bool  # whether what came last was sent by its peer


class Lines:
    """The connections that were accepted on `port`. Of one thread; raises OSError where there is
    no file for it to begin with."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._nothing = os.open(os.devnull, os.O_RDONLY)
        self._place = os.dup(self._nothing)

    def close(self) -> None:
        os.close(self._place)
        os.close(self._nothing)

    def found(self) -> Iterator[Line]:
        """Those that there are now."""
        for fd in _open_files():
            with suppress(OSError):  # it was closed in the meantime, say
                line = self._looked_at(fd, self._line)
                if line is not None:
                    yield line

    def cut(self, line: Line, how: int = socket.SHUT_RDWR) -> bool:
        """End a connection, unless it is gone, or something has happened on it since it was seen.

        how: as in socket.shutdown. SHUT_RD ends what comes, as if its peer had: who waits for more
        of a body can still answer.
        """

        def cut_it(copy: socket.socket, fd: int) -> bool:
            if self._line(copy, fd) != line:
                return False
            copy.shutdown(how)
            return True

        with suppress(OSError):
            return self._looked_at(line.fd, cut_it) or False
        return False

    def _looked_at(self, fd: int, look: Callable[[socket.socket, int], _T]) -> _T | None:
        """What `look` finds at a copy of a socket; None where the file is none. Raises OSError."""
        if fd in (self._place, self._nothing):
            return None
        os.dup2(fd, self._place, inheritable=False)
        try:
            if not stat.S_ISSOCK(os.fstat(self._place).st_mode):
                return None
            copy = socket.socket(fileno=self._place)
            try:
                return look(copy, fd)
            finally:
                copy.detach()
        finally:
            os.dup2(self._nothing, self._place, inheritable=False)

    def _line(self, copy: socket.socket, fd: int) -> Line | None:
        if copy.family not in (socket.AF_INET, socket.AF_INET6) or copy.type != socket.SOCK_STREAM:
            return None
        if copy.getsockname()[1] != self._port:
            return None
        address, its_port = copy.getpeername()[:2]
        info = copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LENGTH)
        packets, since_sent, since_received, taken, received, unsent, sent = _INFO.unpack(info)
        return Line(
            os.fstat(copy.fileno()).st_ino,
            fd,
            address,
            its_port,
            received,
            sent,
            taken,
            unsent or packets,
            since_received < since_sent,
        )


def _open_files() -> Iterable[int]:
    """The numbers of this process's open files, or of all that may be where that takes one more
    than there is."""
    try:
        return [int(name) for name in os.listdir(OPEN_FILES)]
    except OSError:
        return range(os.sysconf("SC_OPEN_MAX"))


def are_told() -> bool:
    """Whether this system tells all that: Linux does; what imitates it may tell of zeros only."""
    if sys.platform != "linux" or not os.path.isdir(OPEN_FILES):
        return False
    with suppress(OSError, struct.error), socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as one, server.accept()[0] as other:
            one.sendall(b"12")
            other.recv(2)
            other.sendall(b"345")
            one.recv(3)
            seen = Lines(port)
            counts = [(line.received, line.sent) for line in seen.found()]
            seen.close()
            return (2, 3) in counts
    return False
