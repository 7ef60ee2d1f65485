"""The Python client's two ways, the short one and that of `requests`, lead to the same."""

import gzip
import json
import logging

import requests
from nose2.tools import params

from gym_http_client import ServerError
from tests.client_peer import BODY, CUT, STEP, PeerCase, chunked, reply

REPLIES = {
    "plain": [reply()],
    "no_reason": [reply(status="200")],
    "with_headers": [reply(headers=["Server: granian", "Date: now", "Vary: *", "X:"])],
    "a_long_head": [reply(headers=[f"X-{i}: {'x' * 90}" for i in range(90)])],
    "a_large_body": [reply(json.dumps({**STEP, "observation": ["x" * 300_000]}).encode())],
    "in_pieces": [reply()[:9], reply()[9:30], reply()[30:60], reply()[60:]],
    "chunked": [chunked(BODY[:7], BODY[7:])],
    "chunked_with_a_trailer": [chunked(BODY, trailer=b"X: y\r\n")],
    "chunked_with_a_length": [chunked(BODY).replace(b"Tr", b"Content-Length: 5\r\nTr")],
    "compressed": [reply(gzip.compress(BODY), headers=["Content-Encoding: gzip"])],
    "badly_compressed": [reply(BODY, headers=["Content-Encoding: gzip"])],
    "closing": [reply(headers=["Connection: close"]), CUT],
    "keeping": [reply(headers=["Connection: keep-alive"])],
    "until_closed": [b"HTTP/1.1 200 OK\r\n\r\n" + BODY, CUT],
    "of_http_1.0": [reply(version="HTTP/1.0"), CUT],
    "of_http_2.0": [reply(version="HTTP/2.0")],
    "after_continue": [b"HTTP/1.1 100 Continue\r\n\r\n", reply()],
    "folded": [reply(headers=["X: a", " b"])],
    "lines_without_cr": [reply().replace(b"\r", b"")],
    "no_content": [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "refused": [reply(b'{"message": "no", "code": "bad_value"}', "400 Bad Request")],
    "a_page": [reply(b"<h1>\xff</h1>", "502 Bad Gateway", ["Content-Type: text/html"])],
    "not_modified": [b"HTTP/1.1 304 Not Modified\r\n\r\n"],
    "moved_301": [reply(b"", "301 x", ["Location: /v1/envs/plain/"])],
    "moved_302": [reply(b"", "302 x", ["Location: /v1/envs/plain/"])],
    "moved_303": [reply(b"", "303 x", ["Location: /v1/envs/plain/"])],
    "moved_307": [reply(b"", "307 x", ["Location: /v1/envs/plain/"])],
    "moved_308": [reply(b"", "308 x", ["Location: /v1/envs/moved_307/"])],
    "moved_in_circles": [reply(b"", "307 x", ["Location: /v1/envs/moved_in_circles/"])],
    "moved_nowhere": [reply(b"", "302 x")],
    "with_a_cookie": [reply(headers=["Set-Cookie: a=b", "Set-Cookie: c=d; Path=/"])],
    "moved_with_a_cookie": [
        reply(b"", "307 x", ["Set-Cookie: a=b; Path=/", "Location: /v1/envs/plain/"])
    ],
    "nothing": [CUT],
    "cut_in_the_status": [b"HTTP/1.", CUT],
    "cut_in_the_head": [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX", CUT],
    "cut_in_the_body": [reply()[:-1], CUT],
    "cut_in_a_chunk": [chunked(BODY)[:-20], CUT],
    "no_http": [b"SSH-2.0-OpenSSH_9.9\r\n", CUT],
    "a_bad_length": [b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", BODY, CUT],
    "a_bad_status": [reply(status="OK")],
    "no_json": [reply(b"<html>")],
    "too_much": [reply() + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"],
}


def with_(**attributes):
    def configure(session):
        for name, value in attributes.items():
            setattr(session, name, value)

    return configure


SESSIONS = {
    "a_header_more": lambda session: session.headers.update({"X-Trace": "7"}),
    "a_header_as_bytes": lambda session: session.headers.update({"X-Trace": b"7"}),
    "a_header_less": lambda session: session.headers.update({"Accept": None}),
    "another_case": lambda session: session.headers.update({"content-type": "text/x", "HOST": "h"}),
    "a_plain_dict": with_(headers={"User-Agent": "mine"}),
    "closing": lambda session: session.headers.update({"Connection": "close"}),
    "a_bad_header": lambda session: session.headers.update({"X": "a\r\nY: b"}),
    "a_number": lambda session: session.headers.update({"X": 7}),
    "not_latin": lambda session: session.headers.update({"X": "ж"}),
    "auth": with_(auth=("me", "secret")),
    "params": with_(params={"a": "b"}),
    "a_cookie": lambda session: session.cookies.update({"a": "b"}),
    "trust_env": with_(trust_env=True),
    "a_hook": lambda session: session.hooks["response"].append(
        lambda response, **options: response.headers.update({"Content-Type": "text/plain"})
    ),
}


class BothWays(PeerCase):
    """To the same effect: the same answers and errors of the same requests."""

    def outcome(self, way, call, configure=lambda session: None, **options):
        """What two calls return or raise, what the peer sees of them, and the cookies kept."""
        begin = len(self.peer.seen)
        client = self.client_of(self.peer.url, way, **options)
        client._counts.client_id = "the same"
        client._first_pause_s = 0.001
        configure(client.session)
        said = []
        for _ in range(2):
            try:
                said.append(call(client))
            except ServerError as error:
                said.append((str(error), error.status_code, error.code))
            except (requests.RequestException, UnicodeError) as error:
                said.append(type(error))
        seen = [
            (first, sorted(headers.items()), body)
            for _, first, headers, body in self.peer.seen[begin:]
        ]
        return said, seen, dict(client.session.cookies)

    def same(self, call, **options):
        short, ordinary = (self.outcome(way, call, **options) for way in ("short", "ordinary"))
        for one, other in zip(short, ordinary, strict=True):
            self.assertEqual(one, other)
        return short

    @params(*REPLIES)
    def test_replies(self, name):
        logging.disable(logging.CRITICAL)  # urllib3 warns of the worst
        self.addCleanup(logging.disable, logging.NOTSET)
        self.peer.scripts = REPLIES
        self.same(lambda client: client.env_step(name, 1))
        self.same(lambda client: client.env_info(name))

    @params(*SESSIONS)
    def test_sessions(self, name):
        for call in (
            lambda client: client.env_step("plain", 1),
            lambda client: client.env_info("plain"),
            lambda client: client.env_render("plain"),
            lambda client: client.scoreboard("a b"),
        ):
            self.same(call, configure=SESSIONS[name])

    def test_arguments_of_the_client(self):
        for options in ({}, {"token": "secret"}, {"compress": True}, {"timeout": (5, 6)}):
            with self.subTest(options):
                self.same(lambda client: client.env_step("plain", 1), **options)

    @params("..", ".", "a/b?c#d", "ü", "%2e%2e", "", " ", 7)
    def test_ids(self, name):
        self.same(lambda client: client.env_info(name))
