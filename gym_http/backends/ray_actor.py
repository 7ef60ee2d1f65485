"""What lives on a node of a Ray cluster: a tenant on a thread of its own, and what its process
needs to be one of ours.

It travels there by value, so that nothing of this file needs gym_http before it has been looked
for.
"""

from __future__ import annotations

import concurrent.futures
import os
import pickle
import socket
import sys
from collections.abc import Iterator
from typing import Any

TELL_S = 0.05  # how often it is told how many steps have been made


class Actor:
    """Its methods are called one after the other. Messages are pickled (verb, *arguments), and
    what the tenant answers, so that the driver need know nothing of an environment's classes."""

    def __init__(self, paths: list[str], version: str) -> None:
        """paths: to look for modules, where there are such here. version: the server's."""
        self._tenant: Any = None
        self._begun = 0
        self._problem = self._become(paths, version)
        self._thread = concurrent.futures.ThreadPoolExecutor(1)

    def where(self) -> tuple[str, str | None]:
        """(the machine's name, why no environment can live here)."""
        return socket.gethostname(), self._problem

    def answer(self, message: bytes) -> bytes:
        """The tenant's answer; nothing where there is a problem."""
        if self._problem is not None:
            return b""
        return self._thread.submit(self._answered, message, False).result()

    def steps(self, message: bytes) -> Iterator[int | bytes]:
        """The tenant's answer; before it, from time to time, how many steps have been made."""
        self._begun = told = 0
        answer = self._thread.submit(self._answered, message, True)
        while not concurrent.futures.wait([answer], TELL_S).done:
            begun = self._begun
            if begun > told:
                told = begun
                yield told
        yield answer.result()

    def _become(self, paths: list[str], version: str) -> str | None:
        known = set(sys.path)
        sys.path[:0] = [path for path in paths if path not in known and os.path.isdir(path)]
        try:
            import gym_http
            from gym_http.backends.tenant import Tenant
        except Exception as error:
            return (
                f"has no gym-http that can be imported ({type(error).__name__}: {error}); "
                "pip install it there"
            )
        if gym_http.__version__ != version:
            return f"has gym-http {gym_http.__version__}, and the server {version}"
        self._tenant = Tenant()
        return None

    def _answered(self, message: bytes, several: bool) -> bytes:
        from gym_http.backends.tenant import failure_of
        from gym_http.errors import BackendLost

        try:
            verb, *arguments = pickle.loads(message)
            if several:
                arguments.append(self._note)
            return pickle.dumps(self._tenant.answer(verb, *arguments), 5)
        except MemoryError as error:
            lost = BackendLost("the environment needed more memory than there is")
            return pickle.dumps(failure_of(error)._replace(ours=lost), 5)
        except BaseException as error:  # it can't be pickled, which takes any exception
            return pickle.dumps(failure_of(error), 5)

    def _note(self, index: int) -> None:
        self._begun = index
