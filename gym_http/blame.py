"""Whose fault an exception is: the environment's, or the caller's whose arguments it refused."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gym_http.errors import BadValue, EnvFailed, GymHTTPError
from gym_http.progress import FAILED, Progress

log = logging.getLogger(__name__)


@contextmanager
def environments_own_code(
    env_id: str, verb: str, progress: Progress | None = None
) -> Iterator[None]:
    """What the environment raises becomes EnvFailed, and its episode is over."""
    try:
        yield
    except GymHTTPError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and in_main_thread():
            raise  # somebody's Ctrl-C, not the environment's
        if progress is not None:
            progress.stop(FAILED)
        log.exception("%s failed in %s", env_id, verb)
        raise EnvFailed(f"{env_id} failed in {verb}: {_brief(error)}") from error


@contextmanager
def refusal_of(options: dict[str, Any] | None, progress: Progress) -> Iterator[None]:
    """Where a caller gave options, it's they that the environment's argument checks refuse. By
    then a reset has begun (wrappers have reset themselves), so that the episode is over."""
    try:
        yield
    except (AssertionError, LookupError, TypeError, ValueError) as error:
        if not options or options.keys() == {"reset_mask"}:  # which is checked before
            raise
        progress.stop(FAILED)
        raise BadValue(f"options were refused: {_brief(error)}") from error


def in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
