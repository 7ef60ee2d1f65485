"""deploy/nginx.conf, on a real nginx before a real server: a client plays through it, by TLS."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from contextlib import suppress
from pathlib import Path
from unittest import mock

import psutil
import trustme
from nose2.tools import params

from gym_http.settings import Settings
from gym_http.terms import USUAL_TIMEOUT_S
from gym_http.web.serve import free_address
from gym_http_client import Client, ServerError
from tests.support import ROOT, ServerProcess, eventually, read_reply

SITE = (ROOT / "deploy" / "nginx.conf").read_text()
NAME = "gym.example.org"
MAIN = """
pid {home}/pid;
error_log {home}/error.log;
daemon off;
{user}
events {{ worker_connections 64; }}
http {{
    log_format numbers '$connection $connection_requests';
    access_log {home}/access.log numbers;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    include {home}/site.conf;
}}
"""


class Nginx:
    """With the site of deploy/nginx.conf, where only ports and files are other ones."""

    def __init__(self, upstream_port, authority):
        self.home = Path(tempfile.mkdtemp(prefix="gym-http-nginx-"))
        _, self.port = free_address("127.0.0.1", 0)
        certificate = authority.issue_cert(NAME, "localhost")
        certificate.private_key_and_cert_chain_pem.write_to_path(self.home / "site.pem")
        authority.cert_pem.write_to_path(self.home / "ca.pem")
        site = SITE
        for theirs, ours in (
            ("server 127.0.0.1:5000 ", f"server 127.0.0.1:{upstream_port} "),
            ("listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;"),
            ("listen [::]:443 ssl;", ""),
            (f"/etc/ssl/{NAME}.pem", f"{self.home}/site.pem"),
            (f"/etc/ssl/private/{NAME}.key", f"{self.home}/site.pem"),
        ):
            assert site.count(theirs) == 1, theirs
            site = site.replace(theirs, ours)
        (self.home / "site.conf").write_text(site)
        user = "user root;" if os.geteuid() == 0 else ""
        (self.home / "nginx.conf").write_text(MAIN.format(home=self.home, user=user))
        self._command = [program(), "-p", str(self.home), "-c", str(self.home / "nginx.conf")]
        self._command += ["-e", str(self.home / "error.log")]
        self.checked = subprocess.run([*self._command, "-t"], capture_output=True, text=True)
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        eventually(self._answers)

    def _answers(self):
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True
        return False

    def exchange(self, raw):
        """As tests.support's, by TLS, as somebody who knows it by its name. Returns (status,
        headers, body)."""
        with self.connected() as connection:
            connection.sendall(raw)
            return read_reply(connection)

    def connected(self):
        context = ssl.create_default_context(cafile=self.home / "ca.pem")
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        return context.wrap_socket(plain, server_hostname=NAME)

    def stop(self):
        self._process.terminate()
        self._process.wait(20)
        shutil.rmtree(self.home, ignore_errors=True)


def program():
    """nginx, which Debian puts where only root looks. Raises SkipTest."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    found = shutil.which("nginx", path=path)
    if found is None:
        raise unittest.SkipTest("nginx is not installed")
    return found


class InFrontOfAServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        program()
        cls.server = ServerProcess("--allow-host", NAME)
        cls.addClassCleanup(cls.server.stop)
        cls.nginx = Nginx(cls.server.address[1], trustme.CA())
        cls.addClassCleanup(cls.nginx.stop)
        cls.url = f"https://localhost:{cls.nginx.port}"
        trusted = {"REQUESTS_CA_BUNDLE": str(cls.nginx.home / "ca.pem")}
        patched = mock.patch.dict(os.environ, trusted)
        patched.start()
        cls.addClassCleanup(patched.stop)

    def test_it_finds_no_fault(self):
        self.assertEqual(self.nginx.checked.returncode, 0, self.nginx.checked.stderr)
        self.assertNotIn("warn", self.nginx.checked.stderr)

    def episode(self, url):
        with Client(url) as client:
            env = client.env_create("CartPole-v1", seed=7)
            seen = [client.env_reset(env)]
            done = False
            while not done:
                action = client.env_action_space_sample(env)
                observation, reward, done, _ = client.env_step(env, action)
                seen.append((action, observation, reward))
            client.env_close(env)
        return seen

    def test_an_episode_is_the_same(self):
        through = self.episode(self.url)
        self.assertEqual(through, self.episode(self.server.url))
        self.assertGreater(len(through), 5)

    def test_a_connection_is_kept(self):
        """For more than nginx's usual 1,000 requests."""
        with Client(self.url) as client:
            env = client.env_create("CartPole-v1")
            for _ in range(1001):
                client.env_info(env)
            client.env_close(env)
        log = self.nginx.home / "access.log"
        self.assertIn("1002", [line.split()[1] for line in log.read_text().splitlines()])

    def test_errors_are_the_servers(self):
        with Client(self.url) as client, self.assertRaises(ServerError) as caught:
            client.env_reset("nothing")
        self.assertEqual(caught.exception.code, "unknown_instance")

    @params((NAME, 200, b'"ok"'), ("rebound.example.net", 403, b'"unknown_host"'))
    def test_names_are_the_servers_to_know(self, name, status, told):
        head = f"GET /healthz HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
        got, _, body = self.nginx.exchange(head.encode())
        self.assertEqual((got, told in body), (status, True))

    def test_a_body_that_is_too_long(self):
        """Ends here, before it is sent."""
        head = (
            f"POST /v1/envs/ HTTP/1.1\r\nHost: {NAME}\r\n"
            f"Content-Length: {Settings().max_body_bytes + 1}\r\n\r\n"
        )
        self.assertEqual(self.nginx.exchange(head.encode())[0], 413)

    def test_a_slow_sender(self):
        """Occupies no connection of the server's until all is there."""
        body = b'{"env_id": "CartPole-v1"}'
        head = (
            f"POST /v1/envs/ HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        before = self.connections()
        with self.nginx.connected() as connection:
            connection.sendall(head.encode() + body[:10])
            time.sleep(0.2)  # in which a proxy that doesn't wait would have connected
            self.assertEqual(self.connections(), before)
            connection.sendall(body[10:])
            self.assertEqual(read_reply(connection)[0], 200)

    def connections(self):
        """The local ports of those with the server."""
        found = psutil.net_connections("tcp4")
        return {
            pair.laddr.port
            for pair in found
            if pair.raddr and pair.raddr.port == self.server.address[1]
        }

    def test_health(self):
        """By an issuer it is given, or by the server's own certificate, whatever that is for."""
        ca, certificate = self.nginx.home / "ca.pem", self.nginx.home / "site.pem"
        for arguments, status in (
            (["--url", self.url, "--ca", str(ca)], 0),
            (["--url", f"https://127.0.0.1:{self.nginx.port}", "--ca", str(ca)], 1),
            (["-p", str(self.nginx.port), "--tls-cert", str(certificate)], 0),
            (["--url", self.url], 1),
            (["-p", str(self.nginx.port)], 1),
        ):
            with self.subTest(arguments=arguments):
                ended = subprocess.run(
                    [sys.executable, "-m", "gym_http", "health", *arguments],
                    capture_output=True, text=True, cwd=ROOT,
                )  # fmt: skip
                self.assertEqual(ended.returncode, status, ended.stdout + ended.stderr)


class InFrontOfTrouble(unittest.TestCase):
    def test_nothing_is_asked_twice(self):
        """A kept connection that breaks under a request: what the server has done of it, nobody
        knows. Even a GET may be one that draws a sample."""
        asked = []
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve():
                """A good answer, then none."""
                with suppress(OSError):
                    while True:
                        connection, _ = listener.accept()
                        with connection:
                            while request := connection.recv(65536):
                                asked.append(request.split(b" ", 1)[0])
                                if len(asked) > 1:
                                    break
                                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

            thread = threading.Thread(target=serve)
            thread.start()
            nginx = Nginx(listener.getsockname()[1], trustme.CA())
            try:
                head = f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode()
                self.assertEqual(nginx.exchange(head)[0], 200)
                self.assertEqual(nginx.exchange(head)[0], 502)
            finally:
                nginx.stop()
                listener.shutdown(socket.SHUT_RDWR)
                thread.join()
        self.assertEqual(asked, [b"GET", b"GET"])


class Limits(unittest.TestCase):
    """It is patient where the server is, and no wider."""

    def told(self, name):
        (value,) = re.findall(rf"(?m)^\s*{name} (\d+)[ms]?;", SITE)
        return int(value)

    def test_they_fit(self):
        settings = Settings()
        self.assertEqual(self.told("client_max_body_size") * 2**20, settings.max_body_bytes)
        longest = 2 * USUAL_TIMEOUT_S["process"] + settings.busy_timeout_s
        self.assertGreaterEqual(self.told("proxy_read_timeout"), longest)
        self.assertLessEqual(self.told("keepalive_timeout"), settings.keep_alive_s)
        self.assertLessEqual(self.told("client_body_timeout"), settings.body_timeout_s)
