"""One environment on a server: the plain client, speaking MessagePack, with Gymnasium's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import requests
from gymnasium import error

from gym_http import spaces, wire
from gym_http.errors import BadValue, InvalidMessagePack
from gym_http_client import Client, ServerError

_ERRORS: dict[str | None, type[Exception]] = {
    "bad_value": error.InvalidAction,
    "reset_needed": error.ResetNeeded,
    "malformed_env_id": error.UnregisteredEnv,
    "dependency_missing": error.DependencyNotInstalled,
    "not_renderable": error.UnsupportedMode,
    "unknown_instance": error.ClosedEnvironmentError,
    "instance_lost": error.ClosedEnvironmentError,
    "backend_lost": error.ClosedEnvironmentError,
    "timeout": error.ClosedEnvironmentError,
    "evicted": error.ClosedEnvironmentError,
}


class MessagePackClient(Client):
    """The client over MessagePack: arrays come as NumPy's, with the dtype that they left with."""

    _content_type = "application/msgpack"

    def _dump(self, value: Any) -> bytes:
        return wire.to_msgpack(value)

    def _load(self, content: bytes) -> Any:
        try:
            return wire.from_msgpack(content)
        except InvalidMessagePack as failure:
            raise ValueError(str(failure)) from failure

    def env_frame(self, instance_id: str) -> Any:
        """The present frame: (height, width, 3) uint8 or text; a list of a vector environment's."""
        return self._get(self._env(instance_id, "render/"))["frame"]

    def env_spaces(self, instance_id: str, which: str) -> tuple[Any, Any]:
        """("action" or "observation") -> (the space, that of one environment of a vector's or
        None). Raises ValueError where it can't be rebuilt here."""
        reply = self._get(self._env(instance_id, f"{which}_space/"))
        single = reply.get("single")
        return (
            spaces.space_from_description(reply["info"]),
            None if single is None else spaces.space_from_description(single),
        )


class Connection:
    """An instance on a server, from its making to its end."""

    def __init__(
        self,
        url: str,
        token: str | None,
        timeout: float | tuple[float, float],
        compress: bool,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
        /,
        **create: Any,
    ) -> None:
        """create: the arguments of Client.env_create.

        facts: env_info of the instance. action_spaces and observation_spaces: (the space, that of
        one environment of a vector's or None).
        """
        self.client = MessagePackClient(
            url, token, timeout, compress=compress, verify=verify, cert=cert
        )
        self.instance_id: str | None = None
        try:
            with gymnasiums_errors(during="make"):
                self.instance_id = self.client.env_create(**create)
                self.facts = self.client.env_info(self.instance_id)
                self.action_spaces = self._spaces("action")
                self.observation_spaces = self._spaces("observation")
        except BaseException:  # what was made and can't be used doesn't stay behind
            self.close()
            raise

    def _spaces(self, which: str) -> tuple[Any, Any]:
        try:
            return self.client.env_spaces(self.open_id(), which)
        except ValueError as failure:  # one that the server's owner has added a row for
            raise error.Error(f"the {which} space can't be rebuilt here: {failure}") from failure

    def reset(self, seed: Any, options: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        with gymnasiums_errors(during="reset"):
            observation, info = self.client.env_reset(
                self.open_id(), seed=seed, options=options, with_info=True
            )
        return observation, info

    def step(self, space: gymnasium.Space[Any], action: Any) -> list[Any]:
        """[observation, reward, terminated, truncated, info]."""
        try:
            encoded = spaces.encode(space, action)
        except (TypeError, ValueError, LookupError) as failure:
            raise error.InvalidAction(f"{action!r} is no element of {space}") from failure
        with gymnasiums_errors(during="step"):
            return self.client.env_step(self.open_id(), encoded, with_truncated=True)

    def frame(self) -> Any:
        with gymnasiums_errors(during="render"):
            return self.client.env_frame(self.open_id())

    def open_id(self) -> str:
        if self.instance_id is None:
            raise error.ClosedEnvironmentError("this environment has been closed")
        return self.instance_id

    def __str__(self) -> str:
        return f"{self.facts['env_id']} at {self.client.remote_base}"

    def __reduce__(self) -> Any:
        raise TypeError(
            "a remote environment has no copies; gymnasium.make(env.spec) makes another"
        )

    def close(self) -> None:
        """End the instance. One that is gone already, or whose server is, is ended as well."""
        instance_id, self.instance_id = self.instance_id, None
        try:
            if instance_id is not None:
                self.client.env_close(instance_id)
        except (ServerError, requests.RequestException) as failure:
            gymnasium.logger.warn(f"closing a remote environment: {failure}")
        finally:
            self.client.close()


def observed(space: gymnasium.Space[Any], wire_value: Any) -> Any:
    """An observation as the environment made it, in its space or not."""
    try:
        return spaces.decode(space, wire_value, strict=False)
    except BadValue as failure:
        raise error.Error(f"the server sent no observation: {failure}") from failure


@contextmanager
def gymnasiums_errors(during: str) -> Iterator[None]:
    """What the server answers with, or doesn't answer, as Gymnasium's errors. The ServerError or
    the exception of `requests` is their cause."""
    try:
        yield
    except ServerError as failure:
        kind = _ERRORS.get(failure.code, error.Error)
        if kind is error.InvalidAction and during != "step":
            kind = error.Error
        raise kind(str(failure)) from failure
    except requests.RequestException as failure:
        why = type(failure).__name__
        raise error.Error(f"{during}: no answer from the server ({why}): {failure}") from failure
    except (TypeError, OverflowError) as failure:
        raise error.Error(f"{during}: this can't be sent: {failure}") from failure
