"""Whose fault an exception is: the environment's, or the caller's whose arguments it refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NoReturn

from gym_http.errors import BadValue, EnvFailed, GymHTTPError
from gym_http.progress import FAILED, Progress
from gym_http.raised import brief, is_refusal


def raise_blamed(
    error: BaseException, env_id: str, verb: str, progress: Progress | None = None
) -> NoReturn:
    """Raise EnvFailed for what an environment's code has raised, which is its cause; the episode
    is over. Our own errors, and somebody's Ctrl-C, are raised as they are."""
    try:
        if not _is_environments(error):
            raise error
        if progress is not None:
            progress.stop(FAILED)
        raise EnvFailed(f"{env_id} failed in {verb}: {brief(error)}") from error
    finally:
        del error  # its traceback has this frame: they would keep each other, and the environment


class environments_own_code:
    """A context in which what the environment raises becomes EnvFailed, and its episode is over."""

    __slots__ = ("_env_id", "_progress", "_verb")

    def __init__(self, env_id: str, verb: str, progress: Progress | None = None) -> None:
        self._env_id = env_id
        self._verb = verb
        self._progress = progress

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and _is_environments(error):
            raise_blamed(error, self._env_id, self._verb, self._progress)


@contextmanager
def refusal_of(options: dict[str, Any] | None, progress: Progress) -> Iterator[None]:
    """Where a caller gave options, it's they that the environment's argument checks refuse. By
    then a reset has begun (wrappers have reset themselves), so that the episode is over."""
    try:
        yield
    except Exception as error:
        if not is_refusal(error):
            raise
        if not options or options.keys() == {"reset_mask"}:  # which is checked before
            raise
        progress.stop(FAILED)
        raise BadValue(f"options were refused: {brief(error)}") from error


def _is_environments(error: BaseException) -> bool:
    """Whether it isn't our own, or somebody's Ctrl-C."""
    interrupted = isinstance(error, KeyboardInterrupt) and in_main_thread()
    return not interrupted and not isinstance(error, GymHTTPError)


def in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
