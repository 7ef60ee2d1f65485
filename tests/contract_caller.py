"""Somebody who does things on one backend, and writes down all that is answered."""

import atexit
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from gym_http.wire import from_msgpack, to_msgpack
from tests.rollouts import MSGPACK, Talk
from tests.support import ServerProcess

OWN = ("instance_id", "created", "last_used", "backend", "step_timeout_s", "make_timeout_s")


@lru_cache(maxsize=None)
def the_server():
    modules = ("custom_envs", "rollout_envs", "contract_envs")
    flags = [flag for module in modules for flag in ("--import", f"tests.{module}")]
    server = ServerProcess(*flags)
    atexit.register(server.stop)
    return server


class Caller:
    """Somebody with one instance at a time, who writes down all answers."""

    def __init__(self, backend):
        self.backend = backend
        self.talk = Talk(the_server())
        self.scratch = Path(tempfile.mkdtemp())
        self.answers = []

    def ask(self, method, path, body=None, code=None):
        """The answer, which has to be of that error code."""
        sent = b"" if body is None else to_msgpack(body)
        status, got = self.talk.raw(method, path, sent, MSGPACK, MSGPACK)
        reply = from_msgpack(got) if path[-7:] != "/render" or got[:1] != b"\x89" else {}
        found = reply.get("code") if status != 200 else None
        assert found == code, f"{self.backend}: {method} {path}: {str(reply)[:300]}"
        self.note(reply if code else got)
        return reply

    def note(self, what):
        self.answers.append(what)

    def make(self, env_id, code=None, **more):
        body = {"env_id": env_id, "backend": self.backend, **more}
        sent, noted = to_msgpack(body), len(self.answers)
        status, got = self.talk.raw("POST", "/v1/envs/", sent, MSGPACK, MSGPACK)
        reply = from_msgpack(got)
        assert (None if status == 200 else reply["code"]) == code, f"{self.backend}: {reply}"
        self.path = f"/v1/envs/{reply.pop('instance_id', None)}"
        assert len(self.answers) == noted
        self.note(reply)

    def get(self, verb, code=None):
        return self.ask("GET", f"{self.path}/{verb}", code=code)

    def post(self, verb, code=None, **body):
        return self.ask("POST", f"{self.path}/{verb}/", body, code)

    def facts(self):
        _, got = self.talk.raw("GET", self.path, b"", MSGPACK, MSGPACK)
        told = from_msgpack(got)
        error = told["last_error"]
        told["last_error"] = error and {key: error[key] for key in ("code", "message")}
        self.note({name: value for name, value in told.items() if name not in OWN})
        return told

    def sampled(self):
        return self.get("action_space/sample")["action"]

    def close(self):
        self.post("close")

    def over(self):
        self.talk.close()
        shutil.rmtree(self.scratch)
