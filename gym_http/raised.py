"""What an environment raised, in this process or in another that tells of it."""

from __future__ import annotations

from gym_http.errors import GymHTTPError


class RaisedElsewhere(Exception):
    """What an environment raised in another process, as that tells it. Its traceback there is the
    text of the cause."""

    def __init__(self, brief: str, refusal: bool, trace: str) -> None:
        super().__init__(brief)
        self.refusal = refusal
        self.__cause__ = _Trace(trace)


class _Trace(Exception):
    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def is_refusal(error: BaseException) -> bool:
    """Whether it is what argument checks raise."""
    if isinstance(error, RaisedElsewhere):
        return error.refusal
    return isinstance(error, (AssertionError, LookupError, TypeError, ValueError)) and not (
        isinstance(error, GymHTTPError)
    )


def brief(error: BaseException) -> str:
    """Its kind and its words, on one line."""
    if isinstance(error, RaisedElsewhere):
        return str(error)
    try:
        words = str(error)
    except Exception:  # an environment's class
        words = "it can't say why"
    return f"{type(error).__name__}: {' '.join(words.split())[:500]}"
