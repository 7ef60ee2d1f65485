"""The numbers of the Python client's calls: what it sends again, and what it doesn't."""

import json
import logging
import threading
import time
from itertools import product

import requests
from nose2.tools import params

import gym_http.remote  # noqa: F401  registers http/Remote-v0
from gym_http_client import Client, ServerError
from tests.client_peer import CUT, PeerCase, chunked, reply

KNOWS = [reply(b'{"exactly_once": true}')]
HEALTH = "GET "  # what the peer takes for the instance's name


class Turns(list):
    """A script for each request in turn."""

    def __iter__(self):
        return iter(self.pop(0) if self else [reply()])


def error(status, code=None, **facts):
    body = {"message": "no", **({"code": code} if code else {}), **facts}
    return [reply(json.dumps(body).encode(), f"{status} x", ["Content-Type: application/json"])]


GATEWAYS = [reply(b"<html>", "502 Bad Gateway", ["Content-Type: text/html"])]
BREAKS = {
    "before the reply": [CUT],
    "in its status": [b"HTTP/1.1 2", CUT],
    "in its head": [reply()[:20], CUT],
    "in the head of a refusal": [b"HTTP/1.1 400 Bad Request\r\nContent-Ty", CUT],
    "in its body": [reply()[:-1], CUT],
    "in a chunk": [chunked(b"{}")[:-8], CUT],
    "in one without a length": [b"HTTP/1.1 200 OK\r\n\r\n" + b'{"observ', CUT],
    "at a gateway": GATEWAYS,
    "at a gateway with JSON": error(503),
    "at a gateway for long": error(504),
}


class Repeating(PeerCase):
    def setUp(self):
        super().setUp()
        self.client._first_pause_s = 0.001
        self.peer.scripts = {HEALTH: KNOWS}

    def play(self, *scripts):
        self.peer.scripts["one"] = Turns(scripts)

    def step(self, action=1):
        return self.client.env_step("one", action)

    def numbers(self):
        """The seq of each step that came."""
        bodies = [body for _, first, _, body in self.peer.seen if "/step/" in first]
        return [json.loads(body)["seq"] for body in bodies]

    @params(*product(("short", "ordinary"), BREAKS))
    def test_what_breaks_is_sent_again_as_it_was(self, way, how):
        logging.disable(logging.CRITICAL)  # urllib3 warns of cut heads
        self.addCleanup(logging.disable, logging.NOTSET)
        self.client = self.client_of(self.peer.url, way)
        self.client._first_pause_s = 0.001
        self.play(BREAKS[how], BREAKS[how])
        self.step()
        self.step()
        self.assertEqual(self.numbers(), [1, 1, 1, 2])
        bodies = [body for _, first, _, body in self.peer.seen if "/step/" in first]
        self.assertEqual(len(set(bodies[:3])), 1)
        self.assertEqual(sum("healthz" in first for _, first, *_ in self.peer.seen), 1)

    def test_so_often(self):
        for retries in (0, 1, 5):
            self.client = self.client_of(self.peer.url, retries=retries)
            self.client._first_pause_s = 0.001
            self.peer.seen.clear()
            self.play(*[[CUT]] * 20)
            with self.assertRaises(requests.ConnectionError):
                self.step()
            self.assertEqual(len(self.numbers()), 1 + retries)
            self.peer.scripts["one"].clear()
            self.step()  # under the same number, for who knows
            self.step()
            self.assertEqual(self.numbers()[-2:], [1, 2])

    def test_what_retries_may_be(self):
        with self.assertRaises(TypeError):
            Client(self.peer.url, retries=0.5)

    def test_pauses_grow(self):
        self.client = self.client_of(self.peer.url, retries=4)
        self.client._first_pause_s = 0.02
        self.play(*[[CUT]] * 9)
        begun = time.monotonic()
        with self.assertRaises(requests.ConnectionError):
            self.step()
        self.assertGreater(time.monotonic() - begun, 0.02 + 0.04 + 0.08 + 0.16)

    def test_a_gateways_words_come_through_at_last(self):
        self.play(*[GATEWAYS] * 9)
        with self.assertRaisesRegex(ServerError, "502 Bad Gateway: <html>"):
            self.step()

    def test_a_timeout_is_not(self):
        late = threading.Event()
        self.addCleanup(late.set)
        for way, script in product(("short", "ordinary"), ([late], [reply()[:-1], late])):
            client = self.client_of(self.peer.url, way, timeout=0.1)
            client._first_pause_s = 0.001
            self.play(script)
            self.peer.seen.clear()
            with self.assertRaises(requests.RequestException):
                client.env_step("one", 1)
            self.assertEqual(self.numbers(), [1])
            client.env_step("one", 1)
            self.assertEqual(self.numbers(), [1, 1])

    def test_the_question_may_break_as_well(self):
        self.peer.scripts[HEALTH] = Turns([[CUT], KNOWS])
        self.play([CUT])
        self.step()
        self.assertEqual(self.numbers(), [1, 1])

    @params(KNOWS[:1], [reply(b"[]")], error(404), error(400, "x"), [reply(b'{"version": "1"}')])
    def test_servers_without_numbers_are_left_alone(self, health):
        knows = health == KNOWS
        self.peer.scripts[HEALTH] = health
        for _ in range(3):
            self.play([CUT])
            if knows:
                self.step()
            else:
                with self.assertRaises(requests.ConnectionError):
                    self.step()
        self.assertEqual(sum("healthz" in first for _, first, *_ in self.peer.seen), 1)
        self.assertEqual(len(self.numbers()), 6 if knows else 3)

    @params(
        (error(400, "bad_value"), 1),
        (error(409, "busy"), 1),
        (error(400), 1),  # v1's
        (error(500, "env_failed"), 2),
        (error(500), 1),  # some gateway's
    )
    def test_which_answers_use_a_number(self, script, following):
        self.play(script)
        with self.assertRaises(ServerError):
            self.step()
        self.step()
        self.assertEqual(self.numbers(), [1, following])

    def test_a_server_that_has_forgotten(self):
        self.play(error(409, "out_of_sequence", expected=7))
        self.step()
        self.step()
        self.assertEqual(self.numbers(), [1, 7, 8])

    def test_a_server_that_does_not_agree(self):
        wrong = error(409, "out_of_sequence", expected=7)
        self.play(wrong, error(409, "out_of_sequence", expected=9))
        with self.assertRaisesRegex(ServerError, "no"):
            self.step()
        self.assertEqual(self.numbers(), [1, 7])
        self.step()
        self.assertEqual(self.numbers(), [1, 7, 9])

    @params(None, 0, -1, True, "7", 1.5)
    def test_a_number_that_is_none(self, expected):
        self.play(error(409, "out_of_sequence", expected=expected))
        with self.assertRaises(ServerError):
            self.step()
        self.step()
        self.assertEqual(self.numbers(), [1, 1])

    def test_out_of_sequence_after_a_break(self):
        """It may have been done, so that it isn't sent under another number."""
        self.play([CUT], error(409, "out_of_sequence", expected=7))
        with self.assertRaises(ServerError) as caught:
            self.step()
        self.assertEqual((caught.exception.code, caught.exception.expected), ("out_of_sequence", 7))
        self.step()
        self.assertEqual(self.numbers(), [1, 1, 7])

    def test_busy_after_a_break(self):
        """The first may still be under way."""
        self.play([CUT], error(409, "busy"), error(409, "out_of_sequence", expected=2))
        for _ in range(2):
            with self.assertRaises(ServerError):
                self.step()
        self.step()
        self.assertEqual(self.numbers(), [1, 1, 1, 2])

    def test_what_cannot_be_sent_changes_nothing(self):
        self.play([CUT])
        for action in (object(), float("nan")):
            with self.assertRaises((TypeError, ValueError)):
                self.step(action)
        self.step()
        self.assertEqual(self.numbers(), [1, 1])
        self.assertFalse(self.client._counts.of("one").open)

    def test_instances_are_counted_apart_until_they_are_closed(self):
        self.step()
        self.client.env_step("two", 1)
        self.step()
        self.client.env_close("one")
        self.step()
        self.assertEqual(self.numbers(), [1, 1, 2, 1])
