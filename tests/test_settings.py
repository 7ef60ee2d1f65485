"""One list of knobs: flags, variables and README's table are made of it."""

import os
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import mock

import click
from nose2.tools import params

from gym_http.cli import read_settings
from gym_http.settings import Settings, flags_of, knobs, variable_of
from tests.support import ROOT


def table():
    """README's rows of settings, as the knobs say they have to be."""
    rows = []
    for knob in knobs():
        flags = ", ".join(f"`{flag}`" for flag in flags_of(knob))
        silent = knob.default is False or knob.default in ((), "", None)
        default = "" if silent else f"`{knob.default}`"
        if knob.name == "data_dir":
            default = "the user's data directory"
        rows.append(f"| {flags} | `{variable_of(knob)}` | {default} | {knob.metadata['help']} |")
    return rows


class Knobs(unittest.TestCase):
    def test_defaults(self):
        self.assertEqual(read_settings(), Settings())

    def test_flags(self):
        got = read_settings(
            ["-l", "::1", "-p", "80", "--import", "a", "--import", "b", "--strict-ids",
             "--token", "t", "--token-file", "/t", "--read-token", "r", "--read-token-file", "/r",
             "--insecure", "--allow-host", "h", "--cors-origin", "https://o", "--tls-cert", "/c",
             "--tls-key", "/k", "--tls-client-ca", "/ca", "--data-root", "/d", "--data-root", "/e",
             "--scoreboard-url", "sqlite://", "--scoreboard-password-file", "/p",
             "--max-snapshot-memory", "14",
             "--max-connections", "15", "--keep-alive", "16", "--body-timeout", "17",
             "--max-num-envs", "7", "--max-rollout", "8",
             "--backend", "process", "--worker-memory", "10", "--ray-address", "r:1",
             "--step-timeout", "1.5", "--make-timeout", "0", "--auto-restore", "2",
             "--max-instances", "11", "--idle-timeout", "12", "--max-snapshots", "13",
             "--data-dir", "/d", "--threads", "2", "--busy-timeout", "0.5", "--max-body", "9",
             "--shutdown-timeout", "3", "--log-level", "error", "--log-format", "json"]
        )  # fmt: skip
        expected = Settings(
            listen="::1", port=80, imports=("a", "b"), strict_ids=True,
            token="t", token_file=Path("/t"), read_token="r", read_token_file=Path("/r"),
            insecure=True, allowed_hosts=("h",), cors_origins=("https://o",),
            tls_cert=Path("/c"), tls_key=Path("/k"), tls_client_ca=Path("/ca"),
            data_roots=("/d", "/e"), scoreboard_url="sqlite://",
            scoreboard_password_file=Path("/p"), max_snapshot_bytes=14,
            max_connections=15, keep_alive_s=16.0, body_timeout_s=17.0,
            max_num_envs=7, max_rollout_steps=8, backend="process", worker_memory_bytes=10,
            ray_address="r:1", step_timeout_s=1.5, make_timeout_s=0.0, auto_restore=2,
            max_instances=11, idle_timeout_s=12.0, max_snapshots=13, data_dir=Path("/d"),
            threads=2, busy_timeout_s=0.5, max_body_bytes=9, shutdown_timeout_s=3,
            log_level="error", log_format="json",
        )  # fmt: skip
        self.assertEqual(got, expected)

    def test_variables(self):
        environ = {
            "GYM_HTTP_LISTEN": "0.0.0.0",
            "GYM_HTTP_PORT": "81",
            "GYM_HTTP_IMPORT": "a b",
            "GYM_HTTP_STRICT_IDS": "true",
            "GYM_HTTP_MAX_BODY": "10",
        }
        expected = replace(
            Settings(), listen="0.0.0.0", port=81, imports=("a", "b"), strict_ids=True,
            max_body_bytes=10,
        )  # fmt: skip
        with mock.patch.dict(os.environ, environ):
            self.assertEqual(read_settings(), expected)
            self.assertEqual(read_settings(["-p", "82"]).port, 82)

    @params(
        {"port": 65536},
        {"port": -1},
        {"threads": 0},
        {"max_num_envs": 0},
        {"max_rollout_steps": 0},
        {"busy_timeout_s": -1.0},
        {"max_body_bytes": 0},
        {"shutdown_timeout_s": 0},
        {"log_level": "loud"},
        {"log_format": "xml"},
        {"backend": "moon"},
        {"worker_memory_bytes": -1},
        {"step_timeout_s": -1.0},
        {"make_timeout_s": float("nan")},
        {"auto_restore": -1},
        {"max_instances": 0},
        {"idle_timeout_s": float("inf")},
        {"max_snapshots": 0},
    )
    def test_what_cannot_be(self, wrong):
        with self.assertRaises(ValueError):
            Settings(**wrong)

    def test_a_variable_that_cannot_be(self):
        with mock.patch.dict(os.environ, {"GYM_HTTP_PORT": "http"}):
            with self.assertRaises(click.UsageError):
                read_settings()

    def test_readmes_table(self):
        readme = (ROOT / "README.md").read_text()
        section = readme.split("## Settings")[1].split("\n## ")[0]
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        self.assertEqual(rows, table())

    def test_nothing_else_reads_the_environment(self):
        readers = {
            str(path.relative_to(ROOT))
            for path in (ROOT / "gym_http").rglob("*.py")
            if "os.environ" in path.read_text() or "getenv" in path.read_text()
        }
        # These write: that there is no screen (to SDL), how large stacks are (to Granian), that
        # nobody is to be told of its use (to Ray), no tokens, and (to drivers) no proxy.
        writers = {"engines.py", "web/serve.py", "backends/ray_driver.py", "tokens.py"}
        writers |= {"fake_server/driving.py", "roots.py"}
        self.assertLessEqual(readers, {f"gym_http/{writer}" for writer in writers})
