"""The Host header: by which names a server may be called."""

import socket

from nose2.tools import params

from gym_http.settings import Settings
from gym_http.web.access import MOST_REMEMBERED, Access
from gym_http.web.hosts import Hosts
from tests.support import create, exchange
from tests.web_pages import PageCase, ask, friendly_server

HERE = socket.gethostname()


class HostHeader(PageCase):
    @params(
        None,
        "",
        "localhost",
        "LocalHost:5000",
        "localhost.:80",
        "gym.localhost:5000",
        "127.0.0.1",
        "192.168.1.20:5000",
        "127.1:5000",
        "[::1]:5000",
        "[fe80::1%25eth0]",
    )
    def test_that_is_known(self, host):
        self.assertEqual(ask(self.server, host=host)[0], 200)

    @params(
        "evil.example",
        "evil.example:5000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evillocalhost",
        "0x7f.1.evil.example",
        ".localhost",
        "localhost..",
        "a..localhost",
        "a" * 64 + ".localhost",
        "a." * 150 + "localhost",
        "local host",
        "me@localhost",
        "localhost@evil.example",
        "localhost/",
        "localhost:5000:80",
        "localhost:http",
        "localhost,localhost",
        "evil.example\r\nHost: localhost",
        "localhost\r\nHost: evil.example",
        "localhost\r\nHost: localhost",
        "::1",
        "[::1",
        "[1.2.3.4]",
        "[evil.example]",
        "[::1].evil.example",
        "http://localhost",
        "*",
        "local",
    )
    def test_that_is_not(self, host):
        self.assertRefused(ask(self.server, host=host), "unknown_host")
        self.assertRefused(
            ask(self.server, "POST", "/v1/envs/12345678/step/", host), "unknown_host"
        )

    def test_in_the_request_line(self):
        status, _, body = exchange(
            self.server.address, b"GET http://evil.example/v1/envs/ HTTP/1.1\r\n\r\n"
        )
        self.assertEqual(status, 403)
        self.assertIn(b"evil.example", body)
        self.assertIn(b"--allow-host", body)

    @params("GET", "POST", "PUT", "OPTIONS", "HEAD")
    def test_whatever_is_asked_for(self, method):
        for path in ("/healthz", "/nothing", "/v1/envs/", "/v1/shutdown/"):
            self.assertEqual(ask(self.server, method, path, host="evil.example")[0], 403)

    def test_rebound(self):
        """The page's own name leads here now: for its browser, this is its own server."""
        env = create(self.server)
        got = ask(
            self.server, "POST", f"{env}/reset/", "evil.example:5000",
            Origin="http://evil.example:5000", Sec_Fetch_Site="same-origin",
        )  # fmt: skip
        self.assertRefused(got, "unknown_host")
        self.assertNotReset(env)

    @params(f"{HERE}:5000", f"{HERE.split('.')[0].upper()}.local")
    def test_this_machines(self, host):
        """Whose network's DNS gives its name another meaning may so rebind it, where a server is
        meant for nobody else."""
        self.assertEqual(ask(friendly_server(), host=host)[0], 200)
        self.assertRefused(ask(self.server, host=host), "unknown_host")

    @params("gym.example.org:5000", "Gym.Example.org.", "a.lab.example", "a.b.lab.example:1")
    def test_that_is_allowed(self, host):
        self.assertEqual(ask(friendly_server(), host=host)[0], 200)
        self.assertRefused(ask(self.server, host=host), "unknown_host")

    @params("example.org", "a.gym.example.org", "lab.example", "evillab.example")
    def test_that_is_not_under_it(self, host):
        self.assertRefused(ask(friendly_server(), host=host), "unknown_host")

    def test_any(self):
        hosts = Hosts(["*"], "127.0.0.1")
        self.assertTrue(hosts.knows("evil.example:5000"))
        self.assertFalse(hosts.knows("me@evil.example"))

    def test_the_one_listened_on(self):
        self.assertTrue(Hosts([], "gym.example.org").knows("gym.example.org:5000"))

    @params("", "http://a", "a:80", "*.example.org", "a b", "a.", "..a", "bücher.example")
    def test_that_cannot_be_allowed(self, name):
        with self.assertRaisesRegex(ValueError, "--allow-host"):
            Access(Settings(allowed_hosts=(name,)))

    def test_not_all_are_remembered(self):
        access = Access(Settings())
        for number in range(2 * MOST_REMEMBERED):
            access.check({"HTTP_HOST": f"{number}.localhost", "REQUEST_METHOD": "GET"}, None)
        self.assertEqual(len(access._good_hosts), MOST_REMEMBERED)
