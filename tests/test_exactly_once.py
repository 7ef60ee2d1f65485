"""However a connection is cut, the environment makes each step once: 10,000 of them."""

from __future__ import annotations

import logging
import random
import unittest

import gymnasium
from nose2.tools import params
from requests.adapters import HTTPAdapter

from gym_http.remote.connection import MessagePackClient
from gym_http_client import Client
from tests import counting_envs  # noqa: F401  registers the environments
from tests.cutting_proxy import CuttingProxy
from tests.support import ServerProcess
from tests.test_lua import LUAS, PREAMBLE, LuaTest


class CutCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ServerProcess("--import", "tests.counting_envs", "--busy-timeout", "20")
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        self.direct = Client(self.server.url)
        self.addCleanup(self.direct.close)

    def proxy(self, seed, **options):
        proxy = CuttingProxy(self.server.address, seed, **options)
        self.addCleanup(proxy.close)
        return proxy

    def client(self, proxy, kind=Client):
        client = kind(proxy.url)
        client._first_pause_s = 0.0002
        self.addCleanup(client.close)
        return client

    def all_kinds(self, proxy, least):
        """That the proxy has done what it is there for."""
        kinds = ("accepted", "request", "sent", "reply", "after", "gateway")
        for kind in kinds:
            self.assertGreaterEqual(proxy.done[kind], least, (kind, proxy.done))


class Trajectories(CutCase):
    def play(self, client, steps, seed):
        """Step CartPole, and compare with one here."""
        random_ = random.Random(seed)
        here = gymnasium.make("CartPole-v1")
        there = self.direct.env_create("CartPole-v1")
        resets = episodes = 0
        done = True
        for _ in range(steps):
            if done:
                given = {"seed": seed} if resets % 3 == 0 else {}
                expected, _ = here.reset(**given)
                self.assertEqual(list(client.env_reset(there, **given)), expected.tolist())
                resets += 1
            action = random_.randrange(2)
            expected, reward, *ends, _ = here.step(action)
            got = client.env_step(there, action, with_truncated=True)
            self.assertEqual([list(got[0]), *got[1:4]], [expected.tolist(), reward, *ends])
            done = any(ends)
            episodes += done
        info = self.direct.env_info(there)
        self.assertEqual((info["steps"], info["episodes"]), (steps, episodes))
        self.direct.env_close(there)

    def test_ten_thousand_steps(self):
        proxy = self.proxy(seed=1)
        self.play(self.client(proxy), 10_000, seed=1)
        self.all_kinds(proxy, 300)
        for kind in ("request", "reply"):  # each byte of theirs has been a last one
            places = {place for what, place in proxy.cut if what == kind}
            self.assertLessEqual(set(range(proxy.shortest[kind])), places)

    def test_in_messagepack(self):
        proxy = self.proxy(seed=2)
        self.play(self.client(proxy, MessagePackClient), 1000, seed=2)
        self.all_kinds(proxy, 30)

    def test_through_requests(self):
        """The client's other way."""
        logging.disable(logging.CRITICAL)  # urllib3 warns of cut heads
        self.addCleanup(logging.disable, logging.NOTSET)
        proxy = self.proxy(seed=3)
        client = self.client(proxy)
        client.session.mount("http://", HTTPAdapter())
        self.play(client, 150, seed=3)
        self.all_kinds(proxy, 5)


class Counts(CutCase):
    def test_a_counting_environment(self):
        """It is told each step and each reset once, rollouts' as well."""
        proxy = self.proxy(seed=4)
        client = self.client(proxy)
        random_ = random.Random(4)
        one = self.direct.env_create("Counting-v0", kwargs={"length": 10**9})
        steps, resets, last = 0, 0, 0
        for turn in range(1000):
            action = random_.randrange(999)
            if turn % 50 == 0:
                resets += 1
                self.assertEqual(client.env_reset(one), [steps, resets, last])
            elif turn % 10 == 0:
                played = client.env_rollout(one, [action] * 5)
                expected = [[steps + i, resets, action] for i in range(1, 6)]
                self.assertEqual(played["observations"], expected)
                steps, last = steps + 5, action
            else:
                steps, last = steps + 1, action
                self.assertEqual(client.env_step(one, action)[0], [steps, resets, action])
        self.assertEqual(self.direct.env_info(one)["steps"], steps)
        self.all_kinds(proxy, 30)

    def test_two_clients_on_one(self):
        """In turns: neither gets the other's replies."""
        proxy = self.proxy(seed=5)
        clients = [self.client(proxy), self.client(proxy)]
        one = self.direct.env_create("Counting-v0", kwargs={"length": 10**9})
        self.direct.env_reset(one)
        for step in range(1, 301):
            for turn, client in enumerate(clients):  # the same request, but for who sends it
                got = client.env_step(one, 7)[0]
                self.assertEqual(got, [2 * step - 1 + turn, 1, 7])

    def test_the_test_fails_where_numbers_are_not_heeded(self):
        """With them left out, the same proxy makes for steps too many."""
        proxy = self.proxy(seed=6)
        client = self.client(proxy)
        client._dump = lambda body: Client._dump(
            client, {key: value for key, value in body.items() if key != "seq"}
        )
        one = self.direct.env_create("Counting-v0", kwargs={"length": 10**9})
        self.direct.env_reset(one)
        for _ in range(50):
            client.env_step(one, 1)
        self.assertGreater(self.direct.env_info(one)["steps"], 50)


class Lua(CutCase, LuaTest):
    @params(*LUAS[-1:], *LUAS[:1])
    def test_fifteen_hundred_steps(self, lua):
        self.need(lua, "cjson")
        proxy = self.proxy(seed=7)
        one = self.direct.env_create("Counting-v0", kwargs={"length": 10**9})
        said = self.output(lua, "-e", PREAMBLE + COUNTING % (proxy.url, one))
        self.assertEqual(said, "ok 1500\n")
        info = self.direct.env_info(one)
        self.assertEqual(info["steps"], 1485 + 15 * 2)
        self.all_kinds(proxy, 30)


COUNTING = """
local client = assert(require("gym_http_client").new("%s", { json = "cjson" }))
client.first_pause_s = 0.0002
local one, steps, resets = "%s", 0, 0
local function check(observation, action)
  local fine = observation[1] == steps and observation[2] == resets and observation[3] == action
  if not fine then error(("step %%d, got %%d, %%d, %%d"):format(steps, unpack(observation))) end
end
unpack = unpack or table.unpack
local action = 0
for turn = 0, 1499 do
  if turn %% 500 == 0 then
    resets = resets + 1
    check(assert(client:env_reset(one)), action)
  end
  action = turn %% 7
  if turn %% 100 == 50 then
    steps = steps + 2
    check(assert(client:env_rollout(one, { action, action })).observations[2], action)
  else
    steps = steps + 1
    check(assert(client:env_step(one, action)), action)
  end
end
print("ok 1500")
"""
