"""The requests being worked on: so many at once, and known to whoever may end connections.

A thread waits for each request that comes in slowly, and threads are cheap; work isn't. A request
that has been read takes one of `--threads` places until its reply is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import get_ident
from typing import Any

from gym_http.errors import Overloaded
from gym_http.service import Service
from gym_http.settings import Settings
from gym_http.web.compression import with_headers
from gym_http.web.exchange import Call, Reply, Route, answer, refused

LARGE_BODY_BYTES = 1024 * 1024  # each connection may have one that is shorter, in memory
AGAIN_S = 1  # after which to come again, for who was refused


Made = tuple[int, bytes, list[tuple[str, str]]]  # a reply as it goes out: status, body, headers


class Place:
    """Where a request is worked on, or waits to be.

    holder: whose it is, and since which tick; both at once, for others look at it. None while free.
    """

    __slots__ = ("holder",)

    def __init__(self, holder: tuple[str, int] | None = None) -> None:
        self.holder = holder


class Work:
    """tick: how often connections have been looked at (`connections`). late: whose requests have
    just been given up there, for they didn't come within their time. reading: by thread, the WSGI
    environ of the request whose body it waits for."""

    def __init__(self, settings: Settings, service: Service) -> None:
        self.tick = 0
        self.late: set[str] = set()
        self.reading: dict[int, dict[str, Any]] = {}
        self._service = service
        self._most = settings.threads
        self._wait_s = settings.busy_timeout_s
        self._places = [Place() for _ in range(settings.threads)]
        self._free: SimpleQueue[Place] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()  # for large bodies
        for place in self._places:
            self._free.put(place)
            self._room.put(None)
        self._take, self._give_back = self._free.get_nowait, self._free.put
        self._besides: dict[int, Place] = {}  # by thread: those without one of the places

    def made(self, route: Route, call: Call, address: str, accept_encoding: str | None) -> Made:
        """The reply to a request that has been read. Never raises."""
        since = self.tick
        try:
            place = self._take()
        except Empty:
            try:
                with self.besides(address):
                    place = self._free.get(timeout=self._wait_s)
            except Empty:
                return self._overloaded(route, call, accept_encoding)
        try:
            place.holder = address, since
            reply = answer(route, self._service, call)
            return _written(reply, accept_encoding)
        finally:
            place.holder = None
            self._give_back(place)

    def made_at_once(
        self, route: Route, call: Call, address: str, accept_encoding: str | None
    ) -> Made:
        """The same, of what takes no time: it needs no place."""
        with self.besides(address):
            reply = answer(route, self._service, call)
            return _written(reply, accept_encoding)

    def read(self, environ: dict[str, Any], size: int) -> bytes:
        """The body, or what comes of it; `size` bytes at most."""
        thread = get_ident()
        self.reading[thread] = environ
        try:
            return environ["wsgi.input"].read(size)
        finally:
            del self.reading[thread]

    def take_room(self, address: str) -> None:
        """For a large body; to be given back. Raises Overloaded."""
        try:
            with self.besides(address):
                self._room.get(timeout=self._wait_s)
        except Empty:
            raise self._refusal(f"{self._most} long requests are coming in") from None

    def give_room_back(self) -> None:
        self._room.put(None)

    @contextmanager
    def besides(self, address: str) -> Iterator[None]:
        """While this thread has a request in hand, without a place for it."""
        thread = get_ident()
        self._besides[thread] = Place((address, self.tick))
        try:
            yield
        finally:
            del self._besides[thread]

    def under_way(self) -> list[tuple[str, int]]:
        """(whose, since which tick) of each request that has been read and isn't answered."""
        held = [*self._places, *self._besides.copy().values()]
        return [holder for place in held if (holder := place.holder) is not None]

    def _overloaded(self, route: Route, call: Call, accept_encoding: str | None) -> Made:
        error = self._refusal(f"{self._most} requests are being worked on")
        reply = refused(self._service, error, call, route.name)
        status, body, headers = _written(reply, accept_encoding)
        return status, body, [*headers, ("Retry-After", str(AGAIN_S))]

    def _refusal(self, why: str) -> Overloaded:
        return Overloaded(
            f"the server is overloaded: {why}, as many as may be, and none was done in "
            f"{self._wait_s:g} s",
            detail="--threads lets it have more, --busy-timeout wait longer",
        )


def _written(reply: Reply, accept_encoding: str | None) -> Made:
    body, headers = with_headers(reply.body, reply.content_type, accept_encoding)
    if reply.headers:
        headers += reply.headers
    return reply.status, body, headers
