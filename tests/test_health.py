"""`gym-http health`: what it answers, and with what it ends."""

import socket
import subprocess
import sys
import threading
import unittest
from contextlib import contextmanager, suppress

from nose2.tools import params

from gym_http.health import Unhealthy, ask, own_url
from tests.support import ROOT, shared_server


@contextmanager
def somebody_else(answer):
    """A port on which something that isn't gym-http sends `answer` to who asks; nothing for
    None."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def serve():
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        if answer is None:
                            ended.wait()
                        else:
                            connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


class Health(unittest.TestCase):
    def command(self, *arguments, **environ):
        return subprocess.run(
            [sys.executable, "-m", "gym_http", "health", *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=60,
            env={"PATH": "", "PYTHONPATH": str(ROOT), **environ},
        )

    def test_a_server(self):
        """By its port, by its variable, or by its URL; no proxy is asked."""
        server = shared_server()
        port = str(server.address[1])
        for ended in (
            self.command("-p", port, http_proxy="http://127.0.0.1:1"),
            self.command(GYM_HTTP_PORT=port, GYM_HTTP_LISTEN="0.0.0.0"),
            self.command("--url", server.url + "/"),
        ):
            self.assertEqual((ended.returncode, ended.stderr), (0, ""))
            self.assertRegex(ended.stdout, r"^http://\S+: ok, version \S+, instances: \d+\n$")

    @params(
        (["--url", "ftp://x"], "a URL begins with"),
        (["--url", "http://"], "a URL begins with"),
        (["--url", "http://127.0.0.1:99999"], "[Pp]ort"),
        (["--url", "https://127.0.0.1:1", "--ca", "/none"], "No such file"),
        (["--listen", "127.0.0.1", "-p", "1"], "refused"),
    )
    def test_none(self, arguments, reason):
        ended = self.command(*arguments)
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertRegex(ended.stderr, f"^Error: [^\n]*{reason}[^\n]*\n$")

    @params(
        (b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"status\":\"ok\"}", "answers 200, as no"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "answers 200, as no"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff{}", "answers 200, as no"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "answers 503, as no"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", ""),
        (b"SSH-2.0\r\n", "SSH-2.0"),
        (b"", ""),
        (None, "no answer in time"),
    )  # fmt: skip
    def test_something_else(self, answer, reason):
        with somebody_else(answer) as url, self.assertRaisesRegex(Unhealthy, f"^{url}: .*{reason}"):
            ask(url, None, 0.3)

    def test_it_can_wait(self):
        """For a server that comes up meanwhile: here, after it has asked in vain."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            waiting = subprocess.Popen(
                [sys.executable, "-m", "gym_http", "health", "-p", str(port), "--wait", "60"],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            listener.accept()[0].close()
        command = [sys.executable, "gym_http_server.py", "-p", str(port)]
        server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            told, _ = waiting.communicate(timeout=60)
        finally:
            server.terminate()
            server.wait(30)
        self.assertEqual(waiting.returncode, 0)
        self.assertIn(": ok, ", told)

    @params(
        ("0.0.0.0", 1, False, "http://127.0.0.1:1"),
        ("::", 1, True, "https://[::1]:1"),
        ("::1", 1, False, "http://[::1]:1"),
        ("gym.example.org", 443, True, "https://gym.example.org:443"),
    )
    def test_where_a_server_is(self, listen, port, tls, url):
        self.assertEqual(own_url(listen, port, tls), url)
