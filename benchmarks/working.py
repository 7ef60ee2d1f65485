"""The work of the rows: an environment stepped in one of several ways, and reset where it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

from benchmarks.baselines.raw_tcp import RESET
from benchmarks.raw import JSON, RawHTTP, RawTCP, post


class HTTPSteps:
    """Instances on a server with v1's routes, by a raw client."""

    def __init__(
        self,
        connection: RawHTTP,
        instance_ids: Sequence[str],
        bodies: Sequence[bytes],
        *,
        content_type: str = JSON,
        verb: str = "step",
    ) -> None:
        """bodies: those of the requests. The first goes to each instance, then the second, and so
        on. Resets the instances."""
        resets = [post(f"/v1/envs/{instance_id}/reset/") for instance_id in instance_ids]
        self._next_request = cycle(
            (post(f"/v1/envs/{instance_id}/{verb}/", body, content_type), reset)
            for body in bodies
            for instance_id, reset in zip(instance_ids, resets, strict=True)
        ).__next__
        self._connection = connection
        for self._reset in resets:
            connection.call(self._reset)

    def call(self) -> None:
        request, self._reset = self._next_request()
        self._connection.call(request)

    def settle(self) -> None:
        if self._connection.says(b'"done":true'):  # vector environments reset themselves
            self._connection.call(self._reset)


class TCPSteps:
    """An environment on baselines/raw_tcp.py."""

    def __init__(self, connection: RawTCP, actions: Sequence[int]) -> None:
        self._next_action = cycle([bytes([action]) for action in actions]).__next__
        self._connection = connection
        connection.call(RESET)

    def call(self) -> None:
        self._connection.call(self._next_action())

    def settle(self) -> None:
        if any(self._connection.last()[-2:]):  # terminated, truncated
            self._connection.call(RESET)


class CallSteps:
    """Whatever is stepped by a call: a client, or an environment in this process."""

    def __init__(
        self,
        step: Callable[[Any], Any],
        actions: Sequence[Any],
        *,
        reset: Callable[[], Any],
        ended: Callable[[Any], bool] = lambda _: False,
    ) -> None:
        """ended: says of what `step` returned whether that was the episode's end. Resets it."""
        self._step, self._reset, self._ended = step, reset, ended
        self._next_action = cycle(actions).__next__
        self._returned: Any = None
        reset()

    def call(self) -> None:
        self._returned = self._step(self._next_action())

    def settle(self) -> None:
        if self._ended(self._returned):
            self._reset()
