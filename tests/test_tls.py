"""https: who is served, what is refused at start, and the clients' side of it."""

import os
import pickle
import shutil
import socket
import ssl
import subprocess
import tempfile
import unittest
import warnings
from pathlib import Path
from unittest import mock

import requests
import trustme
from nose2.tools import params

from gym_http.cli import read_settings
from gym_http.remote.env import RemoteEnv
from gym_http.settings import Settings
from gym_http.web import tls
from gym_http_client import Client
from tests.support import ROOT, ServerProcess, eventually
from tests.test_connections import is_ended
from tests.test_server_process import run_server

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def key_of(kind, path):
    """Write a key as OpenSSL makes it."""
    command = ["openssl", *kind.split(), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)


class Files(unittest.TestCase):
    """A certificate of localhost, one of an agent's, and who issued them; and another issuer."""

    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        home = Path(scratch.name)
        cls.ca, cls.other, cls.cert, cls.key, cls.agent = (
            home / f"{name}.pem" for name in ("ca", "other", "cert", "key", "agent")
        )
        issuer = trustme.CA()
        issuer.cert_pem.write_to_path(str(cls.ca))
        trustme.CA().cert_pem.write_to_path(str(cls.other))
        own = issuer.issue_cert("localhost", "127.0.0.1")
        cls.cert.write_bytes(b"".join(part.bytes() for part in own.cert_chain_pems))
        own.private_key_pem.write_to_path(str(cls.key))
        agent = issuer.issue_cert("agent@example.org")
        agent.private_key_and_cert_chain_pem.write_to_path(str(cls.agent))
        cls.home = home
        cls.flags = ["--tls-cert", str(cls.cert), "--tls-key", str(cls.key)]
        cls.issuer = issuer


class Serving(Files):
    """Under the name localhost, and none else."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        named = cls.issuer.issue_cert("localhost", "*.example.org").private_key_and_cert_chain_pem
        path = str(cls.home / "named.pem")
        named.write_to_path(path)
        cls.server = ServerProcess("--tls-cert", path, "--tls-key", path, "--body-timeout", "1")
        cls.addClassCleanup(cls.server.stop)

    def connected(self, version=None, offered=()):
        context = ssl.create_default_context(cafile=self.ca)
        context.set_alpn_protocols(list(offered))
        if version is not None:
            context.maximum_version = context.minimum_version = version
        plain = socket.create_connection(self.server.address, timeout=10)
        secure = context.wrap_socket(plain, server_hostname="localhost")
        self.addCleanup(secure.close)
        return secure

    def test_says_so(self):
        self.assertRegex(self.server.greeting, r"^Serving on https://127\.0\.0\.1:\d+: ")

    @params(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    def test_versions(self, version):
        """And no other HTTP than 1.1, whatever is offered: one request at a time."""
        connection = self.connected(version, ["h2", "http/1.1"])
        self.assertEqual(connection.selected_alpn_protocol(), "http/1.1")
        connection.sendall(HEALTH)
        self.assertEqual(connection.recv(100)[:15], b"HTTP/1.1 200 OK")

    def test_older_versions_are_refused(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            with self.assertRaises(ssl.SSLError):
                self.connected(ssl.TLSVersion.TLSv1_1)

    def test_http_is_refused(self):
        with socket.create_connection(self.server.address, timeout=10) as connection:
            connection.sendall(HEALTH)
            self.assertNotIn(b"HTTP", connection.recv(1000))

    def test_another_name(self):
        with Client(self.server.url, verify=str(self.ca)) as client:
            with self.assertRaisesRegex(requests.exceptions.SSLError, "IP address mismatch"):
                client.registry()

    def lua(self, version, host, tls):
        """What the Lua client says to a call, twice on one connection."""
        code = f"""
            local gym = require("gym_http_client")
            local client = gym.new("https://{host}:{self.server.address[1]}", {{tls = {tls}}})
            for _ = 1, 2 do
              local envs, message, code = client:env_list_all()
              print(envs and "ok" or message, code)
            end
        """
        ended = subprocess.run(
            [version, "-e", code],
            capture_output=True,
            text=True,
            timeout=30,
            cwd=ROOT / "binding-lua",
        )
        self.assertEqual(ended.stderr, "")
        return ended.stdout

    @params("lua5.1", "lua5.2", "lua5.3", "lua5.4", "luajit")
    def test_lua(self, version):
        """With LuaSec, which leaves it to its caller whom to trust."""
        if shutil.which(version) is None:
            self.skipTest(f"{version} is not installed")
        trusting = f"{{verify = 'peer', cafile = '{self.ca}'}}"
        self.assertEqual(self.lua(version, "localhost", trusting), "ok\tnil\n" * 2)
        other = self.lua(version, "127.0.0.1", trusting)
        self.assertRegex(other, r"isn't one of 127\.0\.0\.1\tconnection\n")
        wary = f"{{verify = 'peer', cafile = '{self.other}'}}"
        self.assertRegex(self.lua(version, "localhost", wary), "verify failed\tconnection\n")

    def test_who_says_nothing_stops_nobody_and_is_ended(self):
        silent = [socket.create_connection(self.server.address) for _ in range(50)]
        for connection in silent[:5]:
            connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00")  # the beginning of a handshake
        stuck = self.connected()
        stuck.sendall(b"POST /v1/envs/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        with Client(f"https://localhost:{self.server.address[1]}", verify=str(self.ca)) as client:
            client.registry("gymnasium")
        eventually(lambda: all(map(is_ended, silent)))
        for connection in silent:
            connection.close()
        self.assertIn(b" 408 ", stuck.recv(1000))


class Verifying(Files):
    """The Python client, also behind a token."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = ServerProcess(
            *cls.flags, "--tls-client-ca", str(cls.ca), "--import", "tests.custom_envs"
        )
        cls.addClassCleanup(cls.server.stop)

    def client(self, **options):
        client = Client(self.server.url, timeout=10, retries=2, **options)
        self.addCleanup(client.close)
        return client

    def works(self, client):
        env = client.env_create("CustomOdd-v0")
        self.assertEqual(client.env_reset(env), 0)
        self.assertEqual(client.env_step(env, 1)[:2], [1, 1.0])
        client.env_close(env)

    def test_with_a_certificate(self):
        self.works(self.client(verify=str(self.ca), cert=str(self.agent)))

    def test_anybodys(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.works(self.client(verify=False, cert=str(self.agent)))

    def test_without_ones_own(self):
        with self.assertRaises(requests.ConnectionError):
            self.client(verify=str(self.ca)).registry()

    def test_with_somebody_elses(self):
        stranger = trustme.CA().issue_cert("agent@example.org")
        path = self.home / "stranger.pem"
        stranger.private_key_and_cert_chain_pem.write_to_path(str(path))
        with self.assertRaises(requests.ConnectionError):
            self.client(verify=str(self.ca), cert=str(path)).registry()

    @params("another issuer", "those of requests")
    def test_a_server_that_is_not_trusted(self, whom):
        verify = str(self.other) if whom == "another issuer" else None
        with self.assertRaises(requests.exceptions.SSLError):
            self.client(verify=verify, cert=str(self.agent)).registry()

    def test_the_variable_of_requests(self):
        with mock.patch.dict(os.environ, {"REQUESTS_CA_BUNDLE": str(self.ca)}):
            self.works(self.client(cert=str(self.agent)))
            with self.assertRaises(requests.exceptions.SSLError):
                self.client(cert=str(self.agent), verify=str(self.other)).registry()

    def test_a_copy_of_a_client(self):
        self.works(
            pickle.loads(pickle.dumps(self.client(verify=str(self.ca), cert=str(self.agent))))
        )

    def test_a_remote_environment_and_another_by_its_spec(self):
        env = RemoteEnv(
            self.server.url, "CustomOdd-v0", verify=str(self.ca), cert=str(self.agent), timeout=10
        )
        self.addCleanup(env.close)
        again = env.spec.make()
        self.addCleanup(again.close)
        for each in (env, again):
            self.assertEqual(each.reset()[0], 0)

    def test_curl(self):
        command = ["curl", "-sS", "--cacert", str(self.ca), f"{self.server.url}/healthz"]
        ended = subprocess.run([*command, "--cert", str(self.agent)], capture_output=True)
        self.assertIn(b'"status":"ok"', ended.stdout, ended.stderr)
        self.assertNotEqual(subprocess.run(command, capture_output=True).returncode, 0)


class Starting(Files):
    """What can't be used is refused at once, in one line that names the option."""

    @params(
        ("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048", True),
        ("genrsa -traditional", True),
        ("ecparam -name prime256v1 -genkey", True),
        ("ecparam -name secp384r1 -genkey -noout", True),
        ("genpkey -algorithm ed25519", True),
        ("ecparam -name secp521r1 -genkey", False),
        ("genpkey -algorithm ed448", False),
    )
    def test_kinds_of_keys(self, kind, is_known):
        """Those that Granian takes, which doesn't say so by itself."""
        key, cert = self.home / "made.key", self.home / "made.pem"
        key_of(kind, key)
        key_of(f"req -x509 -new -key {key} -subj /CN=localhost -days 2", cert)
        settings = Settings(tls_cert=cert, tls_key=key)
        if is_known:
            self.assertEqual(tls.options(settings)["ssl_key"], key)
        else:
            with self.assertRaisesRegex(tls.BadCertificate, "--tls-key .*RSA, P-256"):
                tls.options(settings)

    def test_a_key_with_a_password(self):
        key = self.home / "secret.pem"
        key_of(f"pkey -in {self.key} -aes256 -passout pass:x", key)
        with self.assertRaisesRegex(tls.BadCertificate, "password; openssl pkey"):
            tls.options(Settings(tls_cert=self.cert, tls_key=key))

    def test_files_that_are_not_what_they_have_to_be(self):
        for given, text in (
            ({"tls_cert": self.key}, "--tls-cert .*no certificate"),
            ({"tls_key": self.cert}, "--tls-key .*no private key"),
            ({"tls_key": self.agent}, "--tls-key .*isn't the key of"),
            ({"tls_client_ca": self.key}, "--tls-client-ca .*no certificate"),
            ({"tls_key": self.home}, "--tls-key .*directory"),
            ({"tls_cert": self.home / "none"}, "--tls-cert .*No such file"),
            ({"tls_client_ca": self.home / "none"}, "--tls-client-ca .*No such file"),
        ):
            settings = Settings(**{"tls_cert": self.cert, "tls_key": self.key, **given})
            with self.subTest(text), self.assertRaisesRegex(tls.BadCertificate, text):
                tls.options(settings)

    def test_one_line(self):
        ended = run_server("--tls-cert", str(self.cert), "--tls-key", str(self.home / "none"))
        self.assertEqual(ended.returncode, 1)
        self.assertEqual(
            ended.stderr, f"Error: --tls-key {self.home / 'none'}: No such file or directory\n"
        )

    @params(["--tls-cert", "c"], ["--tls-key", "k"], ["--tls-client-ca", "a"])
    def test_halves(self, flags):
        with self.assertRaisesRegex(Exception, "--tls-cert and --tls-key"):
            read_settings(flags)
