"""A peer of the Python client: it does with connections whatever a server, or a proxy, may do."""

import json
import socket
import threading
import unittest
from contextlib import suppress

from requests.adapters import HTTPAdapter

from gym_http_client import Client

STEP = {"observation": [0.5], "reward": 1.0, "done": False, "info": {"text": "ü" * 9}}
STEP["entries"] = []  # it is what a scoreboard answers, too
BODY = json.dumps(STEP).encode()
CUT = object()  # in a script: close the connection


def reply(body=BODY, status="200 OK", headers=(), version="HTTP/1.1"):
    """The bytes of a reply with a Content-Length."""
    lines = [f"{version} {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def chunked(*chunks, trailer=b""):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    sizes = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + sizes + b"0\r\n" + trailer + b"\r\n"


class Peer:
    """A server whose replies are scripts: bytes to send, events to wait for, and CUT.

    seen: of each request (number of its connection, first line, headers by lower-case name, body).
    """

    def __init__(self):
        self.scripts = {}
        self.seen = []
        self.connections = []
        self.ended = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.netloc = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.url = f"http://{self.netloc}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        while not self.ended.is_set():
            connection, _ = self._listening.accept()
            self.connections.append(connection)
            arguments = (len(self.connections), connection)
            self._threads.append(threading.Thread(target=self._serve, args=arguments))
            self._threads[-1].start()

    def _serve(self, number, connection):
        with suppress(OSError), connection, connection.makefile("rb") as file:
            while first := file.readline().decode().strip():
                headers = {}
                while line := file.readline().decode("latin-1").strip():
                    name, _, value = line.partition(":")
                    headers[name.lower()] = value.strip()
                body = file.read(int(headers.get("content-length", 0)))
                self.seen.append((number, first, headers, body))
                if not self._play(connection, self.scripts.get(self.name(first), [reply()])):
                    connection.shutdown(socket.SHUT_RDWR)
                    return

    def _play(self, connection, script):
        for part in script:
            if part is CUT:
                return False
            if isinstance(part, threading.Event):
                part.wait(20)
            else:
                connection.sendall(part)
        return True

    @staticmethod
    def name(first_line):
        """The instance that a request is about; scripts go by it."""
        return first_line.split("/v1/envs/")[-1].split("/")[0]

    def drop_connections(self):
        """What a server does with connections that have been idle for long."""
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.ended.set()
        with suppress(OSError), socket.create_connection(self._listening.getsockname()):
            pass
        self._threads[0].join()
        self.drop_connections()
        for thread in self._threads:
            thread.join()
        for connection in self.connections:
            connection.close()
        self._listening.close()


class PeerCase(unittest.TestCase):
    def setUp(self):
        self.peer = Peer()
        self.addCleanup(self.peer.close)
        self.client = self.client_of(self.peer.url)

    def client_of(self, url, way="short", **options):
        client = Client(url, **{"timeout": 20, **options})
        if way == "ordinary":
            client.session.mount("http://", HTTPAdapter())
        self.addCleanup(client.close)
        return client

    def netloc_of(self, serve, host="127.0.0.1"):
        """Let `serve(connection)` have the first connection to a port; returns host:port."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, 0), family=family)

        def accept():
            with listening, listening.accept()[0] as connection:
                serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        self.addCleanup(thread.join, 20)
        return f"[{host}]:{listening.getsockname()[1]}".replace("[127.0.0.1]", "127.0.0.1")

    def connections_used(self):
        return [number for number, *_ in self.peer.seen]

    def headers_seen(self):
        return self.peer.seen[-1][2]
