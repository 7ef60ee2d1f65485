"""Tokens: from the command line, a file or a variable, to a server that starts or doesn't."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from nose2.tools import params

from gym_http import tokens
from gym_http.settings import Settings
from gym_http.web.access import require_guard
from gym_http.web.app import create_app
from gym_http.web.hosts import is_loopback
from tests.guarded import READ_TOKEN, TOKEN
from tests.support import ROOT


class Settled(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.file = Path(scratch.name) / "token"

    @params(
        ({"token": "two words"}, "--token: expected"),
        ({"token": "a\n"}, "--token: expected"),
        ({"token": "\x7f"}, "--token: expected"),
        ({"token": "tökens"}, "--token: expected"),
        ({"token": "a" * 1025}, "--token: expected at most 1024"),
        ({"token": TOKEN, "read_token": "a b"}, "--read-token: expected"),
        ({"read_token": READ_TOKEN}, "--read-token is a second token"),
        ({"token": TOKEN, "read_token": TOKEN}, "are the same"),
        ({"token": TOKEN, "token_file": Path("/nowhere")}, "either --token or --token-file"),
        ({"token_file": Path("/nowhere/token")}, "--token-file /nowhere/token: No such file"),
        ({"token_file": Path("/")}, "--token-file /: Is a directory"),
        ({"token_file": Path("/dev/null")}, "--token-file /dev/null is empty"),
        ({"token_file": Path("/dev/zero")}, "--token-file /dev/zero: expected"),
    )
    def test_what_cannot_be(self, wrong, reason):
        with self.assertRaisesRegex(ValueError, reason) as caught:
            tokens.settled(Settings(**wrong))
        for secret in (wrong.get("token"), wrong.get("read_token")):
            if secret:
                self.assertNotIn(secret, str(caught.exception))
        with self.assertRaisesRegex(ValueError, reason):
            create_app(Settings(**wrong))

    def test_a_file(self):
        self.file.write_text(f"\n {TOKEN} \r\n")
        got = tokens.settled(Settings(token_file=self.file, read_token=READ_TOKEN))
        self.assertEqual((got.token, got.read_token), (TOKEN, READ_TOKEN))
        self.file.unlink()  # it was read once
        self.assertEqual(tokens.settled(got), got)

    @params("two words", "one\nafter another", "t\xf6ken", "\x00")
    def test_a_file_that_has_no_token(self, text):
        self.file.write_text(text)
        with self.assertRaisesRegex(ValueError, "--read-token-file .*: expected") as caught:
            tokens.settled(Settings(token=TOKEN, read_token_file=self.file))
        self.assertNotIn(text, str(caught.exception))

    def doubts(self, **given):
        return tokens.doubts(Settings(**given), tokens.settled(Settings(**given)))

    def test_doubts(self):
        self.file.write_text(TOKEN)
        self.file.chmod(0o644)
        (doubt,) = self.doubts(token_file=self.file)
        self.assertRegex(doubt, "--token-file .* can be read by everybody")
        self.file.chmod(0o600)
        self.assertEqual(self.doubts(token_file=self.file, read_token=READ_TOKEN), [])
        found = self.doubts(token="a" * 15, read_token="b" * 15)
        self.assertEqual([doubt.split()[0] for doubt in found], ["--token", "--read-token"])

    def test_it_is_not_shown(self):
        shown = repr(Settings(token=TOKEN, read_token=READ_TOKEN))
        self.assertNotIn(TOKEN, shown)
        self.assertNotIn(READ_TOKEN, shown)

    def test_variables_are_forgotten(self):
        secrets = ("GYM_HTTP_TOKEN", "GYM_HTTP_READ_TOKEN", "GYM_HTTP_SCOREBOARD_URL")
        given = {**dict.fromkeys(secrets, "a"), "GYM_HTTP_PORT": "1"}
        with mock.patch.dict(os.environ, given):
            tokens.forget_variables()
            left = {name for name in given if name in os.environ}
        self.assertEqual(left, {"GYM_HTTP_PORT"})


class Listening(unittest.TestCase):
    @params("127.0.0.1", "127.9.9.9", "localhost", "::1", "::ffff:127.0.0.1", "no.such.invalid")
    def test_this_machine_alone(self, listen):
        self.assertTrue(is_loopback(listen))
        require_guard(listen, Settings())

    @params("0.0.0.0", "::", "192.168.1.2", "8.8.8.8", "fe80::1", "::ffff:10.0.0.1")
    def test_others(self, listen):
        self.assertFalse(is_loopback(listen))
        require_guard(listen, Settings(token=TOKEN))
        require_guard(listen, Settings(insecure=True))
        with self.assertRaisesRegex(ValueError, listen):
            require_guard(listen, Settings())

    def test_the_app_by_itself(self):
        with self.assertRaisesRegex(ValueError, "--insecure"):
            create_app(Settings()).run("0.0.0.0", 0)

    @params(
        (["-l", "0.0.0.0"], "--token-file.*--token.*GYM_HTTP_TOKEN.*--insecure"),
        (["-l", "::", "--token", ""], "--token is empty"),
        (
            ["--token", "short", "--allow-host", "http://a/"],
            "WARNING .*--token has fewer than 16 characters.*--allow-host 'http://a/'",
        ),
        (["--token", "a b"], "--token: expected"),
    )
    def test_it_does_not_start(self, flags, reason):
        command = [sys.executable, str(ROOT / "gym_http_server.py"), "-p", "0", *flags]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual((ended.returncode, ended.stdout), (2, ""))
        self.assertRegex(ended.stderr.replace("\n", " "), reason)
