"""Numbered calls on the server: kept replies, and what is out of sequence."""

import gzip
import json
import tempfile
import threading
import unittest
from pathlib import Path

import msgspec
from nose2.tools import params

from gym_http.environments import Recipe
from gym_http.errors import OutOfSequence
from gym_http.registry import Registry
from gym_http.sequence import MOST_CLIENTS, MOST_NUMBERS, Number, Sequence
from gym_http.service import Service
from gym_http.web.exchange import Call, answer
from gym_http.web.hot import HOT
from tests import counting_envs  # noqa: F401  registers the environments
from tests.support import (
    ServerProcess,
    at_once,
    create,
    eventually,
    exchange,
    get,
    post,
    request,
)
from tests.test_registry import instance

MSGPACK = "application/msgpack"


class Rules(unittest.TestCase):
    def setUp(self):
        self.sequence = Sequence()

    def call(self, seq, client_id="", request="r"):
        """The kept reply, or a new one."""
        number = Number(seq, client_id, request)
        kept = self.sequence.kept(number)
        if kept is None:
            self.sequence.keep(number, object())
        return kept or self.sequence.kept(number)

    def refused(self, seq, expected, reason, **more):
        with self.assertRaisesRegex(OutOfSequence, reason) as caught:
            self.sequence.kept(Number(seq, more.get("client_id", ""), more.get("request", "r")))
        self.assertEqual(caught.exception.body()["expected"], expected)

    def test_the_last_one_again(self):
        first = self.call(1)
        self.assertIs(self.call(1), first)
        self.assertIsNot(self.call(2), first)

    def test_what_is_out_of_sequence(self):
        self.refused(2, 1, "gap: no call of this client")
        for seq in (1, 2, 3):
            self.call(seq)
        self.refused(5, 4, "gap: the last was 3")
        self.refused(2, 4, "an old one: the last was 3")
        self.refused(3, 4, "given to another request", request="other")
        self.call(4)

    def test_what_is_not_kept_uses_no_number(self):
        self.assertIsNone(self.sequence.kept(Number(1, "", "refused")))
        self.assertIsNone(self.sequence.kept(Number(1, "", "mended")))

    def test_each_client_counts_for_itself(self):
        first = self.call(1, "a")
        self.assertIsNot(self.call(1, "b"), first)
        self.assertIs(self.call(1, "a"), first)
        self.refused(2, 1, "no call of this client", client_id="c")

    def test_who_called_least_recently_is_forgotten_first(self):
        for i in range(MOST_CLIENTS):
            self.call(1, str(i))
        kept = self.call(1, "0")  # a repetition is a call
        self.call(1, "one more")
        self.assertIs(self.call(1, "0"), kept)
        self.refused(1, 2, "has been done.*its reply is gone", client_id="1")  # never twice
        self.call(2, "1")
        self.assertIsNotNone(self.sequence.kept(Number(2, "1", "r")))

    def test_so_many_that_one_begins_anew(self):
        for i in range(MOST_CLIENTS + MOST_NUMBERS + 1):
            self.call(1, str(i))
        self.refused(1, 2, "reply is gone", client_id="1")
        self.refused(2, 1, "no call of this client", client_id="0")
        self.call(1, "0")

    def test_an_instance_that_has_ended_keeps_nothing(self):
        """What is gone is remembered for an hour, without the replies."""
        registry = Registry(lambda: 0.0, 1)
        one = instance()
        registry.add(one)
        one.sequence.keep(Number(1, "", "r"), "large")
        registry.retire(one, OutOfSequence("its end"))
        self.assertIsNone(one.sequence.kept(Number(1, "", "r")))


class NumberedCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ServerProcess("--import", "tests.counting_envs", "--busy-timeout", "20")
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        self.env = create(self.server, "Counting-v0", kwargs={"length": 10**9})

    def post(self, verb, seq=None, **body):
        """(status, body) of a call."""
        status, _, reply = post(self.server, f"{self.env}/{verb}/", {**body, "seq": seq})
        return status, reply

    def steps(self):
        return get(self.server, self.env)[2]["steps"]


class OnTheWire(NumberedCase):
    def raw(self, verb, body, headers):
        text = (
            f"POST {self.env}/{verb}/ HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode() + body
        )
        status, head, got = exchange(self.server.address, text)
        for name in ("date", "x-request-id"):  # a request's own
            head.pop(name, None)
        return status, head, got

    @params("json", "msgpack", "gzip", "flask")
    def test_byte_for_byte(self, kind):
        encode = msgspec.msgpack.encode if kind == "msgpack" else msgspec.json.encode
        mime = MSGPACK if kind == "msgpack" else "application/json"
        zipped = "Accept-Encoding: gzip\r\n" if kind == "gzip" else ""
        for seq, (verb, more) in enumerate(
            (
                ("reset", {"seed": 1}),
                ("step", {"action": 3}),
                ("rollout", {"actions": [7] * 300, "client_id": None}),
                ("step", {"action": 999}),  # env_failed
                ("reset", {}),
            ),
            1,
        ):
            body = encode({**more, "seq": seq})
            headers = f"Content-Type: {mime}\r\nAccept: {mime}\r\n{zipped}"
            plain = f"{headers}Content-Length: {len(body)}\r\n"
            first = self.raw(verb, body, plain)
            self.assertEqual(first[0], 500 if more.get("action") == 999 else 200, first)
            before = self.steps()
            for _ in range(2):
                self.assertEqual(self.raw(verb, body, plain), first)
            if kind == "gzip":
                self.assertEqual(first[1].get("content-encoding"), "gzip" if seq == 3 else None)
                bare = self.raw(verb, body, plain.replace(zipped, ""))
                got = gzip.decompress(first[2]) if seq == 3 else first[2]
                self.assertEqual(bare[2], got)
            if kind == "flask":  # which is given what comes in chunks
                chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
                again = self.raw(verb, chunks, f"{headers}Transfer-Encoding: chunked\r\n")
                self.assertEqual(again, first)
            self.assertEqual(self.steps(), before)

    def test_flask_does_it_as_well(self):
        body = b'{"action":5,"seq":2}'
        self.post("reset", 1)
        chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        headers = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
        first = self.raw("step", chunks, headers)
        self.assertEqual((first[0], self.raw("step", chunks, headers)), (200, first))
        self.assertEqual(self.steps(), 1)

    def test_out_of_sequence(self):
        self.assertEqual(self.post("reset", 1)[0], 200)
        self.assertEqual(self.post("step", 2, action=1)[0], 200)
        for verb, body, reason in (
            ("step", {"seq": 4, "action": 1}, "gap"),
            ("step", {"seq": 1, "action": 1}, "old"),
            ("reset", {"seq": 1}, "old"),
            ("step", {"seq": 2, "action": 2}, "another request"),
            ("reset", {"seq": 2, "action": 1}, "another request"),
            ("step", {"seq": 2, "action": 1, "render": False}, "another request"),
            ("step", {"seq": 2**53, "action": 1}, "gap"),
        ):
            status, reply = self.post(verb, **body)
            said = (status, reply["code"], reply["expected"], reply["retryable"])
            self.assertEqual(said, (409, "out_of_sequence", 3, False))
            self.assertIn(reason, reply["message"])
        self.assertEqual(self.steps(), 1)
        self.assertEqual(self.post("step", 3, action=2)[1]["observation"], [2, 1, 2])

    @params(0, -1, 1.5, "1", True, False, [1], [[1]], {}, {"1": 1}, 2**53 + 1, 2**64, 1e300)
    def test_what_is_no_number(self, seq):
        self.post("reset", 1)
        for verb, body in (("step", {"action": 1}), ("reset", {}), ("rollout", {"sample": 1})):
            status, reply = self.post(verb, seq, **body)
            self.assertEqual((status, reply["code"]), (400, "bad_value"), reply)
            self.assertIn("seq", reply["message"])
        packed = msgspec.msgpack.encode({"action": 1, "seq": seq if seq != 2**64 else "1"})
        status, _, reply = request(self.server, "POST", f"{self.env}/step", packed, MSGPACK)
        self.assertEqual((status, reply["code"]), (400, "bad_value"))
        self.assertEqual((self.steps(), self.post("step", 2, action=1)[0]), (0, 200))

    @params(None, "", [])
    def test_what_is_no_numbered_call(self, seq):
        for _ in range(3):
            self.assertEqual(self.post("reset", seq)[0], 200)
            self.assertEqual(self.post("step", seq, action=1, client_id="a")[0], 200)
        self.assertEqual(self.steps(), 3)
        self.assertEqual(self.post("step", 1.0, action=1)[0], 200)
        for _ in range(2):  # nor does it change one
            self.post("step", action=2)
            self.assertEqual(self.post("step", 1.0, action=1)[1]["observation"], [4, 3, 1])

    @params("x" * 65, 1, True, ["a"], {"a": 1})
    def test_what_is_no_client(self, client_id):
        status, reply = self.post("reset", 1, client_id=client_id)
        self.assertEqual((status, reply["code"]), (400, "bad_value"))
        self.assertIn("client_id", reply["message"])

    def test_clients(self):
        self.post("reset", 1)
        for step, client_id in enumerate(("a", "b", "x" * 64, "ü" * 64), 1):
            for _ in range(2):
                status, reply = self.post("step", 1, action=1, client_id=client_id)
                self.assertEqual((status, reply["observation"]), (200, [step, 1, 1]))
        self.assertEqual(self.post("step", 2, action=1, client_id="")[0], 200)  # the same as none

    def test_a_refusal_leaves_the_number(self):
        for body, code in (({"action": 1}, "reset_needed"), ({}, "missing_parameter")):
            self.assertEqual(self.post("step", 1, **body)[1]["code"], code)
        self.assertEqual(self.post("reset", 1)[0], 200)
        for body in ({"action": 1000}, {"action": 1, "render": "perhaps"}):
            self.assertEqual(self.post("step", 2, **body)[1]["code"], "bad_value")
        self.assertEqual(self.post("rollout", 2, sample=0)[1]["code"], "bad_value")
        self.assertEqual(self.post("step", 2, action=1)[0], 200)

    def test_a_failure_uses_it(self):
        self.post("reset", 1)
        first = self.post("step", 2, action=999)
        self.assertEqual((first[0], first[1]["code"]), (500, "env_failed"))
        self.assertEqual(self.post("step", 2, action=999), first)  # and "step 1" is in its words
        self.assertEqual(self.post("reset", 3)[1]["observation"], [1, 2, 999])

    def test_one_that_has_ended(self):
        self.post("reset", 1)
        self.post("close")
        for seq in (1, 2, 7):
            self.assertEqual(self.post("reset", seq)[1]["code"], "unknown_instance")

    def test_one_that_ended_by_the_call(self):
        """It took its number along: the repetition is answered as the first was."""
        with tempfile.TemporaryDirectory() as directory:
            self.env = create(
                self.server, "Waiting-v0", kwargs={"directory": directory}, step_timeout_s=0.2
            )

            def ended(seq):
                status, reply = self.post("step", seq, action=1)
                del reply["request_id"]
                return status, reply

            self.post("reset", 1)
            first = ended(2)
            (Path(directory) / "go").touch()
            self.assertEqual((first[0], first[1]["code"]), (504, "timeout"))
            self.assertEqual((ended(2), ended(3)), (first, first))


class UnderWay(NumberedCase):
    def test_a_repetition_waits_for_the_first(self):
        service = Service()
        replies = []
        with tempfile.TemporaryDirectory() as directory:
            here = Path(directory)
            one = service.create(Recipe("Waiting-v0", kwargs={"directory": directory})).instance_id
            service.reset(one)
            call = Call({"instance_id": one}, {}, b'{"action":1,"seq":1}', "application/json")

            def step():
                replies.append(answer(HOT["step"], service, call))

            threads = [threading.Thread(target=step) for _ in range(4)]
            threads[0].start()
            eventually((here / "begun").exists)
            for thread in threads[1:]:
                thread.start()
            eventually(lambda: service._registry.peek(one).waiting == 3)
            (here / "go").touch()
            for thread in threads:
                thread.join()
        self.assertEqual([reply.status for reply in replies], [200] * 4)
        self.assertTrue(all(reply is replies[0] for reply in replies))
        self.assertEqual(service.describe(one)["steps"], 1)
        service.close_all()

    def test_a_crowd_with_one_number(self):
        """Whoever comes first, there is one step, and one reply."""
        self.post("reset", 1)
        for seq in range(2, 30):
            replies = []
            at_once(*[lambda: replies.append(self.post("step", seq, action=seq))] * 4)  # noqa: B023
            self.assertEqual({json.dumps(reply) for reply in replies}, {json.dumps(replies[0])})
            self.assertEqual(replies[0][1]["observation"], [seq - 1, 1, seq])
