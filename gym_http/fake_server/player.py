"""One scenario, served: answers requests as its script says, and notes what doesn't keep to it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any, NamedTuple

from msgspec import UNSET

from gym_http.fake_server.checks import check, decoded, is_for, is_health
from gym_http.fake_server.incoming import Line, Malformed, Request
from gym_http.fake_server.replying import send
from gym_http.fake_server.script import Exchange, Reply, Scenario
from gym_http.fake_server.values import shown

HEALTHY = {"status": "ok", "version": "0", "instances": 1, "exactly_once": True}


class Problem(NamedTuple):
    """during: the call, as people read it."""

    during: str
    expected: str
    came: str


class Player:
    """A server on a port of its own (`url`), for one scenario.

    problems: what was wrong so far. A request that isn't the script's is answered with 400
    `not_in_script`, and no further one of the same call is held against the script.
    called: whether a client was made for it.
    """

    def __init__(self, scenario: Scenario, host: str = "127.0.0.1", port: int = 0) -> None:
        self._scenario = scenario
        self._in_messagepack = False
        self.called = False
        self.problems: list[Problem] = []
        self._lock = threading.Condition()
        self._during = "no call"
        self._left: list[Exchange] = []
        self._last: Request | None = None
        self._client_ids: list[str] = []
        self._gone_wrong = False
        self._answering = 0  # requests that came, whose replies aren't through
        self._connections: set[socket.socket] = set()
        self._listening = socket.create_server((host, port), backlog=64)
        address, port = self._listening.getsockname()[:2]
        self.url = f"http://{address}:{port}"
        self._ended = False
        threading.Thread(target=self._accept, daemon=True).start()

    def speaks_messagepack(self) -> None:
        """From now on, requests have to be MessagePack's."""
        self._in_messagepack = True

    def begin(self, during: str, exchanges: list[Exchange]) -> None:
        """Expect these requests."""
        with self._lock:
            self._during = during
            self._left = list(exchanges)
            self._gone_wrong = False

    def finish(self, gave: str = "") -> None:
        """The call is over, and gave this: what is still expected isn't there. Waits until
        connections that end with it have done so, for the next call must find them closed."""
        with self._lock:
            self._lock.wait_for(lambda: not self._answering, 5)
            missing = [exchange for exchange in self._left if not exchange.expect.optional]
            if missing and not self._gone_wrong:
                told = f"; the call gave {gave}" if gave else ""
                self._note(_named(missing[0]), f"no request{told}")
            self._left = []

    def wait_until_played(self, timeout_s: float) -> bool:
        """Whether the requests that were expected came, or others in their place."""
        with self._lock:
            return self._lock.wait_for(lambda: self._is_over() or self._gone_wrong, timeout_s)

    def _is_over(self) -> bool:
        return all(exchange.expect.optional for exchange in self._left)

    def close(self) -> None:
        self._ended = True
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    # ---- connections

    def _accept(self) -> None:
        while not self._ended:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        line = Line(connection)
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (request := self._next(line, connection)) is not None:
                if not self._answer(connection, request):
                    break
        self._end(connection)

    def _answer(self, connection: socket.socket, request: Request) -> bool:
        """Whether the connection goes on."""
        with self._lock:
            self._answering += 1
        goes_on = False
        try:
            goes_on = send(connection, self._reply(request), request)
        finally:
            if not goes_on:
                self._end(connection)
            with self._lock:
                self._answering -= 1
                self._lock.notify_all()
        return goes_on

    def _end(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.discard(connection)
            connection.close()

    def _next(self, line: Line, connection: socket.socket) -> Request | None:
        try:
            return line.next()
        except Malformed as error:
            if not self._ended:
                with self._lock:
                    self._note("an HTTP/1.1 request", str(error))
            with suppress(OSError):
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            return None

    # ---- the script

    def _reply(self, request: Request) -> Reply:
        with self._lock:
            reply = self._scripted(request)
            self._lock.notify_all()
            return reply

    def _scripted(self, request: Request) -> Reply:
        if is_health(request):
            health = self._scenario.health
            if health is None:
                return _refusal(404, "no such page")
            return Reply(body=HEALTHY if health is UNSET else health)
        if self._gone_wrong:
            return _refusal(400, "an earlier request of this call was not the script's")
        for place, exchange in enumerate(self._left):
            if is_for(exchange.expect, request) and not self._is_other(exchange, request):
                differences = [*check(exchange.expect, request, self._in_messagepack)]
                differences += self._of_numbers(exchange, request)
                for expected, came in differences:
                    self._note(f"{request.method} {exchange.expect.path} with {expected}", came)
                self._left = self._left[place + 1 :]
                self._last = request
                if differences:
                    return _refusal(400, f"the script expects {differences[0][0]}")
                return exchange.reply
            if not exchange.expect.optional:
                break
        wanted = _named(self._left[0]) if self._left else "no further request"
        came = f"{request} {request.body[:200].decode('utf-8', 'replace')}".strip()
        self._note(wanted, came)
        return _refusal(400, f"the script expects {wanted}")

    def _is_other(self, exchange: Exchange, request: Request) -> bool:
        """Whether an optional repetition is left out for the next request."""
        expect = exchange.expect
        return expect.optional and expect.again and not self._is_again(request)

    def _is_again(self, request: Request) -> bool:
        last = self._last
        return (
            last is not None
            and (request.method, request.body) == (last.method, last.body)
            and request.target.rstrip("/") == last.target.rstrip("/")
        )

    def _of_numbers(self, exchange: Exchange, request: Request) -> list[tuple[str, str]]:
        """What is wrong with how a call is numbered and repeated."""
        expect = exchange.expect
        wrong = []
        if expect.again and not self._is_again(request):
            wrong.append(
                (
                    f"the same body as before: {_body_of(self._last)}",
                    _body_of(request),
                )
            )
        body = decoded(request)
        client_id = body.get("client_id") if isinstance(body, dict) else None
        is_numbered = isinstance(body, dict) and body.get("seq")
        if expect.again and expect.method == "POST" and not is_numbered:
            wrong.append(("no repetition, for it has no number", _body_of(request)))
        if expect.seq is not None and isinstance(client_id, str):
            if expect.other_client and client_id in self._client_ids:
                wrong.append(("a client_id of its own", shown(client_id)))
            elif self._client_ids and not expect.other_client:
                last = self._client_ids[-1]
                if client_id != last:
                    wrong.append((f"the client_id that it had, {shown(last)}", shown(client_id)))
            if client_id not in self._client_ids:
                self._client_ids.append(client_id)
        return wrong

    def _note(self, expected: str, came: str) -> None:
        self._gone_wrong = True
        self.problems.append(Problem(self._during, expected, came))

    def note(self, expected: str, came: str) -> None:
        """Of what the caller was given."""
        with self._lock:
            self.problems.append(Problem(self._during, expected, came))


def _body_of(request: Request | None) -> str:
    return "" if request is None else request.body[:300].decode("utf-8", "replace")


def _named(exchange: Exchange) -> str:
    expect = exchange.expect
    again = ", the same once more" if expect.again else ""
    return f"{expect.method} {expect.path}{again}"


def _refusal(status: int, message: str) -> Reply:
    body: dict[str, Any] = {"message": message, "code": "not_in_script", "retryable": False}
    return Reply(status=status, body=body)
