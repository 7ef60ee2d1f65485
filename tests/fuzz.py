"""Schemathesis against a real server: `python -m tests.fuzz --minutes 10`, or `make fuzz`.

All of its checks are on, and every phase. A 5xx, a call that hangs, and whatever the OpenAPI
document doesn't tell of (a status, a code, a content type, a key) is a failure.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.support import ROOT, ServerProcess

TIMEOUT_S = 20  # for any one call
TOKEN = secrets.token_urlsafe(16)
SERVER = (
    *("--token", TOKEN, "--read-token", secrets.token_urlsafe(16)),
    *("--max-instances", "200", "--max-num-envs", "3", "--max-rollout", "60"),
    *("--idle-timeout", "3", "--max-body", "1000000", "--log-format", "json"),
)
CONFIG = """\
[checks]
# 400 is what state is answered with, too; tests/fuzz_hooks.py looks closer.
positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 409, 429]

[auth.openapi.token]
bearer = "${GYM_HTTP_FUZZ_TOKEN}"
"""


class Fuzzed(NamedTuple):
    """text: what Schemathesis printed, and the errors in the server's log. answers: of each
    operation, how often it was answered with which status."""

    code: int
    text: str
    answers: dict[str, dict[int, int]]


def fuzz(*, examples: int, seed: int, seconds: int | None = None) -> Fuzzed:
    """Run Schemathesis, for so many seconds, or, always the same, for one round.

    examples: of each operation, in a round.
    """
    with tempfile.TemporaryDirectory() as scratch, ServerProcess(*SERVER) as server:
        config = Path(scratch) / "schemathesis.toml"
        config.write_text(CONFIG)
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
        command += [f"{server.url}/v1/openapi.json", "--checks", "all", "--no-color"]
        command += ["--exclude-operation-id", "shutdown_server", "--continue-on-failure"]
        command += ["--max-examples", str(examples)]
        command += ["--request-timeout", str(TIMEOUT_S), "--seed", str(seed)]
        command += ["--warnings", "off"]
        if seconds is None:
            command.append("--generation-deterministic")
        else:
            command += ["--max-time", str(seconds), "--generation-database", "none"]
        environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.fuzz_hooks",
            "GYM_HTTP_FUZZ_URL": server.url,
            "GYM_HTTP_FUZZ_TOKEN": TOKEN,
            "GYM_HTTP_FUZZ_SCRATCH": scratch,
            "GYM_HTTP_FUZZ_SEED": str(seed),
        }
        longest_s = 2 * (seconds or 60) + 60
        ended = subprocess.run(
            command, cwd=scratch, env=environ, capture_output=True, text=True, timeout=longest_s
        )
        told = ended.stdout + ended.stderr
        failed = [line for line in server.log().splitlines() if '"level": "error"' in line]
        if failed:
            told += "\nThe server's log:\n" + "\n".join(line[:2000] for line in failed[:20])
        answers: dict[str, dict[int, int]] = {}
        for operation, status, count in json.loads(Path(scratch, "answers.json").read_text()):
            answers.setdefault(operation, {})[status] = count
        return Fuzzed(ended.returncode or int(bool(failed)), told, answers)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--examples", type=int, default=30)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    given = parser.parse_args()
    found = fuzz(seconds=int(60 * given.minutes), examples=given.examples, seed=given.seed)
    print(found.text)
    for operation, counts in found.answers.items():
        print(f"{operation:32}", *(f"{status}: {count:<7}" for status, count in counts.items()))
    return found.code


if __name__ == "__main__":
    sys.exit(main())
