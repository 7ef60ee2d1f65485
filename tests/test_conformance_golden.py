"""The golden exchanges of conformance/, against a real server; and that they tell everything."""

import json
import re
import unittest

import msgspec

from gym_http import wire
from gym_http.fake_server.script import Script
from gym_http.fake_server.values import plain, with_arrays
from gym_http.spaces import describe
from gym_http.web.routes import ROUTES
from tests.golden import Exchange, Replay, Reply, Request, Topic, topics
from tests.support import ROOT, ServerProcess

NOT_FOR_CLIENTS = {"openapi_document", "docs", "docs_file"}


class Golden(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ServerProcess("--import", "conformance.environments")
        cls.addClassCleanup(cls.server.stop)

    def test_the_server_answers_so(self):
        last = None
        for name, topic in sorted(topics(), key=lambda one: one[0] == "server"):
            replay = Replay(self.server)
            for one in topic.exchanges:
                with self.subTest(topic=name, exchange=one.name):
                    self.assertEqual(replay.differences(one), [])
                last = one
        self.assertEqual(last.name, "shutdown")
        self.assertEqual(self.server.wait(), 0)


class Data(unittest.TestCase):
    def every(self):
        return [(topic, one) for topic, content in topics() for one in content.exchanges]

    def test_every_route_is_there(self):
        sent = {
            f"{one.request.method} {one.request.path.partition('?')[0]}" for _, one in self.every()
        }
        for route in ROUTES:
            if route.handler.__name__ in NOT_FOR_CLIENTS:
                continue
            pattern = re.sub(r"<path:\w+>", ".+", route.path.rstrip("/"))
            whole = re.compile(f"{route.method} {re.sub(r'<[a-z_]+>', '[^/]+', pattern)}/?")
            with self.subTest(route=route.name):
                self.assertTrue(any(whole.fullmatch(one) for one in sent))

    def test_every_space_is_there(self):
        text = (ROOT / "conformance" / "exchanges" / "spaces.json").read_text()
        for kind in describe.registry:
            if kind.__module__.startswith("gymnasium"):
                self.assertIn(f'"name": "{kind.__name__}"', text)

    def test_names_are_unique_in_a_topic(self):
        names = [(topic, one.name) for topic, one in self.every()]
        self.assertEqual(len(names), len(set(names)))

    def test_the_bytes_are_the_value(self):
        """That `messagepack` holds what `body` says, where there are no names in braces."""
        seen = 0
        for topic, one in self.every():
            for side in (one.request, one.reply):
                if isinstance(side.messagepack, str):
                    said = plain(wire.from_msgpack(bytes.fromhex(side.messagepack)))
                    told = plain(with_arrays(side.body))
                    if "{" not in json.dumps(list(told.values())):
                        seen += 1
                        with self.subTest(topic=topic, exchange=one.name):
                            self.assertEqual(repr(said), repr(told))
        self.assertGreater(seen, 10)

    def test_the_schemas_are_those_of_the_code(self):
        for name, kind in (("exchanges", Topic), ("scenarios", Script)):
            kept = json.loads((ROOT / "conformance" / "schema" / f"{name}.json").read_text())
            self.assertEqual(kept, msgspec.json.schema(kind))


class ReplayTest(unittest.TestCase):
    """That a reply which isn't the golden one is told."""

    def test_each_way_of_being_another(self):
        replay = Replay.__new__(Replay)
        replay.bound, replay._bytes = {}, {"first": b"{}"}
        golden = Reply(status=200, body={"x": 0.5, "n": 1, "list": [], "id": "{id}", "t": "<time>"})
        fine = {"x": 0.5, "n": 1, "list": [], "id": "ab", "t": "2026-11-23T09:00:00.5Z"}

        def differing(**changed):
            value = json.dumps({**fine, **changed}).encode()
            return list(replay._of_body(golden, {"content-type": "application/json"}, value))

        self.assertEqual(differing(), [])
        self.assertEqual(replay.bound, {"id": "ab"})
        for changed in (
            {"x": 0.50001}, {"x": None}, {"x": "0.5"}, {"n": 1.0}, {"n": True}, {"list": {}},
            {"list": [1]}, {"id": "cd"}, {"t": "yesterday"}, {"more": 1},
        ):  # fmt: skip
            with self.subTest(changed):
                self.assertNotEqual(differing(**changed), [])
        other = Reply(status=200, same_as="first")
        self.assertEqual(list(replay._of_body(other, {}, b"{}")), [])
        self.assertNotEqual(list(replay._of_body(other, {}, b"{} ")), [])

    def test_requests_are_sent_as_they_are(self):
        replay = Replay.__new__(Replay)
        replay.bound = {"id": "ab"}
        request = Request(method="POST", path="/v1/envs/{id}/", body={"{id}": ["{id}", "{no}"]})
        raw = replay._raw(Exchange(name="x", request=request, reply=Reply(status=200)).request)
        self.assertTrue(raw.startswith(b"POST /v1/envs/ab/ HTTP/1.1\r\n"))
        self.assertTrue(raw.endswith(b'\r\n\r\n{"ab": ["ab", "{no}"]}'))
