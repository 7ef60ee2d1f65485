"""A server that asks for a token, and the ways to call it."""

from __future__ import annotations

import atexit
import json
import unittest
from functools import lru_cache
from typing import Any

from tests.support import ServerProcess, request

TOKEN, READ_TOKEN = "a-token-of-the-tests", "one-that-only-watches"
SENT = {
    "nobody": "",
    "a stranger": "Authorization: Bearer another-token-of-the-tests\r\n",
    "a watcher": f"Authorization: Bearer {READ_TOKEN}\r\n",
    "its user": f"Authorization: Bearer {TOKEN}\r\n",
}


@lru_cache(maxsize=None)
def guarded_server() -> ServerProcess:
    """With both tokens, which it has from its environment."""
    given = {"GYM_HTTP_TOKEN": TOKEN, "GYM_HTTP_READ_TOKEN": READ_TOKEN}
    server = ServerProcess("--import", "tests.access_envs", environ=given)
    atexit.register(server.stop)
    return server


class Guarded(unittest.TestCase):
    def setUp(self) -> None:
        self.server = guarded_server()

    def ask(self, who: str, method: str, path: str, body: Any = None) -> Any:
        """(status, headers, body)."""
        value = None if body is None else json.dumps(body)
        return request(self.server, method, path, value, headers=SENT[who])

    def create(self, env_id: str = "CartPole-v1", **more: Any) -> str:
        status, _, reply = self.ask("its user", "POST", "/v1/envs/", {"env_id": env_id, **more})
        self.assertEqual(status, 200, reply)
        return f"/v1/envs/{reply['instance_id']}"
