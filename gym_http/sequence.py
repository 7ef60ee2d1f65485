"""The numbered calls on one instance: which is the next, and what the last one was answered.

Each client counts for itself, so that two on one instance don't take each other's replies. This
knows nothing of HTTP: a request is what equals it, and a reply is whatever was kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gym_http.errors import OutOfSequence

MOST_CLIENTS = 16  # of one instance, each with a reply
MOST_NUMBERS = 1000  # of those whose replies are let go
MOST_BYTES = 16 * 1024 * 1024  # of all clients' replies but the latest, which may have any size


class Number(NamedTuple):
    """What a call says of itself. The first of each client is 1."""

    seq: int
    client_id: str
    request: object  # equal to that of the same request, and to no other


class _Kept(NamedTuple):
    number: Number
    reply: Any
    size: int


class Sequence:
    """Touched under the instance's lease only."""

    __slots__ = ("_last", "_size", "_without_reply")

    def __init__(self) -> None:
        self._last: dict[str, _Kept] = {}  # by client_id, least recently used first
        self._size = 0  # of all their replies
        self._without_reply: dict[str, int] = {}  # client_id -> its last number

    def kept(self, number: Number) -> Any:
        """The reply to the last call, where this is it once more; None where it is the next one.
        Raises OutOfSequence for any other."""
        found = self._last.get(number.client_id)
        last = found.number.seq if found else self._without_reply.get(number.client_id, 0)
        if number.seq == last + 1:
            return None
        if found is None or number.seq != last:
            raise _out_of(number.seq, last)
        if number.request != found.number.request:
            raise OutOfSequence(
                f"seq {number.seq} has been given to another request; the next is {last + 1}",
                expected=last + 1,
            )
        self._keep(_Kept(number, found.reply, found.size))
        return found.reply

    def keep(self, number: Number, reply: Any, size: int = 0) -> None:
        """Use up the next number. size: of the reply, in bytes.

        Where there are too many, or too large ones, the reply of whom whose last call is longest
        ago is let go; after many more its number as well, and it begins anew."""
        self._keep(_Kept(number, reply, size))
        self._without_reply.pop(number.client_id, None)
        while len(self._last) > MOST_CLIENTS or (
            len(self._last) > 1 and self._size - size > MOST_BYTES
        ):
            client_id = next(iter(self._last))
            let_go = self._last.pop(client_id)
            self._size -= let_go.size
            self._without_reply[client_id] = let_go.number.seq
            if len(self._without_reply) > MOST_NUMBERS:
                del self._without_reply[next(iter(self._without_reply))]

    def _keep(self, kept: _Kept) -> None:
        before = self._last.pop(kept.number.client_id, None)
        self._size += kept.size - (before.size if before else 0)
        self._last[kept.number.client_id] = kept

    def forget(self) -> None:
        """Let go of the replies, which may be large: the instance has ended."""
        self._last.clear()
        self._size = 0
        self._without_reply.clear()


def _out_of(seq: int, last: int) -> OutOfSequence:
    if seq > last:
        reason = f"seq {seq} leaves a gap: " + (
            f"the last was {last}" if last else "no call of this client is known here"
        )
    elif seq == last:
        reason = f"seq {seq} has been done, and so many clients called since that its reply is gone"
    else:
        reason = f"seq {seq} is an old one: the last was {last}"
    return OutOfSequence(f"{reason}; the next is {last + 1}", expected=last + 1)
