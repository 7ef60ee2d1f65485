"""A thin client of gym-http: one method an endpoint. This file alone, with `requests`, is enough.

    from gym_http_client import Client

    client = Client("http://127.0.0.1:5000")
    instance_id = client.env_create("CartPole-v1")
    observation = client.env_reset(instance_id)
    observation, reward, done, info = client.env_step(instance_id, 1)
    client.env_close(instance_id)

Failures are a ServerError where the server answered with one, and the exceptions of `requests`
where it didn't answer.

Resets, steps and rollouts are numbered, so that the server does each once, however often it comes.
Where a connection breaks, they are sent again; other calls aren't. Where one of them fails without
an answer all the same (a timeout, say), nobody knows whether it was done. Make the same call again:
it is done now, or it was, and gets its answer. Another call instead is refused as `out_of_sequence`
if that one was done, and only the call after it is free again.

`client.session` is a requests.Session, to be configured as any. Where it is asked for no more than
headers, calls to http://… take a shorter way (at the end of this file) to the same effect; where
somebody has replaced its methods, or those of `requests`, they don't.
`client.session.mount("http://", requests.adapters.HTTPAdapter())` turns it off.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import secrets
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.cookies import extract_cookies_to_jar
from requests.utils import select_proxy
from urllib3.exceptions import ReadTimeoutError
from urllib3.util import wait_for_read

__all__ = ["Client", "ServerError"]


class ServerError(Exception):
    """The server refused or failed. `code` says which way; `message` says it in words."""

    def __init__(
        self,
        message: str,
        status_code: int | None = None,
        code: str | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.code = code
        self.detail = detail
        self.expected: int | None = None  # of `out_of_sequence`: the number that is the next
        self.last_good_step: int | None = None  # of `timeout` and `backend_lost`
        self._is_broken = False  # whether it is no whole answer of a gym-http server

    def __str__(self) -> str:
        return f"{self.message} ({self.detail})" if self.detail else self.message


class Client:
    """One server. Not for several threads at once: give each its own.

    remote_base: the server's URL, such as "http://127.0.0.1:5000".
    token: sent as `Authorization: Bearer`, for servers that ask for one; by default the variable
        GYM_HTTP_TOKEN, and "" is none. It stays in copies, which have to work, and pickles.
    timeout: seconds to wait for an answer, or a pair for connecting and for answering.
    compress: ask for compressed replies, which pays where the server is far away.
    retries: how often a reset, a step or a rollout is sent again where the connection breaks, after
        0.05 s, 0.1 s, 0.2 s and so on. Not after a timeout.
    verify: whose certificates an https://… server may have: the path of a file of issuers, True for
        those that `requests` trusts, False for anybody's. cert: the caller's own certificate, for
        servers that ask for one: a path, or a pair (certificate, key). As in `requests`.

    Proxies and certificates are read from the environment once, here.
    """

    def __init__(
        self,
        remote_base: str,
        token: str | None = None,
        timeout: float | tuple[float, float] = 60.0,
        *,
        compress: bool = False,
        retries: int = 5,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
    ) -> None:
        if not remote_base.startswith(("http://", "https://")):
            raise ValueError(f"a server's URL is http://… or https://…, not {remote_base!r}")
        self.remote_base = remote_base.rstrip("/")
        self.timeout = timeout
        self._retries = range(retries)
        self._typed = {"Content-Type": self._content_type}
        self._counts = _Counts()
        self.session = requests.Session()
        self.session.mount("http://", _Direct())
        found = self.session.merge_environment_settings(self.remote_base, {}, None, verify, cert)
        self.session.proxies, self.session.verify = found["proxies"], found["verify"]
        self.session.cert = found["cert"]
        self.session.trust_env = False
        self.session.headers["Accept"] = self._content_type
        if not compress:
            self.session.headers["Accept-Encoding"] = "identity"
        token = os.environ.get("GYM_HTTP_TOKEN") if token is None else token
        if token:
            if not re.fullmatch("[!-~]+", token):
                raise ValueError("token: expected printable ASCII characters, and no spaces")
            self.session.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_counts": _Counts()}  # a copy is another client

    def close(self) -> None:
        """Close the connection. Instances live on; `env_close` ends one."""
        self.session.close()

    # ---- instances

    def env_create(
        self,
        env_id: str | None,
        *,
        seed: int | None = None,
        engine: str | None = None,
        kwargs: dict[str, Any] | None = None,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        num_envs: int | None = None,
        vectorization: str | None = None,
        autoreset: str | None = None,
        backend: str | None = None,
        resources: dict[str, float] | None = None,
        step_timeout_s: float | None = None,
        make_timeout_s: float | None = None,
        lease_s: float | None = None,
        snapshot_id: str | None = None,
        snapshot: dict[str, Any] | None = None,
    ) -> str:
        """Make an environment and return its instance_id.

        seed: for the first reset, and for `env_action_space_sample`.
        engine: "gymnasium" or "gym"; None takes the one that knows the id.
        kwargs: for the environment's constructor.
        num_envs: make a vector environment, whose resets and steps carry so many observations,
            rewards and ends; None makes a single one.
        vectorization: "sync", "async" (a process each), "native" (the environment's own vector
            form), or "auto".
        autoreset: "next_step", "same_step" or "disabled".
        backend: where it lives: "local" (the server's own process), "process" (one of its own), or
            "ray", whose actor gets `resources`, such as {"num_gpus": 0.5}.
        step_timeout_s, make_timeout_s: how long a call on it, or its making, may take before it is
            given up; 0 is for ever. None takes the server's.
        lease_s: end it after so many seconds without a call on it, as when this client has died;
            later calls raise ServerError "evicted". Every call renews it, `env_info` too. 0 is for
            ever; None takes the server's --idle-timeout.
        snapshot_id, snapshot: begin in the state that `env_snapshot` kept, or `env_snapshot_get`
            gave; then env_id is None, and what else says how to make it is left out.
        Warns with a UserWarning where another version serves a retired id.
        """
        reply = self._post(
            "/v1/envs/",
            {
                "env_id": env_id,
                "seed": seed,
                "engine": engine,
                "kwargs": kwargs,
                "render_mode": render_mode,
                "max_episode_steps": max_episode_steps,
                "num_envs": num_envs,
                "vectorization": vectorization,
                "autoreset": autoreset,
                "backend": backend,
                "resources": resources,
                "step_timeout_s": step_timeout_s,
                "make_timeout_s": make_timeout_s,
                "lease_s": lease_s,
                "snapshot_id": snapshot_id,
                "snapshot": snapshot,
            },
        )
        if "warning" in reply:
            warnings.warn(reply["warning"], stacklevel=2)
        return reply["instance_id"]

    def env_list_all(self) -> dict[str, str]:
        """Every instance of the server: instance_id -> env_id as it was asked for."""
        return self._get("/v1/envs/")["all_envs"]

    def env_info(self, instance_id: str) -> dict[str, Any]:
        """What the server knows of an instance: env_id, engine, steps, episodes, …"""
        return self._get(self._env(instance_id))

    def env_close(self, instance_id: str) -> None:
        """End an instance, and the recording on it."""
        self._do(self._env(instance_id, "close/"), {})
        self._counts.by_instance.pop(str(instance_id), None)

    # ---- snapshots

    def env_snapshot(self, instance_id: str) -> str:
        """Keep the state that an environment is in, and return its snapshot_id, for `env_create`.
        The server keeps the last 256 or so; they outlive the instance, but not the server."""
        return self._post(self._env(instance_id, "snapshot/"), {})["snapshot_id"]

    def env_snapshot_get(self, instance_id: str, snapshot_id: str) -> dict[str, Any]:
        """A snapshot to keep, as JSON say, for `env_create` of any server of the same versions."""
        quoted = quote(str(snapshot_id), safe="")
        return self._get(self._env(instance_id, f"snapshot/{quoted}/"))

    # ---- an environment's life

    def env_reset(
        self,
        instance_id: str,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
        with_info: bool = False,
    ) -> Any:
        """Begin an episode. Returns the observation; with_info, [observation, info].

        seed: a vector environment also takes a list of num_envs.
        """
        reply = self._post_once(instance_id, "reset/", {"seed": seed, "options": options})
        return [reply["observation"], reply["info"]] if with_info else reply["observation"]

    def env_step(
        self,
        instance_id: str,
        action: Any,
        render: bool = False,
        *,
        with_truncated: bool = False,
    ) -> list[Any]:
        """Advance by one step. Returns [observation, reward, done, info].

        action: plain values, or NumPy arrays and scalars; of a vector environment, all actions.
        with_truncated: return Gymnasium's [observation, reward, terminated, truncated, info].
        """
        reply = self._post_once(instance_id, "step/", {"action": action, "render": render})
        ends = ("terminated", "truncated") if with_truncated else ("done",)
        return [reply[key] for key in ("observation", "reward", *ends, "info")]

    def env_rollout(
        self,
        instance_id: str,
        actions: Any = None,
        *,
        sample: int | None = None,
        on_done: str = "stop",
        fields: list[str] | None = None,
    ) -> dict[str, Any]:
        """Advance by many steps in one call.

        actions: one for each step, such as `env_step` takes.
        sample: so many steps instead, whose actions the server draws.
        on_done: "stop" with the step that ends an episode, or "reset" and go on.
        fields: what to return of "observations", "rewards", "terminated", "truncated", "done",
            "final_observations", "actions" and "infos"; None is all but infos, and the actions
            only where the server drew them.
        Returns a dict of these, with an item for each step, and "steps", how many were made.
        "observations" are those that the next action answers; those in which episodes ended are
        "final_observations", one for each true in "done".
        A refused action says where it stands, such as "actions[57]"; then no step is made. All
        has to be done within `timeout`; what takes longer is made, and the same call again
        gets its answer.
        """
        if isinstance(actions, (Iterator, range)):
            actions = list(actions)
        return self._post_once(
            instance_id,
            "rollout/",
            {"actions": actions, "sample": sample, "on_done": on_done, "fields": fields},
        )

    def env_render(self, instance_id: str) -> bytes | str:
        """The present frame: the bytes of a PNG, or the text of a text renderer."""
        accept = {"Accept": "image/png, text/plain"}
        reply = self._send("GET", self._env(instance_id, "render/"), headers=accept)
        is_text = reply.headers.get("content-type", "").startswith("text/")
        return reply.content.decode() if is_text else reply.content

    # ---- spaces

    def env_action_space_info(self, instance_id: str) -> dict[str, Any]:
        """The action space: {"name": "Discrete", "n": …}, {"name": "Box", "shape": …}, …"""
        return self._get(self._env(instance_id, "action_space/"))["info"]

    def env_action_space_sample(self, instance_id: str) -> Any:
        """A random action."""
        return self._get(self._env(instance_id, "action_space/sample"))["action"]

    def env_action_space_contains(self, instance_id: str, x: Any) -> bool:
        """Whether x is an action."""
        value = quote(_json(x), safe="")
        return self._get(self._env(instance_id, f"action_space/contains/{value}"))["member"]

    def env_observation_space_info(self, instance_id: str) -> dict[str, Any]:
        """The observation space, described as the action space is."""
        return self._get(self._env(instance_id, "observation_space/"))["info"]

    def env_observation_space_contains(self, instance_id: str, params: dict[str, Any]) -> bool:
        """Whether {"value": x} is an observation; of other keys, whether they are the space's."""
        path = self._env(instance_id, "observation_space/contains")
        return self._post(path, params, keep_none=True)["member"]

    # ---- recordings and scores

    def env_monitor_start(
        self,
        instance_id: str,
        directory: str,
        force: bool = False,
        resume: bool = False,
        video_callable: bool | int = False,
    ) -> None:
        """Record episodes into a directory of the server, from the next reset on.

        force: delete a recording that is there. resume: add to it.
        video_callable: film no episode, those of Gym's schedule (True), or every N-th.
        """
        self._do(
            self._env(instance_id, "monitor/start/"),
            {
                "directory": os.fspath(directory),
                "force": force,
                "resume": resume,
                "video_callable": video_callable,
            },
        )

    def env_monitor_close(self, instance_id: str) -> None:
        """End the recording. The instance goes on."""
        self._do(self._env(instance_id, "monitor/close/"), {})

    def upload(
        self, training_dir: str, algorithm_id: str | None = None, api_key: str | None = None
    ) -> None:
        """Put the recordings in a directory of the server on its scoreboard.

        api_key: names the uploader; any text that you keep to yourself. By default that of the
        variables GYM_HTTP_API_KEY or OPENAI_GYM_API_KEY.
        """
        if not api_key:
            api_key = os.environ.get("GYM_HTTP_API_KEY") or os.environ.get("OPENAI_GYM_API_KEY")
        self._do(
            "/v1/upload/",
            {
                "training_dir": os.fspath(training_dir),
                "algorithm_id": algorithm_id,
                "api_key": api_key,
            },
        )

    def scoreboard(self, env_id: str | None = None) -> list[dict[str, Any]]:
        """The scores of each environment, best first."""
        return self._get("/v1/scoreboard/", {"env_id": env_id})["entries"]

    # ---- the server

    def registry(self, engine: str | None = None) -> list[dict[str, Any]]:
        """The environments that `env_create` can make."""
        return self._get("/v1/registry/", {"engine": engine})["envs"]

    def shutdown_server(self) -> None:
        """Close every environment and end the server."""
        self._send_body("/v1/shutdown/", {})

    # ---- the funnel, and the encoding that goes through it

    _content_type = "application/json"
    _first_pause_s = 0.05

    def _dump(self, value: Any) -> bytes:
        return _json(value).encode()

    def _load(self, content: bytes) -> Any:
        return json.loads(content)

    def _env(self, instance_id: str, rest: str = "") -> str:
        return f"/v1/envs/{quote(str(instance_id), safe='')}/{rest}"

    def _get(self, path: str, query: dict[str, Any] | None = None) -> Any:
        given = {k: v for k, v in (query or {}).items() if v is not None}
        return self._answer(self._send("GET", f"{path}?{urlencode(given)}" if given else path))

    def _post(self, path: str, body: dict[str, Any], keep_none: bool = False) -> Any:
        given = body if keep_none else {k: v for k, v in body.items() if v is not None}
        return self._answer(self._send_body(path, given))

    def _do(self, path: str, body: dict[str, Any]) -> None:
        """POST what has no result, for which some servers have no content, either."""
        reply = self._send_body(path, {k: v for k, v in body.items() if v is not None})
        if reply.status_code != 204:
            self._answer(reply)

    def _send_body(self, path: str, body: dict[str, Any]) -> _AnyReply:
        return self._send("POST", path, self._dump(body), self._typed)

    def _post_once(self, instance_id: str, verb: str, body: dict[str, Any]) -> Any:
        """POST a numbered call, again where the connection breaks."""
        if self._counts.pid != os.getpid():  # a forked child is another client
            self._counts = _Counts()
        path = self._env(instance_id, verb)
        given = {k: v for k, v in body.items() if v is not None}
        given["client_id"] = self._counts.client_id
        count = self._counts.of(instance_id)
        with count.lock:
            given["seq"] = count.next
            sent = self._dump(given)
            alone, count.open = not count.open, True
            try:
                answer = self._answer(self._send("POST", path, sent, self._typed))
            except (requests.RequestException, ServerError) as failure:
                answer = self._mended(failure, count, alone, path, given, sent)
            count.next += 1
            count.open = False
        return answer

    def _mended(
        self,
        failure: requests.RequestException | ServerError,
        count: _Count,
        alone: bool,
        path: str,
        given: dict[str, Any],
        sent: bytes,
    ) -> Any:
        """The answer to a numbered call after all; or raises what it comes to.

        alone: whether nothing but the call that failed has been sent under its number.
        """
        pauses = (min(self._first_pause_s * 2 ** min(n, 16), 2.0) for n in self._retries)
        try:
            while True:
                if isinstance(failure, ServerError) and not failure._is_broken:
                    next_one = failure.expected
                    count.settle(failure, alone)
                    if next_one is None or not alone:
                        raise failure
                    given["seq"], count.open = next_one, True  # the server has forgotten us, say
                    sent = self._dump(given)
                elif not _is_broken(failure) or not self._may_repeat(pauses):
                    raise failure
                alone = False
                try:
                    return self._answer(self._send("POST", path, sent, self._typed))
                except (requests.RequestException, ServerError) as again:
                    failure = again
        finally:
            del failure  # its traceback has this frame: they would keep each other, and the socket

    def _may_repeat(self, pauses: Iterator[float]) -> bool:
        """Wait. Then, whether the server knows a repeated call when it sees one, as other servers
        and old ones don't, which would step twice. It is asked until it answers, once."""
        knows = self._counts.servers.get(self.remote_base)
        for pause_s in pauses:
            time.sleep(pause_s)
            if knows is None:
                try:
                    health = self._get("/v1/healthz/")
                    knows = isinstance(health, dict) and health.get("exactly_once") is True
                except (requests.RequestException, ServerError) as failure:
                    if _is_broken(failure):
                        continue
                    knows = False
                self._counts.servers[self.remote_base] = knows
            return knows
        return False

    def _answer(self, reply: _AnyReply) -> Any:
        try:
            return self._load(reply.content)
        except ValueError as failure:  # some other server's page, say
            kind = reply.headers.get("content-type", "nothing")
            error = ServerError(
                f"{reply.url} answers with {kind}, not as a gym-http server does",
                reply.status_code,
            )
            error._is_broken = True  # or it is one of ours, cut
            raise error from failure

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> _AnyReply:
        call = requests.Request(method, self.remote_base + path, headers, data=body)
        adapter = self.session.get_adapter(call.url)
        reply: _AnyReply | None = None
        if isinstance(adapter, _Direct):
            reply = adapter.ask(self.session, call, self.timeout)
        if reply is None:
            reply = self.session.request(
                method, call.url, headers=headers, data=body, timeout=self.timeout
            )
        if reply.status_code >= 400:
            raise self._error(reply)
        return reply

    def _error(self, reply: _AnyReply) -> ServerError:
        is_ours = reply.headers.get("content-type", "").startswith(self._content_type)
        try:
            error = self._load(reply.content) if is_ours else json.loads(reply.content)
            message, code = error["message"], error.get("code")
            if not isinstance(message, str):
                raise TypeError(message)
            named = code if isinstance(code, str) else None
            failure = ServerError(message, reply.status_code, named, error.get("detail"))
            failure.last_good_step = error.get("last_good_step")
            expected = error.get("expected") if failure.code == "out_of_sequence" else None
            if type(expected) is int and expected > 0:
                failure.expected = expected
        except (ValueError, KeyError, TypeError, AttributeError):  # a proxy's page, say
            text = reply.content[:200].decode(errors="replace")
            failure = ServerError(f"{reply.status_code} {reply.reason}: {text}", reply.status_code)
        if not isinstance(failure.code, str):
            is_whole = "content-length" in reply.headers or "transfer-encoding" in reply.headers
            failure._is_broken = not is_whole or reply.status_code in (502, 503, 504)
        return failure


class _Count:
    """The numbers of one client's calls on one instance. One is used up by what was done, and by
    what failed on the server; what is refused leaves it."""

    __slots__ = ("lock", "next", "open")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.next = 1
        self.open = False  # whether a call was sent under it of which nobody knows what became

    def settle(self, failure: ServerError, alone: bool) -> None:
        """Go by what the server answered. alone: nothing else was sent under the number."""
        if failure.expected is not None:
            self.next, self.open = failure.expected, False
        elif (failure.status_code or 0) < 500 or failure.code == "overloaded":
            self.open = not alone
        elif isinstance(failure.code, str):  # otherwise it may not be the server that failed
            self.next, self.open = self.next + 1, False


class _Counts:
    """Who a client is to servers, and its numbers. No two clients have the same."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.client_id = secrets.token_hex(8)
        self.by_instance: dict[str, _Count] = {}
        self.servers: dict[str, bool] = {}  # by URL, whether they know numbers

    def of(self, instance_id: str) -> _Count:
        found = self.by_instance.get(instance_id)
        return found or self.by_instance.setdefault(str(instance_id), _Count())

    def __reduce__(self) -> Any:
        return _Counts, ()


def _is_broken(failure: Exception) -> bool:
    """Whether a call's connection broke, or a gateway says so of its own."""
    if isinstance(failure, ServerError):
        return failure._is_broken
    cause = failure.args[0] if failure.args else None  # a timeout, in the middle of a body
    late = isinstance(failure, requests.Timeout) or isinstance(cause, ReadTimeoutError)
    return isinstance(failure, _BREAKS) and not late


_BREAKS = (
    requests.ConnectionError,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)


def _plain(value: Any) -> Any:
    """What `json` doesn't know: NumPy's arrays and scalars, without importing NumPy."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r} has no JSON form")


# Raises ValueError for NaN and Infinity, which JSON doesn't have.
_json = json.JSONEncoder(default=_plain, allow_nan=False).encode


# ---- the shorter way


class _Reply(NamedTuple):
    """As much of a requests.Response as is used here."""

    url: str
    status_code: int
    reason: str
    headers: dict[str, str]  # by names in lower case
    content: bytes
    response: http.client.HTTPResponse


_AnyReply = _Reply | requests.Response

_PLAIN_URL = re.compile(  # (host and port, host, port, path and query); no user, no "..", …
    r"http://(([a-z\d][\w.-]*|\[[a-f\d:]+\])(?::(\d{1,5}))?)"
    r"((?:/(?!\.)[\w.~%-]*)+(?:\?[\w.~%&=+-]*)?)",
    re.ASCII | re.IGNORECASE,
)
_FAILURES: list[tuple[type[Exception], type[Exception]]] = [
    (TimeoutError, requests.ReadTimeout),
    (OSError, requests.ConnectionError),
    (http.client.IncompleteRead, requests.exceptions.ChunkedEncodingError),
    (http.client.HTTPException, requests.ConnectionError),
]


class _Direct(HTTPAdapter):
    """What `requests` does with a call takes it several times as long as a server takes for a step.
    So a call for which a session has nothing but headers is sent here, in one piece, on a
    connection that is kept. A reply that is a status and a content is taken as it is; any other
    becomes what `requests` makes of it. Nothing is sent twice here.
    """

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)  # also where a session is unpickled
        self._idle: list[tuple[tuple[str, int, int], socket.socket]] = []

    def close(self) -> None:
        super().close()
        while self._idle:
            self._idle.pop()[1].close()

    __del__ = close

    def ask(
        self,
        session: requests.Session,
        call: requests.Request,
        timeout: float | tuple[float, float],
    ) -> _AnyReply | None:
        """Return what session.request would, and raise that. None where it has to be called
        instead; then nothing has been sent."""
        url = _PLAIN_URL.fullmatch(call.url)
        has_more = session.auth or session.cookies or session.params or any(session.hooks.values())
        if url is None or has_more or session.trust_env or _is_patched(session):
            return None
        if session.proxies and select_proxy(call.url, session.proxies):
            return None
        netloc, host, port, target = url.groups()
        address = host.strip("[]"), int(port or 80), os.getpid()  # a forked child has its own
        connect_s, read_s = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        head = _head(call.method, netloc, *session.headers.items(), *call.headers.items())
        size = b"Content-Length: %d\r\n" % len(call.data) if call.data else b""
        first = f"{call.method} {target} HTTP/1.1\r\n".encode()
        line = self._line(address, connect_s)
        try:
            line.settimeout(connect_s)  # which `requests` has for sending as well
            with suppress(BrokenPipeError, ConnectionResetError):  # after an early answer, say
                line.sendall(b"".join((first, head, size, b"\r\n", call.data or b"")))
            line.settimeout(read_s)
            reply = _read(line, call)
        except BaseException as failure:  # the next call must not be answered by what comes yet
            with suppress(OSError):  # now, also if somebody keeps the exception, and so the line
                line.shutdown(socket.SHUT_RDWR)
            line.close()
            for kind, in_requests in _FAILURES:
                if isinstance(failure, kind):
                    raise in_requests(f"{netloc}: {failure}") from failure
            raise
        if reply.response.will_close:
            line.close()
        else:
            self._idle.append((address, line))
        is_special = {"content-encoding", "set-cookie"} & reply.headers.keys()
        if is_special or 300 <= reply.status_code < 400:
            return self._finished(session, call, reply, timeout)
        return reply

    def _line(self, address: tuple[str, int, int], timeout: float | None) -> socket.socket:
        """A connection. Not one that was closed while it was idle, by a server that was started
        anew, say: its end can be read."""
        with suppress(IndexError):  # when there are no more
            while True:
                its_address, line = self._idle.pop()
                if its_address == address and not wait_for_read(line, 0):
                    return line
                line.close()
        try:
            line = socket.create_connection(address[:2], timeout)
        except (OSError, UnicodeError, OverflowError) as failure:  # the last two for odd addresses
            late = isinstance(failure, TimeoutError)
            kind = requests.ConnectTimeout if late else requests.ConnectionError
            raise kind(f"{address[0]}:{address[1]}: {failure}") from failure
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return line

    def _finished(
        self,
        session: requests.Session,
        call: requests.Request,
        reply: _Reply,
        timeout: float | tuple[float, float],
    ) -> requests.Response:
        """The response that `requests` makes of it: decoded, its cookies kept, after redirects."""
        raw = urllib3.HTTPResponse(
            io.BytesIO(reply.content),
            reply.headers,
            reply.status_code,
            reason=reply.reason,
            preload_content=False,
            original_response=reply.response,
        )
        request = session.prepare_request(call)
        response = self.build_response(request, raw)
        extract_cookies_to_jar(session.cookies, request, raw)  # type: ignore[no-untyped-call]
        redirects = session.resolve_redirects(
            response,
            request,
            timeout=timeout,
            verify=session.verify,  # type: ignore[arg-type]  # a path, too
            cert=session.cert,
        )
        return [response, *redirects][-1]


_SENDS = requests.Session.request, requests.Session.send, HTTPAdapter.send


def _is_patched(session: requests.Session) -> bool:
    """Whether somebody wants to see each call: a mock, or a tracer."""
    kind = type(session)
    return bool(
        (kind.request, kind.send, HTTPAdapter.send) != _SENDS
        or {"request", "send"} & vars(session).keys()
    )


@lru_cache(maxsize=64)
def _head(method: str, netloc: str, *headers: tuple[str, Any]) -> bytes:
    """The lines of the headers, as `requests` prepares them, which takes it long."""
    given = {name: value for name, value in headers if value is not None}
    lines = requests.Request(method, f"http://{netloc}", given).prepare().headers
    lines.pop("Content-Length", None)
    lines.setdefault("Host", netloc)
    lines.setdefault("Accept-Encoding", "identity")
    return b"".join(
        b"%s: %s\r\n" % tuple(x if isinstance(x, bytes) else x.encode("latin-1") for x in line)
        for line in lines.items()
    )


def _read(line: socket.socket, call: requests.Request) -> _Reply:
    """The whole reply. Raises OSError and HTTPException."""
    response = http.client.HTTPResponse(line, method=call.method)
    try:
        response.begin()
        content = response.read()
    except BaseException:
        response.close()  # else the connection stays open as long as anybody keeps the exception
        raise
    headers = {name.lower(): value for name, value in response.headers.items()}
    return _Reply(call.url, response.status, response.reason, headers, content, response)
