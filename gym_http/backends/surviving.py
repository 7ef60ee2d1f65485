"""An environment that outlives what it lives in: where that crashes, the episode is made again in
another, and the call that it crashed in is made once more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from gym_http.backends.contract import Backend, There
from gym_http.backends.tenant import SPACES
from gym_http.errors import BackendLost, GymHTTPError


class Surviving(There):
    """A backend around another. Source: Backend, There, Foreseeing.

    again: to be set; returns a backend that stands where this one stood after its last call that
    returned, and raises GymHTTPError where that can't be had. restored: how often it was called.
    """

    action_space: Any
    observation_space: Any
    again: Callable[[BackendLost], Backend]

    def __init__(self, inner: Backend, most: int) -> None:
        """most: how many times it may come back."""
        self._inner: Any = inner
        self._most = most
        self.restored = 0
        for name in SPACES:  # these stay, with the state of their random numbers
            if hasattr(inner, name):
                setattr(self, name, getattr(inner, name))
        self._foreseen: deque[Any] = deque()
        self._stops = False

    @property
    def took_s(self) -> float:
        return self._inner.took_s

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        return self._made(lambda inner: inner.reset(seed=seed, options=options))

    def begin(self, seed: Any, options: dict[str, Any] | None) -> tuple[Any, Any]:
        return self._made(lambda inner: inner.begin(seed, options))

    def step(self, action: Any) -> Any:
        outcome = self._made(lambda inner: inner.step(action))
        if self._foreseen:
            self._foreseen.popleft()
        return outcome

    def render(self) -> Any:
        return self._made(lambda inner: inner.render())

    def apply(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._made(lambda inner: inner.apply(function, *arguments))

    def close(self) -> None:
        self._inner.close()

    def foresee(self, actions: Sequence[Any], stops: bool) -> None:
        self._foreseen, self._stops = deque(actions), stops
        self._inner.foresee(actions, stops)

    def _made(self, call: Callable[[Any], Any]) -> Any:
        while True:
            try:
                return call(self._inner)
            except BackendLost as lost:
                if self.restored >= self._most:
                    times = "once" if self._most == 1 else f"{self._most} times"
                    lost.message += f", after it had been restored {times}"
                    raise
                self._come_back(lost)

    def _come_back(self, lost: BackendLost) -> None:
        self.restored += 1
        self._inner.close()
        try:
            self._inner = self.again(lost)
        except GymHTTPError as error:
            lost.message += f", and could not be restored: {error}"
            raise lost from error
        if self._foreseen:
            self._inner.foresee(self._foreseen, self._stops)
