"""What the kernel knows of this process's connections: Linux's TCP_INFO, of each open file.

Granian has the sockets and tells nobody of them. What is done here is done to copies of their file
descriptors: a number may belong to another file a moment later, and must never be closed here.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
from collections.abc import Callable, Iterator
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


def lines(port: int) -> Iterator[Line]:
    """The connections that were accepted on `port`. Raises OSError where no file can be opened."""
    for name in os.listdir(OPEN_FILES):
        with suppress(OSError):  # it was closed in the meantime, say
            line = _looked_at(int(name), port, _line)
            if line is not None:
                yield line


def cut(line: Line, port: int, how: int = socket.SHUT_RDWR) -> bool:
    """End a connection, unless it is gone, or something has happened on it since it was seen.

    how: as in socket.shutdown. SHUT_RD ends what comes, as if its peer had: who waits for more of a
    body can still answer.
    """

    def cut_it(copy: socket.socket, fd: int, port: int) -> bool:
        if _line(copy, fd, port) != line:
            return False
        copy.shutdown(how)
        return True

    with suppress(OSError):
        return _looked_at(line.fd, port, cut_it) or False
    return False


def _looked_at(fd: int, port: int, look: Callable[[socket.socket, int, int], _T]) -> _T | None:
    """What `look` finds at a copy of a socket; None where the file is none. Raises OSError."""
    copied = os.dup(fd)
    try:
        if not stat.S_ISSOCK(os.fstat(copied).st_mode):
            return None
        copy = socket.socket(fileno=copied)
        try:
            return look(copy, fd, port)
        finally:
            copy.detach()
    finally:
        os.close(copied)


def _line(copy: socket.socket, fd: int, port: int) -> Line | None:
    if copy.family not in (socket.AF_INET, socket.AF_INET6) or copy.type != socket.SOCK_STREAM:
        return None
    if copy.getsockname()[1] != port:
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
            line = _line(other, other.fileno(), port)
            return line is not None and (line.received, line.sent) == (2, 3)
    return False
