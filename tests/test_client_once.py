"""Numbered calls of the clients on real servers: forks, copies, threads, and old servers."""

import copy
import multiprocessing
import os
import pickle
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import gymnasium
import requests
from nose2.tools import params

import gym_http.remote  # noqa: F401  registers http/Remote-v0
from gym_http_client import Client, ServerError
from tests.support import at_once
from tests.test_exactly_once import CutCase
from tests.test_lua import LUAS, PREAMBLE, LuaTest


class Foreign(unittest.TestCase):
    """A server that steps whenever it is told to, as v1's does, and hangs up."""

    def test_it_never_steps_twice(self):
        came = []

        class Stepping(BaseHTTPRequestHandler):
            def do_POST(self):
                came.append(self.rfile.read(int(self.headers["Content-Length"])))

            def do_GET(self):
                self.send_error(404)

            def log_message(self, *arguments):
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Stepping) as server:
            threading.Thread(target=server.serve_forever).start()
            with Client(f"http://127.0.0.1:{server.server_port}") as client:
                client._first_pause_s = 0.001
                for _ in range(3):
                    with self.assertRaises(requests.ConnectionError):
                        client.env_step("one", 1)
            server.shutdown()
        self.assertEqual(len(came), 3)


class OnAServer(CutCase):
    def setUp(self):
        super().setUp()
        self.proxied = self.proxy(seed=0, share=0.0)
        self.one = self.direct.env_create("Counting-v0", kwargs={"length": 10**9})
        self.direct.env_reset(self.one)

    def without_retries(self):
        client = Client(self.proxied.url, retries=0)
        self.addCleanup(client.close)
        return client

    def lost(self, client, plan, action):
        self.proxied.plan = [plan]
        with self.assertRaises((requests.ConnectionError, ServerError)):
            client.env_step(self.one, action)

    def test_another_call_after_one_that_was_done(self):
        client = self.without_retries()
        self.lost(client, "reply", 1)
        with self.assertRaises(ServerError) as caught:
            client.env_step(self.one, 2)
        self.assertEqual(caught.exception.code, "out_of_sequence")
        self.assertEqual(client.env_step(self.one, 2)[0], [2, 1, 2])

    def test_the_same_call_after_one_that_was_done(self):
        client = self.without_retries()
        self.lost(client, "reply", 1)
        self.assertEqual(client.env_step(self.one, 1)[0], [1, 1, 1])
        self.assertEqual(client.env_step(self.one, 1)[0], [2, 1, 1])

    def test_another_call_after_one_that_never_came(self):
        client = self.without_retries()
        self.lost(client, "request", 1)
        self.assertEqual(client.env_step(self.one, 2)[0], [1, 1, 2])

    def test_whose_reply_was_let_go(self):
        client = self.client(self.proxied)
        client.env_step(self.one, 1)
        for _ in range(16):
            with Client(self.server.url) as other:
                other.env_step(self.one, 2)
        self.assertEqual(client.env_step(self.one, 3)[0], [18, 1, 3])
        self.assertEqual(client.env_step(self.one, 3)[0], [19, 1, 3])

    def test_threads_on_one_client(self):
        seen = []
        at_once(
            *[lambda: seen.extend(self.direct.env_step(self.one, 1)[0][0] for _ in range(50))] * 4
        )
        self.assertEqual(sorted(seen), list(range(1, 201)))

    @params(copy.copy, copy.deepcopy, lambda client: pickle.loads(pickle.dumps(client)))
    def test_a_copy_is_another_client(self, copied):
        self.direct.env_step(self.one, 1)
        other = copied(self.direct)
        self.addCleanup(other.close)
        self.assertNotEqual(other._counts.client_id, self.direct._counts.client_id)
        for step in (2, 4):
            self.assertEqual(other.env_step(self.one, 1)[0], [step, 1, 1])
            self.assertEqual(self.direct.env_step(self.one, 1)[0], [step + 1, 1, 1])

    @unittest.skipUnless(hasattr(os, "fork"), "this system has no fork")
    def test_a_forked_child_is_another_client(self):
        fork = multiprocessing.get_context("fork")
        self.direct.env_step(self.one, 1)
        answers = fork.Queue()
        given = (self.direct, self.one, answers)
        children = [fork.Process(target=step_often, args=given) for _ in range(2)]
        for child in children:
            child.start()
        seen = [self.direct.env_step(self.one, 1)[0][0] for _ in range(50)]
        for child in children:
            seen += answers.get(timeout=60)
            child.join()
        self.assertEqual(sorted(seen), list(range(2, 152)))

    def test_from_gymnasium(self):
        env = gymnasium.make(
            "http/Remote-v0", url=self.proxied.url, env_id="Counting-v0", time_limit=10**6
        )
        env.unwrapped._connection.client._first_pause_s = 0.0002
        self.proxied.share = 0.4
        seen = []
        for step in range(200):
            if step % 50 == 0:
                env.reset()
            seen.append(env.step(1)[0].tolist())
        self.proxied.share = 0.0
        env.close()
        self.assertEqual(seen, [[step, 1 + (step - 1) // 50, 1] for step in range(1, 201)])


def step_often(client, one, answers):
    answers.put([client.env_step(one, 1)[0][0] for _ in range(50)])


class InLua(CutCase, LuaTest):
    @params(*LUAS)
    def test_its_numbers(self, lua):
        self.need(lua, "dkjson")
        proxied = self.proxy(seed=0, share=0.0)
        one = self.direct.env_create("Counting-v0", kwargs={"length": 10**9})
        self.direct.env_reset(one)
        script = PREAMBLE + RULES % (proxied.url, self.server.url, one)
        # What becomes of the calls of the script, one after the other.
        proxied.plan = ["whole", "reply", *["whole"] * 2, "reply", "whole", "request"]
        self.assertEqual(self.output(lua, "-e", script), "ok\n")


RULES = """
local gym = require("gym_http_client")
local client = assert(gym.new("%s", { json = "dkjson", retries = 0 }))
local direct, one, steps = "%s", "%s", 0
local function code_of(action) return (select(3, client:env_step(one, action))) end
local function made(action, by)
  steps = steps + 1
  local observation, problem = (by or client):env_step(one, action)
  assert(observation, problem)
  assert(observation[1] == steps and observation[3] == action, observation[1])
end
made(1)
assert(code_of(1) == "connection") -- which was done
steps = steps + 1
assert(code_of(2) == "out_of_sequence")
made(2)
assert(code_of(3) == "connection") -- which was done, too
made(3) -- and this is it
assert(code_of(4) == "connection") -- which never came
made(5)
assert(code_of(1000) == "bad_value") -- which leaves its number
made(6)
assert(code_of(999) == "env_failed") -- which uses it
steps = steps + 1
assert(client:env_reset(one))
made(7)
for _ = 1, 16 do made(8, gym.new(direct, { json = "dkjson" })) end -- so that its reply is let go
made(9)
made(9)
assert(client.counts[one].next == 12, client.counts[one].next)
assert(client:env_close(one) and not client.counts[one])
local _, problem, code = gym.new(direct, { retries = "many" })
assert(code == "bad_value" and problem:find("retries"))
print("ok")
"""
