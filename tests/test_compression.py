"""Shorter replies: only for who asks, only where it pays, and with the same bytes in them."""

import gzip
import importlib
import json
import unittest

from nose2.tools import params

from gym_http_client import Client
from tests.support import ServerCase, create, exchange, post

MSGPACK = "Accept: application/msgpack"


def zstd():
    """The module that unpacks it. Raises SkipTest."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise unittest.SkipTest("zstd needs Python 3.14 or backports.zstd")


class Compression(ServerCase):
    def setUp(self):
        super().setUp()
        self.env = create(self.server, "CustomFrames-v0")
        self.reset = f"POST {self.env}/reset/"
        post(self.server, f"{self.env}/reset/")

    def fetched(self, route, *lines):
        """(the reply's headers, its bytes as they came)."""
        head = "\r\n".join((f"{route} HTTP/1.1", "Host: localhost", "Connection: close", *lines))
        status, headers, body = exchange(self.server.address, head.encode() + b"\r\n\r\n")
        self.assertEqual((status, int(headers["content-length"])), (200, len(body)))
        return headers, body

    def test_gzip(self):
        for route, *lines, most in (
            (self.reset, 0.1),
            (self.reset, MSGPACK, 0.5),
            (f"GET {self.env}/render/", MSGPACK, 0.5),
            ("GET /v1/registry/", 0.5),
        ):
            plain_headers, plain = self.fetched(route, *lines)
            for wish in ("gzip", "GZIP", "gzip, deflate, br", "gzip;q=0.5", "identity;q=0.5, gzip"):
                headers, body = self.fetched(route, *lines, f"Accept-Encoding: {wish}")
                self.assertEqual(headers["content-encoding"], "gzip")
                self.assertEqual(headers["vary"], "Accept, Accept-Encoding")
                self.assertEqual(headers["content-type"], plain_headers["content-type"])
                self.assertEqual(gzip.decompress(body), plain)
                self.assertLess(len(body), most * len(plain))

    def test_zstd(self):
        """It makes the shorter reply, so that of equals it is the one."""
        unpack = {"zstd": zstd().decompress, "gzip": gzip.decompress}
        plain = self.fetched(self.reset)[1]
        for wish, coding in (
            *(("zstd", "zstd"), ("gzip, deflate, br, zstd", "zstd"), ("zstd;q=0.1", "zstd")),
            *(("gzip;q=0.5, zstd;q=0.4", "gzip"), ("gzip, zstd;q=0", "gzip")),
        ):
            headers, body = self.fetched(self.reset, f"Accept-Encoding: {wish}")
            self.assertEqual(headers["content-encoding"], coding)
            self.assertEqual(headers["vary"], "Accept, Accept-Encoding")
            self.assertEqual(unpack[coding](body), plain)

    @params(
        *(None, "", "identity", "gzip;q=0", "gzip;q=0.0, zstd;q=0", "*", "br", "gzip;q=x"),
        *("identity, gzip;q=0.5", "zstd;q=0.2, gzip;q=0.3, identity;q=0.5", "gzipped"),
    )
    def test_not_unasked(self, wish):
        lines = [] if wish is None else [f"Accept-Encoding: {wish}"]
        headers, body = self.fetched(self.reset, *lines)
        self.assertNotIn("content-encoding", headers)
        self.assertEqual(len(json.loads(body)["observation"]), 210)

    def test_not_what_is_small_or_a_picture(self):
        cart = create(self.server)
        small = ("GET /v1/healthz/", f"POST {cart}/reset/", f"POST {cart}/close/")
        for route in (*small, f"GET {self.env}/render/"):
            headers, body = self.fetched(route, "Accept-Encoding: gzip, zstd")
            self.assertNotIn("content-encoding", headers)
        self.assertEqual((headers["content-type"], body[:4]), ("image/png", b"\x89PNG"))
        self.assertGreater(len(body), 1400)


class ThePythonClient(ServerCase):
    def test_asks_where_it_shall(self):
        values = []
        for compress in (False, True):
            codings = []

            def note(reply, *_, seen=codings, **__):
                seen.append(reply.headers.get("Content-Encoding"))

            with Client(self.server.url, compress=compress) as client:
                client.session.hooks["response"].append(note)
                env = client.env_create("CustomFrames-v0")
                values.append([client.env_reset(env), client.env_step(env, 1), client.registry()])
            self.assertIsNone(codings.pop(0))  # of a reply of a few bytes
            self.assertEqual([coding is not None for coding in codings], [compress] * 3)
        self.assertEqual(*values)
