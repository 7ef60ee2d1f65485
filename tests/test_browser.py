"""What a web page can't do to a server that its reader's browser can reach, and how one may."""

import socket
import unittest

from nose2.tools import params

from gym_http.errors import ForeignOrigin
from gym_http.settings import Settings
from gym_http.web.access import Access
from gym_http.web.app import create_app
from gym_http.web.exchange import Route
from tests.support import create, exchange, get, read_reply
from tests.web_pages import CORS, EVIL, FRIEND, PageCase, ask, friendly_server


class Origins(PageCase):
    def here(self, scheme="http"):
        return f"{scheme}://localhost:5000"

    @params("http", "https", "HTTP")
    def test_its_own(self, scheme):
        """https, where another server speaks TLS in front of it."""
        env = create(self.server)
        origin = {"Origin": self.here(scheme), "Sec_Fetch_Site": "same-origin"}
        status, headers, _ = ask(self.server, "POST", f"{env}/reset/", "localhost:5000", **origin)
        self.assertEqual(status, 200)
        self.assertEqual([name for name in headers if name.startswith(CORS)], [])

    @params(
        EVIL,
        "null",
        "http://localhost",
        "http://localhost:3000",
        "http://127.0.0.1:5000",
        "http://localhost:5000.evil.example",
        "http://localhost:5000/",
        "http://localhost:5000\r\nOrigin: http://localhost:5000",
        "localhost:5000",
        "//localhost:5000",
        "file://",
        "chrome-extension://localhost:5000",
        "*",
        "x" * 10_000,
    )
    def test_others(self, origin):
        env = create(self.server)
        for method, path in (
            ("POST", f"{env}/reset/"),
            ("POST", f"{env}/close/"),
            ("GET", f"{env}/"),
            ("GET", "/healthz"),
            ("GET", "/nothing"),
            ("PUT", "/v1/envs/"),
            ("OPTIONS", "/v1/envs/"),
        ):
            got = ask(self.server, method, path, "localhost:5000", Origin=origin)
            self.assertRefused(got, "foreign_origin")
        got = ask(self.server, "HEAD", env, "localhost:5000", Origin=origin)
        self.assertEqual(got[0], 403)
        self.assertNotReset(env)

    def test_a_form(self):
        """It can say text/plain, which `shutdown`, say, doesn't mind."""
        got = ask(
            self.server, "POST", "/v1/shutdown/", "localhost:5000",
            Origin=EVIL, Content_Type="text/plain", Sec_Fetch_Mode="navigate",
        )  # fmt: skip
        self.assertRefused(got, "foreign_origin")
        self.assertEqual(get(self.server, "/healthz")[0], 200)

    def test_its_own_has_to_name_a_host(self):
        environ = {"HTTP_ORIGIN": "http://", "HTTP_HOST": "", "REQUEST_METHOD": "GET"}
        with self.assertRaises(ForeignOrigin):
            Access(Settings()).check(environ, None)

    def test_http_is_not_its_own_where_it_speaks_tls(self):
        environ = {
            "HTTP_HOST": "localhost",
            "HTTP_ORIGIN": "http://localhost",
            "REQUEST_METHOD": "GET",
            "wsgi.url_scheme": "https",
        }
        access = Access(Settings())
        with self.assertRaises(ForeignOrigin):
            access.check(environ, None)
        access.check({**environ, "HTTP_ORIGIN": "https://localhost"}, None)

    def test_the_refusal_names_the_option(self):
        raw = f"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: {EVIL}\r\n\r\n".encode()
        _, _, body = exchange(self.server.address, raw)
        self.assertIn(b"--cors-origin", body)
        self.assertIn(EVIL.encode(), body)


class Fetched(PageCase):
    """What pages make browsers ask for without an Origin: pictures, scripts, links."""

    @params("cross-site", "same-site", "anything", "none,none")
    def test_from_elsewhere(self, site):
        env = create(self.server)
        for more in ({}, {"Sec_Fetch_Mode": "no-cors"}, {"Sec_Fetch_Mode": "navigate"}):
            got = ask(
                self.server, "GET", f"{env}/action_space/sample/", Sec_Fetch_Site=site, **more
            )
            self.assertRefused(got, "foreign_origin")
        got = ask(self.server, "POST", f"{env}/reset/", Sec_Fetch_Site=site)
        self.assertRefused(got, "foreign_origin")

    @params("none", "same-origin", "")
    def test_from_here(self, site):
        self.assertEqual(ask(self.server, Sec_Fetch_Site=site)[0], 200)

    def test_a_link_to_a_page(self):
        page = Route("GET", "/page/", print, "text/html", is_page=True)
        visit = {
            "REQUEST_METHOD": "GET",
            "HTTP_HOST": "localhost",
            "HTTP_SEC_FETCH_SITE": "cross-site",
            "HTTP_SEC_FETCH_MODE": "navigate",
            "HTTP_SEC_FETCH_DEST": "document",
        }
        access = Access(Settings())
        self.assertFalse(access.check(visit, page))
        for wrong in (
            {"HTTP_SEC_FETCH_DEST": "iframe"},
            {"HTTP_SEC_FETCH_MODE": "no-cors"},
            {"REQUEST_METHOD": "POST"},
            {"HTTP_ORIGIN": EVIL},
        ):
            with self.assertRaises(ForeignOrigin):
                access.check({**visit, **wrong}, page)
        with self.assertRaises(ForeignOrigin):
            access.check(visit, Route("GET", "/none/", print, "text/html"))


class Cors(PageCase):
    def setUp(self):
        super().setUp()
        self.server = friendly_server()

    def preflight(self, origin=FRIEND, path="/v1/envs/", **more):
        more = {"Access_Control_Request_Method": "POST", "Sec_Fetch_Site": "cross-site", **more}
        return ask(self.server, "OPTIONS", path, Origin=origin, **more)

    @params(FRIEND, "http://other.example")
    def test_a_preflight(self, origin):
        status, headers, _ = self.preflight(origin, Access_Control_Request_Headers="content-type")
        self.assertEqual(status, 204)
        told = {name: value for name, value in headers.items() if name.startswith(CORS)}
        self.assertEqual(
            told,
            {
                CORS + "allow-origin": origin,
                CORS + "allow-methods": "GET, POST",
                CORS + "allow-headers": "Authorization, Content-Type, Accept, X-Request-Id",
                CORS + "max-age": "600",
                CORS + "expose-headers": "X-Request-Id",
            },
        )
        self.assertEqual(headers["vary"], "Origin")
        self.assertNotIn("content-type", headers)

    def test_of_a_private_network(self):
        name = CORS + "allow-private-network"
        self.assertNotIn(name, self.preflight()[1])
        _, headers, _ = self.preflight(Access_Control_Request_Private_Network="true")
        self.assertEqual(headers[name], "true")

    @params(EVIL, "null", "https://friend.example", FRIEND + "0", "https://x.friend.example:8443")
    def test_not_for_others(self, origin):
        self.assertRefused(self.preflight(origin), "foreign_origin")
        self.assertRefused(ask(self.server, Origin=origin), "foreign_origin")

    def test_every_reply_can_be_read(self):
        env = create(self.server)
        for method, path, status in (
            ("GET", "/v1/envs/", 200),
            ("POST", f"{env}/reset/", 200),
            ("POST", f"{env}/step/", 400),
            ("GET", "/v1/registry/", 200),
            ("GET", "/nothing", 404),
            ("PUT", "/v1/envs/", 405),
            ("POST", "/v1/envs/", 400),
        ):
            with self.subTest(path=path, method=method):
                got, headers, _ = ask(self.server, method, path, Origin=FRIEND)
                self.assertEqual(got, status)
                self.assertEqual(headers[CORS + "allow-origin"], FRIEND)
                self.assertEqual(headers[CORS + "expose-headers"], "X-Request-Id")
                self.assertIn("Origin", headers["vary"])

    def test_caches_are_told(self):
        _, headers, _ = ask(self.server, path="/v1/registry/", Accept_Encoding="gzip")
        self.assertEqual(headers["vary"], "Accept, Accept-Encoding, Origin")
        self.assertNotIn(CORS + "allow-origin", headers)
        self.assertEqual(headers["content-encoding"], "gzip")

    def test_its_pictures_say_who_they_are_from(self):
        self.assertEqual(ask(self.server, Sec_Fetch_Site="cross-site", Origin=FRIEND)[0], 200)
        self.assertRefused(ask(self.server, Sec_Fetch_Site="cross-site"), "foreign_origin")

    def test_with_a_token(self):
        """A preflight has none, and is answered; who then sends none can read why it is refused."""
        access = Access(Settings(token="t" * 16, cors_origins=(FRIEND,)))
        environ = {"HTTP_ORIGIN": FRIEND, "REQUEST_METHOD": "OPTIONS"}
        self.assertFalse(
            access.check({**environ, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "POST"}, None)
        )
        with self.assertRaisesRegex(Exception, "none came"):
            access.check(environ, None)
        self.assertEqual(dict(access.headers(environ))["Access-Control-Allow-Origin"], FRIEND)

    def test_any_with_a_token(self):
        access = Access(Settings(token="t" * 16, cors_origins=("*",)))
        for origin, is_one in (("https://a.example", True), ("null", False), ("a\nb://c", False)):
            self.assertEqual(bool(access.headers({"HTTP_ORIGIN": origin})), is_one)
        with self.assertRaisesRegex(ValueError, "--token"):
            Access(Settings(cors_origins=("*",)))

    @params(
        ("https://Friend.Example", "https://friend.example"),
        ("https://friend.example:443", "https://friend.example"),
        ("http://friend.example:443", "http://friend.example:443"),
        ("http://[::1]:80", "http://[::1]"),
        ("vscode-webview://abc", "vscode-webview://abc"),
    )
    def test_as_browsers_write_it(self, given, sent):
        self.assertTrue(Access(Settings(cors_origins=(given,))).headers({"HTTP_ORIGIN": sent}))

    @params("", "friend.example", "https://friend.example/", "https://a b", "null", "https://*.a")
    def test_that_cannot_be(self, origin):
        with self.assertRaisesRegex(ValueError, "--cors-origin"):
            Access(Settings(cors_origins=(origin,)))

    def test_a_connection_goes_on_after_a_preflight(self):
        head = f"Host: localhost\r\nOrigin: {FRIEND}\r\n"
        asking = f"OPTIONS /v1/envs/ HTTP/1.1\r\n{head}Access-Control-Request-Method: POST\r\n\r\n"
        with socket.create_connection(self.server.address, timeout=30) as connection:
            for raw, status in ((asking, 204), (f"GET /v1/envs/ HTTP/1.1\r\n{head}\r\n", 200)):
                connection.sendall(raw.encode())
                self.assertEqual(read_reply(connection)[0], status)


class OnTheAppAlone(unittest.TestCase):
    """As users test and deploy it, without the server in front."""

    def test_the_same(self):
        client = create_app(Settings(cors_origins=(FRIEND,))).test_client()
        for headers, code in (
            ({"Host": "evil.example"}, "unknown_host"),
            ({"Origin": EVIL}, "foreign_origin"),
            ({"Origin": "null"}, "foreign_origin"),
            ({"Sec-Fetch-Site": "cross-site"}, "foreign_origin"),
        ):
            for method, path in (("GET", "/v1/envs/"), ("POST", "/v1/envs/"), ("PUT", "/nothing")):
                got = client.open(path, method=method, headers=headers)
                self.assertEqual((got.status_code, got.get_json()["code"]), (403, code))
        asking = {"Origin": FRIEND, "Access-Control-Request-Method": "POST"}
        self.assertEqual(client.options("/v1/envs/", headers=asking).status_code, 204)
        got = client.get("/v1/envs/", headers={"Origin": FRIEND})
        self.assertEqual(got.headers["Access-Control-Allow-Origin"], FRIEND)
