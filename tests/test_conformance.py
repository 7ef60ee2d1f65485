"""The conformance kit: the bundled clients are certified, and what is wrong with others is told."""

import shutil
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nose2.tools import params

from gym_http.fake_server.certifying import by_driver
from gym_http.fake_server.report import line
from gym_http.fake_server.script import LEVELS, chosen, find
from tests.support import ROOT
from tests.test_lua import LuaTest

KIT = ROOT / "conformance"
PYTHON = f"{sys.executable} {KIT}/drivers/python_client.py"
LUA = f"{KIT}/drivers/lua_client.lua"
PLAIN = f"{sys.executable} {ROOT}/tests/plain_driver.py"
IN_JSON = tuple(level for level in LEVELS if level != "messagepack")


def outcomes(command, levels=LEVELS, names=(), timeout_s=10):
    return list(by_driver(chosen(find([KIT]), levels, names), command, timeout_s))


CERTIFIED = {
    "python": (PYTHON, IN_JSON),
    "messagepack": (f"{PYTHON} --msgpack", ("core", "errors", "spaces", "rollout", "messagepack")),
    # One that was written for the kit, and has nothing in common with the others.
    "plain": (PLAIN, ("core", "errors", "connections", "exactly-once", "access")),
    "plain, without numbers": (f"{PLAIN} never_numbers", ("core", "errors", "connections")),
    "lua5.4 cjson": (f"lua5.4 {LUA} cjson", IN_JSON),
    **{
        lua: (f"{lua.split()[0]} {LUA} {lua.split()[1]}", ("core", "errors", "spaces"))
        for lua in ("lua5.1 dkjson", "lua5.2 cjson", "lua5.3 dkjson", "luajit cjson")
    },
}


class Certified(LuaTest):
    @classmethod
    def setUpClass(cls):
        """Each takes seconds, most of which it waits: they run at once."""
        with ThreadPoolExecutor(len(CERTIFIED)) as pool:
            cls.found = {
                client: pool.submit(outcomes, *how)
                for client, how in CERTIFIED.items()
                if shutil.which(how[0].split()[0])
            }

    @params(*CERTIFIED)
    def test_the_client(self, client):
        if "lua" in client:
            self.need(client.split()[0], client.split()[1], "dkjson")
        found = self.found[client].result()
        self.assertEqual([line(one) for one in found if not one.passed], [])
        self.assertEqual({one.level for one in found}, set(CERTIFIED[client][1]))


WRONG = (
    # the client's way, the scenario, what it was to do
    ("repeats_with_a_new_number", "lost-reply", 'same body as before: {"action": 1, "seq": 2'),
    ("repeats_with_a_new_number", "lost-reset", "the same body as before"),
    ("gives_up", "lost-in-the-body", "POST /v1/envs/3c657dbc/step/, the same once more"),
    ("repeats_blindly", "a-server-without-numbers", "no further request"),
    ("repeats_blindly", "a-server-without-health", "no further request"),
    ("never_counts", "exactly-once/numbers", "body.seq = 2"),
    ("never_counts", "failed-takes-the-number", "body.seq = 2"),
    ("changes_its_client_id", "exactly-once/numbers", "the client_id that it had"),
    ("never_numbers", "exactly-once/numbers", "body.seq = 1"),
    ("never_numbers", "lost-reply", "body.seq = 1"),
    ("repeats_without_a_number", "a-step-without-a-number", "no repetition, for it has no"),
    ("makes_two", "cut-before", "no further request"),
    ("makes_two", "cut-by-a-reset", "no further request"),
    ("takes_half_a_reply", "cut-in-the-body", "an error: connection"),
    ("takes_half_a_reply", "a-reply-that-is-cut", "an error: any"),
    ("keeps_stale_bytes", "doubled", "value.observation"),
    ("keeps_stale_bytes", "closed-silently", "GET /v1/envs/"),
    ("ignores_the_code", "bad-value", "error.code = bad_value"),
    ("takes_null_for_zero", "core/numbers-that-json-lacks", "value.observation[0] = null"),
    ("takes_null_for_zero", "nan-anywhere", "value.observation[0][1] = null"),
    ("sends_no_content_type", "create", "Content-Type: application/json"),
    ("escapes_nothing", "an-id-is-escaped", "an HTTP/1.1 request"),
    ("forgets_the_token", "a-token", "Authorization: Bearer s3cret.token-1"),
    ("rounds", "doubles-arrive-as-they-are", "body.action[1] = -0.3333333333333333"),
    ("chatters", "create", "an answer from the driver"),
    ("crashes", "step", "an answer from the driver"),
    ("right", "info", "a client that has this call (or leave out its level)"),
)


def told(way, name, timeout_s=10):
    """The report on the one scenario, which has to fail."""
    (outcome,) = outcomes(f"{PLAIN} {way}", names=(name,), timeout_s=timeout_s)
    assert not outcome.passed, (way, name)
    return line(outcome)


class Wrong(unittest.TestCase):
    """What a bad client does wrong is found where it is to be, and told."""

    @classmethod
    def setUpClass(cls):
        with ThreadPoolExecutor(4) as pool:
            cls.told = {row: pool.submit(told, *row[:2]) for row in WRONG}

    @params(*WRONG)
    def test_it_is_told(self, *row):
        expected = [
            text.strip().removeprefix("expected ")
            for text in self.told[row].result().splitlines()
            if text.startswith("      expected ")
        ]
        self.assertIn(row[2], " ".join(expected))

    def test_a_hang(self):
        self.assertIn("came     no answer within 0.5 s", told("hangs", "step", 0.5))

    def test_what_a_driver_said_at_its_end(self):
        self.assertIn("it has ended; it said: out of cheese", told("crashes", "step"))

    def test_no_driver(self):
        (outcome,) = outcomes("no-such-program", names=("create",))
        self.assertIn("it can't be started", line(outcome))

    def test_the_next_scenario_has_a_driver_again(self):
        found = outcomes(f"{PLAIN} crashes", names=("step", "close", "list"))
        self.assertEqual([(one.name, one.passed) for one in found],
                         [("list", True), ("step", False), ("close", True)])  # fmt: skip

    def test_two_clients_of_one_id(self):
        """Each client of this driver's has the same."""
        with tempfile.TemporaryDirectory() as directory:
            source = (ROOT / "tests" / "plain_driver.py").read_text()
            path = Path(directory) / "driver.py"
            path.write_text(
                source.replace("self.client_id = secrets.token_hex(8)", 'self.client_id = "me"')
            )
            (outcome,) = outcomes(f"{sys.executable} {path}", names=("two-clients",))
        self.assertIn("a client_id of its own", line(outcome))
