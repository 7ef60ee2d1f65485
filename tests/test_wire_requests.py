"""What old clients put into their requests: bodies of every kind, habits of every language, and
three ways of writing a number."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from nose2.tools import params

from tests.support import (
    ServerCase,
    ServerProcess,
    create,
    exchange,
    get,
    post,
    request,
)

AS_JSON = "Content-Type: application/json\r\n"
AS_FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
NOT_JSON = "Request is not a valid json"

# (headers beside Content-Length, body; None: not even a Content-Length)
HABITS = (
    (AS_JSON, b"null"),  # Python, Rust
    (AS_JSON, b'""'),  # Lua, Ruby
    (AS_JSON, b"{}"),  # Go, Julia, Wolfram
    (AS_JSON, b"[]"),  # Matlab
    (AS_JSON, b""),  # C++, Clojure
    (AS_JSON, None),  # Swift
    (AS_FORM, b""),  # JavaScript
    ("", b""),  # R
    ("", None),  # Haskell
)
GARBAGE = (
    (AS_JSON, b'{"seed": '),
    (AS_JSON, b"\xff\xfe{}"),
    (AS_JSON, b"NaN"),
    (AS_JSON, b"[" * 100_000),
    (AS_JSON, b'"seed"'),
    (AS_JSON, b"[1, 2]"),
    (AS_JSON, b"7"),
    (AS_JSON, b"true"),
    (AS_FORM, b"seed=1"),
    ("Content-Type: text/plain\r\n", b"reset, please"),
    ("Content-Type: ;;\r\n", b"{}"),
    (AS_JSON + "Transfer-Encoding: chunked\r\n", b"4\r\nnull\r\n0\r\n\r\n"),
    (AS_JSON + "Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
)


def send(
    address: tuple[str, int], method: str, path: str, headers: str, body: bytes | None
) -> tuple[int, dict[str, str], Any]:
    """Exactly these headers, and Content-Length where the body's length isn't said otherwise."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:5000\r\n{headers}"
    if body is not None and "chunked" not in headers:
        head += f"Content-Length: {len(body)}\r\n"
    status, got, reply = exchange(address, head.encode() + b"\r\n" + (body or b""))
    return status, got, json.loads(reply) if got["content-type"] == "application/json" else reply


class WireCase(ServerCase):
    def directory(self) -> str:
        return tempfile.mkdtemp(dir=self.scratch)

    def post(self, path: str, value: Any) -> Any:
        """The reply to a POST that has to succeed."""
        status, _, reply = post(self.server, path, value)
        self.assertEqual(status, 200, f"{path} {value}: {reply}")
        return reply

    def playing(self, env_id: str = "CartPole-v1") -> str:
        env = create(self.server, env_id)
        self.post(env + "/reset/", {})
        return env

    def recording(self) -> str:
        """A directory with a recording of one episode."""
        directory = self.directory()
        env = create(self.server, max_episode_steps=1)
        self.post(env + "/monitor/start/", {"directory": directory})
        self.post(env + "/reset/", {})
        self.post(env + "/step/", {"action": 0})
        self.post(env + "/close/", {})
        return directory

    def refused(self, path: str, value: Any, message: str | None = None) -> None:
        status, _, reply = post(self.server, path, value)
        self.assertEqual(status, 400, f"{path} {value}: {reply}")
        if message is not None:
            self.assertEqual(reply["message"], message)
        else:
            self.assertNotIn("was not provided", reply["message"])


class BodiesWhereNothingIsRequired(WireCase):
    """reset, close, monitor/close and shutdown: each client sends another kind of nothing."""

    @params(*HABITS, *GARBAGE)
    def test_reset(self, headers: str, body: bytes | None) -> None:
        """Each binding's own, and what no binding sends: an episode begins."""
        env = create(self.server)
        status, _, reply = send(self.server.address, "POST", env + "/reset/", headers, body)
        self.assertEqual(status, 200, reply)
        self.assertEqual(len(reply["observation"]), 4)
        self.post(env + "/step/", {"action": 1})

    @params(*HABITS, *GARBAGE)
    def test_monitor_close_and_close(self, headers: str, body: bytes | None) -> None:
        """Each binding's own: first the recording ends, then the instance."""
        env, directory = create(self.server), self.directory()
        self.post(env + "/monitor/start/", {"directory": directory})
        for route, left in (("monitor/close", 200), ("close", 400)):
            status, _, reply = send(self.server.address, "POST", f"{env}/{route}/", headers, body)
            self.assertEqual((status, reply), (200, {}))
            self.assertEqual(post(self.server, env + "/reset/")[0], left)
        self.assertTrue(list(Path(directory).glob("*.manifest.json")))

    @params(*HABITS, (AS_JSON, b'{"instance_id": 1}'), (AS_JSON, b'{"seed": '), (AS_FORM, b"a=b"))
    def test_shutdown(self, headers: str, body: bytes | None) -> None:
        """Each binding's own: the server ends."""
        with ServerProcess() as server:
            status, _, _ = send(server.address, "POST", "/v1/shutdown/", headers, body)
            self.assertEqual(status, 200)
            self.assertEqual(server.wait(), 0)

    @params(AS_JSON, AS_FORM, "", "Content-Type: application/json; charset=utf-8\r\n")
    def test_an_object_is_looked_into(self, headers: str) -> None:
        """The new fields beside the old nothing; curl's -d says that they are a form."""
        env = create(self.server)
        seen = [
            send(self.server.address, "POST", env + "/reset", headers, body)[2]["observation"]
            for body in (b'{"seed": 5}', b'{"seed": 5, "instance_id": 1}', b'{"seed": 6}')
        ]
        self.assertEqual(seen[0], seen[1])
        self.assertNotEqual(seen[0], seen[2])


class BodiesWhereSomethingIsRequired(WireCase):
    """create, step, observation_space/contains, monitor/start, upload: a JSON object, typed so."""

    def calls(self) -> list[tuple[str, Any]]:
        env = self.playing()
        return [
            ("/v1/envs/", {"env_id": "CartPole-v0"}),
            (env + "/step/", {"action": 0}),
            (env + "/observation_space/contains/", {"name": "Box"}),
            (env + "/monitor/start/", {"directory": self.directory()}),
            ("/v1/upload/", {"training_dir": self.recording(), "api_key": "k"}),
        ]

    @params(
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "Application/JSON",
    )
    def test_typed_as_json(self, content_type: str) -> None:
        """With a charset or without, pretty-printed (Julia, Swift, R's jsonlite) or not."""
        for path, value in self.calls():
            for text in (json.dumps(value), json.dumps(value, indent="\t") + "\r\n"):
                with self.subTest(path, text=text):
                    if "monitor" in path:
                        text = text.replace(value["directory"], self.directory())
                        post(self.server, path.replace("start", "close"))
                    status, _, reply = request(self.server, "POST", path, text, content_type)
                    self.assertEqual(status, 200, reply)

    @params(
        "text/plain", "application/x-www-form-urlencoded", "text/json", "multipart/form-data", None
    )
    def test_another_type(self, content_type: str | None) -> None:
        """curl's -d without -H: 400 and v1's text, never 415."""
        for path, value in self.calls():
            with self.subTest(path):
                status, headers, reply = request(
                    self.server, "POST", path, json.dumps(value), content_type
                )
                self.assertEqual((status, headers["content-type"]), (400, "application/json"))
                self.assertEqual(reply["message"], NOT_JSON)

    @params(
        b"null", b'""', b"0", b"true", b'"env_id"', b"[1]", b"", b'{"env_id":', b"\xff", b"{}{}"
    )
    def test_no_object(self, body: bytes) -> None:
        """Python's None becomes `null`; the neighbours are what isn't an object either."""
        for path, _ in self.calls():
            with self.subTest(path):
                status, headers, reply = send(self.server.address, "POST", path, AS_JSON, body)
                self.assertEqual((status, headers["content-type"]), (400, "application/json"))
                self.assertEqual(reply["message"], NOT_JSON)

    def test_chunked(self) -> None:
        """Node sends chunks where nobody told it the length."""
        headers = AS_JSON + "Transfer-Encoding: chunked\r\n"
        body = b'b\r\n{"env_id": \r\nd\r\n"CartPole-v0"\r\n1\r\n}\r\n0\r\n\r\n'
        status, _, reply = send(self.server.address, "POST", "/v1/envs/", headers, body)
        self.assertEqual(status, 200, reply)

    @params(*HABITS, (AS_JSON, b'{"env_id": '))
    def test_gets(self, headers: str, body: bytes | None) -> None:
        """Julia's GETs carry `{}`, others a Content-Type; none of it is looked at."""
        env = self.playing()
        for path in ("", "/action_space", "/action_space/sample", "/action_space/contains/0"):
            with self.subTest(path):
                reply = send(self.server.address, "GET", env + path, headers, body)
                self.assertEqual(reply[0], 200)
        for path in (env + "/observation_space/", "/v1/envs/", env + "/render/"):
            with self.subTest(path):
                self.assertEqual(send(self.server.address, "GET", path, headers, body)[0], 200)


class UnknownAndMissingKeys(WireCase):
    """Bindings send their own variables along, and leave out what has a default."""

    def test_unknown_keys_are_ignored_everywhere(self) -> None:
        """`instance_id` in each body, `video_callable` and `video-callable` in a step."""
        env, directory = create(self.server), self.directory()
        more = {"instance_id": "x", "video-callable": False, "x": {"y": [None]}, "": 1}
        self.post("/v1/envs/", {"env_id": "CartPole-v0", "video_callable": 1, **more})
        self.post(env + "/monitor/start/", {"directory": directory, **more})
        self.post(env + "/reset/", {"video_callable": "x", **more})
        self.post(env + "/step/", {"action": 1, "render": True, "video_callable": "x", **more})
        self.post(env + "/monitor/close/", more)
        self.post(env + "/close/", more)
        upload = {"training_dir": self.recording(), "api_key": "k", "algorithm_id": "a"}
        self.post("/v1/upload/", {**upload, "writeup": "x", "ignore_open_monitors": True, **more})

    @params({}, {"render": False}, {"render": True}, {"render": "true"}, {"render": None})
    def test_render(self, more: Any) -> None:
        """Most leave `render` out of a step; JavaScript and Lua send theirs."""
        self.post(self.playing() + "/step/", {"action": 1, **more})

    @params(
        *({"video_callable": value} for value in (None, "", [], False, "false", True, 2)),
        *({name: value} for name in ("force", "resume") for value in (None, "", [], False)),
        {},
    )
    def test_monitor_starts(self, more: Any) -> None:
        """`force`, `resume` and `video_callable` may be missing, or empty as a language has it."""
        env, directory = create(self.server), self.directory()
        self.post(env + "/monitor/start/", {"directory": directory, **more})
        self.post(env + "/close/", {})
        self.refused(create(self.server) + "/monitor/start/", {"directory": directory, **more})

    @params(
        *((name, value, True) for name in ("force", "resume") for value in (True, "true")),
        *((name, value, False) for name in ("force", "resume") for value in (False, "false")),
    )
    def test_force_and_resume(self, name: str, value: Any, meant: bool) -> None:
        """Lua sends `"true"` and `"false"`; `"false"` isn't true."""
        env, directory = create(self.server), self.recording()
        old = set(Path(directory).glob("*.manifest.json"))
        self.assertEqual(len(old), 1)
        body = {"directory": directory, name: value}
        if not meant:
            self.refused(env + "/monitor/start/", body)
            return
        self.post(env + "/monitor/start/", body)
        self.post(env + "/close/", {})
        kept = old & set(Path(directory).glob("*.manifest.json"))
        self.assertEqual(kept, old if name == "resume" else set())

    def test_an_odd_flag_is_an_error(self) -> None:
        """No client means anything by it that could be guessed."""
        env = create(self.server)
        for value in ("yes", {"a": 1}, [True]):
            with self.subTest(value=value):
                self.refused(
                    env + "/monitor/start/", {"directory": self.directory(), "force": value}
                )

    @params(None, "", [])
    def test_empty_is_not_provided(self, empty: Any) -> None:
        """Python's None, Lua's "" and its empty table, which is a list."""
        env = self.playing()
        missing = "A required request parameter '{}' was not provided".format
        self.refused("/v1/envs/", {"env_id": empty}, missing("env_id"))
        self.refused(env + "/monitor/start/", {"directory": empty}, missing("directory"))
        upload = {"training_dir": self.recording(), "api_key": "k"}
        self.refused("/v1/upload/", {**upload, "training_dir": empty}, missing("training_dir"))
        self.refused("/v1/upload/", {**upload, "api_key": empty}, missing("api_key"))
        self.post("/v1/upload/", {**upload, "algorithm_id": empty})
        optional = ("seed", "engine", "kwargs", "render_mode", "max_episode_steps")
        self.post("/v1/envs/", {"env_id": "CartPole-v0", **dict.fromkeys(optional, empty)})
        self.post(env + "/reset/", {"seed": empty, "options": empty})

    def test_api_key_and_algorithm_id_may_be_missing_keys(self) -> None:
        """R and Wolfram leave out what their user didn't give."""
        self.post("/v1/upload/", {"training_dir": self.recording(), "api_key": "k"})
        missing = "A required request parameter 'api_key' was not provided"
        self.refused("/v1/upload/", {"training_dir": self.recording()}, missing)

    def test_a_steps_action(self) -> None:
        """`null` and "" are no action; [] is one, though not one of Discrete's."""
        path = self.playing() + "/step/"
        missing = "A required request parameter 'action' was not provided"
        for value in ({}, {"action": None}, {"action": ""}):
            self.refused(path, value, missing)
        self.refused(path, {"action": []})


class Numbers(WireCase):
    """R and Matlab have no scalars, Lua 5.1 no integers."""

    @params(
        *(
            ("CartPole-v1", text)
            for text in ("1", "1.0", "[1]", "[1.0]", "0", "0.0", "-0.0", "1e0")
        ),
        *(("Pendulum-v1", text) for text in ("0.5", "1", "-2", "[0.5]", "[1]", "[2.0]")),
    )
    def test_actions(self, env_id: str, text: str) -> None:
        """Lua: `1.0`; R, Matlab: `[1]`; a bare number for a Box of one element."""
        env = self.playing(env_id)
        status, _, reply = request(self.server, "POST", env + "/step/", f'{{"action": {text}}}')
        self.assertEqual(status, 200, reply)
        path = f"{env}/action_space/contains/{text.replace('[', '%5B').replace(']', '%5D')}"
        self.assertEqual(get(self.server, path)[2], {"member": True})

    @params(
        *('"1"', "true", "0.5", "[0, 1]", "false", "2", "-1", "[2]", "[true]", '["1"]', "[[1]]"),
        *("{}", '{"action": 1}', "1e30", "9" * 30, '"a"'),
    )
    def test_no_action_of_discrete(self, text: str) -> None:
        """What a client in error sends is refused, and the episode goes on unharmed."""
        path = self.playing() + "/step/"
        status, _, reply = request(self.server, "POST", path, f'{{"action": {text}}}')
        self.assertEqual((status, reply["code"]), (400, "bad_value"))
        self.post(path, {"action": 1})

    @params('"0.5"', "true", "[0.1, 0.2]", "[[0.5]]", "[]", "{}", "[null]", '["0.5"]', "[true]")
    def test_no_action_of_box(self, text: str) -> None:
        """The same for a Box of one element."""
        path = self.playing("Pendulum-v1") + "/step/"
        status, _, reply = request(self.server, "POST", path, f'{{"action": {text}}}')
        self.assertEqual((status, reply["code"]), (400, "bad_value"))
        self.post(path, {"action": 0.5})
