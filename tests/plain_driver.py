"""A driver with a plain client of its own: right, unless it is told a way of being wrong.

python tests/plain_driver.py [WAY]. It knows the levels core, errors, connections, exactly-once and
access. With `never_numbers` it is right in all but exactly-once.
"""

from __future__ import annotations

import json
import secrets
import socket
import sys
import time
from typing import Any
from urllib.parse import quote, urlsplit

WAY = sys.argv[1] if len(sys.argv) > 1 else ""
UNNUMBERED = ("never_numbers", "repeats_without_a_number")


class Failed(Exception):
    """code, message, status; expected of out_of_sequence."""

    def __init__(self, code: str, message: Any = "", status: int | None = None, expected: Any = 0):
        super().__init__(message)
        self.code, self.status, self.expected = code, status, expected


class Client:
    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url)
        self.address = parts.hostname, parts.port
        self.token = token
        self.client_id = secrets.token_hex(8)
        self.numbers: dict[str, int] = {}
        self.kept: Any = None

    # ---- HTTP, a connection for each request

    def ask(self, method: str, path: str, body: Any = None, raw: bytes | None = None) -> Any:
        content = raw or (b"" if body is None else json.dumps(body).encode())
        head = [f"{method} {path} HTTP/1.1", f"Host: {self.address[0]}", "Connection: close"]
        if WAY == "keeps_stale_bytes":
            head.pop()
        if content:
            head.append(f"Content-Length: {len(content)}")
        if content and WAY != "sends_no_content_type":
            head.append("Content-Type: application/json")
        if self.token and WAY != "forgets_the_token":
            head.append(f"Authorization: Bearer {self.token}")
        try:
            file = self.kept
            if file is None:
                file = socket.create_connection(self.address, 10).makefile("rwb")
            file.write("\r\n".join([*head, "", ""]).encode() + content)
            file.flush()
            status, text = self.read(file)
            self.kept = file if WAY == "keeps_stale_bytes" else None
        except (OSError, ValueError, IndexError) as error:
            self.kept = None
            raise Failed("connection", str(error)) from error
        return self.value(status, text)

    def read(self, file: Any) -> tuple[int, bytes]:
        status = 100
        while status < 200:
            status = int(file.readline().split()[1])
            headers: dict[bytes, bytes] = {}
            while (line := file.readline()) != b"\r\n":
                name, colon, text = line.partition(b":")
                if not colon:
                    raise OSError("the head is cut")
                headers[name.lower()] = text.strip()
        if headers.get(b"transfer-encoding") == b"chunked":
            return status, self.chunks(file)
        if b"content-length" not in headers:
            return status, file.read() if status != 204 else b""
        length = int(headers[b"content-length"])
        body = file.read(length)
        if len(body) < length and WAY != "takes_half_a_reply":
            raise OSError("the body is cut")
        return status, body

    def chunks(self, file: Any) -> bytes:
        body = b""
        while size := int(file.readline(), 16):
            body += file.read(size)
            file.readline()
        file.readline()
        return body

    def value(self, status: int, text: bytes) -> Any:
        if status == 204:
            return {}
        try:
            found = json.loads(text)
        except ValueError as error:
            if WAY == "takes_half_a_reply":
                return {"instance_id": "half"}
            raise Failed("bad_reply", text.decode(errors="replace"), status) from error
        if status >= 300:
            message = found.get("message") if isinstance(found, dict) else None
            if not isinstance(message, str):
                raise Failed("bad_reply", text.decode(), status)
            code = found.get("code")
            named = "failed" if WAY == "ignores_the_code" else str(code)
            raise Failed(named, message, status, found.get("expected"))
        return zeros(found) if WAY == "takes_null_for_zero" else found

    # ---- calls

    def env(self, instance_id: str, rest: str) -> str:
        shown = instance_id if WAY == "escapes_nothing" else quote(instance_id, safe="")
        return f"/v1/envs/{shown}/{rest}"

    def once(self, instance_id: str, verb: str, body: dict[str, Any]) -> Any:
        seq = self.numbers.get(instance_id, 1)
        if WAY == "never_counts":
            seq = 1
        named = secrets.token_hex(8) if WAY == "changes_its_client_id" else self.client_id
        numbers = {} if WAY in UNNUMBERED else {"seq": seq, "client_id": named}
        raw = json.dumps({**body, **numbers}).encode()
        while True:
            try:
                reply = self.ask("POST", self.env(instance_id, verb), raw=raw)
            except Failed as failure:
                if failure.code == "out_of_sequence" and failure.expected:
                    self.numbers[instance_id] = failure.expected
                    raise
                gateway = failure.code == "bad_reply" and failure.status in (200, 502, 503, 504)
                if failure.code == "connection" or gateway:
                    if WAY in ("gives_up", "never_numbers") or not self.may_repeat():
                        raise
                    if WAY == "repeats_with_a_new_number":
                        seq += 1
                        raw = json.dumps({**body, "seq": seq, "client_id": named}).encode()
                    time.sleep(0.01)
                    continue
                if failure.status and failure.status >= 500:
                    self.numbers[instance_id] = seq + 1
                raise
            self.numbers[instance_id] = seq + 1
            return reply

    def may_repeat(self) -> bool:
        if WAY == "repeats_blindly":
            return True
        try:
            return self.ask("GET", "/v1/healthz").get("exactly_once") is True
        except Failed:
            return False

    def env_create(self, **given: Any) -> Any:
        try:
            return self.ask("POST", "/v1/envs/", given)["instance_id"]
        except Failed as failure:
            if WAY == "makes_two" and failure.code == "connection":
                return self.ask("POST", "/v1/envs/", given)["instance_id"]
            raise

    def env_list_all(self) -> Any:
        return self.ask("GET", "/v1/envs/")["all_envs"]

    def env_reset(self, instance_id: str) -> Any:
        return self.once(instance_id, "reset/", {})

    def env_step(self, instance_id: str, action: Any) -> Any:
        if WAY == "rounds" and isinstance(action, list):
            action = [round(x, 6) for x in action]
        return self.once(instance_id, "step/", {"action": action})

    def env_close(self, instance_id: str) -> None:
        self.ask("POST", self.env(instance_id, "close/"), {})

    def env_action_space_info(self, instance_id: str) -> Any:
        return self.ask("GET", self.env(instance_id, "action_space/"))["info"]

    def env_action_space_sample(self, instance_id: str) -> Any:
        return self.ask("GET", self.env(instance_id, "action_space/sample"))["action"]

    def env_action_space_contains(self, instance_id: str, x: Any) -> Any:
        rest = f"action_space/contains/{quote(json.dumps(x), safe='')}"
        return self.ask("GET", self.env(instance_id, rest))["member"]

    def env_observation_space_info(self, instance_id: str) -> Any:
        return self.ask("GET", self.env(instance_id, "observation_space/"))["info"]

    def env_observation_space_contains(self, instance_id: str, params: Any) -> Any:
        return self.ask("POST", self.env(instance_id, "observation_space/contains"), params)[
            "member"
        ]

    def env_monitor_start(self, instance_id: str, directory: str) -> None:
        self.ask("POST", self.env(instance_id, "monitor/start/"), {"directory": directory})

    def env_monitor_close(self, instance_id: str) -> None:
        self.ask("POST", self.env(instance_id, "monitor/close/"), {})

    def shutdown_server(self) -> None:
        try:
            self.ask("POST", "/v1/shutdown/", {})
        except Failed as failure:
            if failure.status != 200:
                raise


def zeros(value: Any) -> Any:
    if isinstance(value, list):
        return [zeros(item) for item in value]
    if isinstance(value, dict):
        return {key: zeros(item) for key, item in value.items()}
    return 0 if value is None else value


def main() -> None:
    client: Client | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        if WAY == "hangs" and asked["call"] == "env_step":
            time.sleep(60)
        if WAY == "crashes" and asked["call"] == "env_step":
            raise SystemExit("out of cheese")
        if WAY == "chatters":
            print("calling", asked["call"])
        try:
            if asked["call"] == "new_client":
                client = Client(**asked["arguments"])
                answer: dict[str, Any] = {"value": None}
            elif not hasattr(client, asked["call"]):
                answer = {"unsupported": True}
            else:
                answer = {"value": getattr(client, asked["call"])(**asked["arguments"])}
        except Failed as failure:
            told = {"code": failure.code, "message": str(failure), "status": failure.status}
            answer = {"error": told}
        except (KeyError, TypeError) as failure:
            answer = {"error": {"code": "bad_reply", "message": repr(failure)}}
        print(json.dumps(answer), flush=True)


main()
