"""Shorter replies: only for who asks, only where it pays, and with the same bytes in them."""

import gzip
import importlib.util
import json
import unittest

from nose2.tools import params

from gym_http.wire import from_msgpack
from gym_http_client import Client
from tests.support import ServerCase, create, exchange, post


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
        post(self.server, f"{self.env}/reset/")

    def fetched(self, path, *lines, method="POST"):
        """(the reply's headers, its bytes as they came)."""
        head = "\r\n".join((f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *lines))
        status, headers, body = exchange(self.server.address, head.encode() + b"\r\n\r\n")
        self.assertEqual(status, 200)
        self.assertEqual(int(headers["content-length"]), len(body))
        return headers, body

    def test_gzip(self):
        """Of a frame as JSON, as MessagePack, and of a long text."""
        for path, accept, least in (
            (f"{self.env}/reset/", "application/json", 0.3),
            (f"{self.env}/reset/", "application/msgpack", 0.9),
            ("/v1/registry/", "application/json", 0.5),
        ):
            method = "GET" if "registry" in path else "POST"
            plain_head, plain = self.fetched(path, f"Accept: {accept}", method=method)
            for wish in ("gzip", "GZIP", "gzip, deflate, br", "gzip;q=0.5", "identity;q=0.5, gzip"):
                lines = (f"Accept: {accept}", f"Accept-Encoding: {wish}")
                headers, body = self.fetched(path, *lines, method=method)
                self.assertEqual((headers["content-encoding"]), "gzip")
                self.assertEqual(headers["vary"], "Accept-Encoding")
                self.assertEqual(headers["content-type"], plain_head["content-type"])
                self.assertEqual(gzip.decompress(body), plain)
                self.assertLess(len(body), least * len(plain))

    def test_zstd(self):
        """It makes the shorter reply, so that of equals it is the one."""
        unpack = zstd().decompress
        _, plain = self.fetched(f"{self.env}/reset/")
        for wish, coding in (
            *(("zstd", "zstd"), ("gzip, deflate, br, zstd", "zstd"), ("zstd;q=0.1", "zstd")),
            *(("gzip;q=0.5, zstd;q=0.4", "gzip"), ("gzip, zstd;q=0", "gzip")),
        ):
            headers, body = self.fetched(f"{self.env}/reset/", f"Accept-Encoding: {wish}")
            self.assertEqual(
                (headers["content-encoding"], headers["vary"]), (coding, "Accept-Encoding")
            )
            self.assertEqual((unpack if coding == "zstd" else gzip.decompress)(body), plain)

    @params(
        *(
            None,
            "",
            "identity",
            "gzip;q=0",
            "gzip;q=0.0, zstd;q=0",
            "*",
            "br",
            "deflate",
            "gzip;q=x",
        ),
        *(
            "identity, gzip;q=0.5",
            "zstd;q=0.2, gzip;q=0.3, identity;q=0.5",
            "gzipped",
            "x-gzip;q=0",
        ),
    )
    def test_not_unasked(self, wish):
        lines = () if wish is None else (f"Accept-Encoding: {wish}",)
        headers, body = self.fetched(f"{self.env}/reset/", *lines)
        self.assertNotIn("content-encoding", headers)
        self.assertEqual(len(json.loads(body)["observation"]), 210)

    def test_not_what_is_small_or_a_picture(self):
        wish = "Accept-Encoding: gzip, zstd"
        cart = create(self.server)
        for method, path in (
            *(("GET", "/v1/healthz/"), ("POST", f"{cart}/reset/"), ("POST", f"{cart}/close/")),
            ("GET", f"{self.env}/render/"),
        ):
            headers, body = self.fetched(path, wish, method=method)
            self.assertNotIn("content-encoding", headers)
        self.assertEqual((headers["content-type"], body[:4]), ("image/png", b"\x89PNG"))
        self.assertGreater(len(body), 1400)

    def test_a_frame_in_messagepack(self):
        lines = ("Accept: application/msgpack", "Accept-Encoding: gzip")
        headers, body = self.fetched(f"{self.env}/render/", *lines, method="GET")
        self.assertEqual(headers["content-encoding"], "gzip")
        self.assertEqual(from_msgpack(gzip.decompress(body))["frame"].shape, (210, 160, 3))


class ThePythonClient(ServerCase):
    def test_asks_where_it_shall(self):
        replies = []
        for compress in (False, True):
            with Client(self.server.url, compress=compress) as client:
                codings = []
                client.session.hooks["response"].append(
                    lambda reply, seen=codings, **_: seen.append(
                        reply.headers.get("Content-Encoding")
                    )
                )
                env = client.env_create("CustomFrames-v0")
                replies.append([client.env_reset(env), client.env_step(env, 1), client.registry()])
                self.assertEqual(any(codings), compress)
                self.assertIsNone(codings[0])  # of a reply of a few bytes
                self.assertEqual(all(codings[1:]), compress)
        self.assertEqual(*replies)
