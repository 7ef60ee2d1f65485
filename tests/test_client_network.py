"""The Python client and its connections: which it uses, how long, and what breaks them."""

import gc
import json
import logging
import os
import pickle
import signal
import socket
import threading
import time
import unittest
import warnings

import requests
from nose2.tools import params
from requests.adapters import HTTPAdapter

from gym_http_client import Client, ServerError
from tests.client_peer import BODY, CUT, STEP, Peer, PeerCase, chunked, reply
from tests.support import ServerProcess, at_once, eventually


class Ways(PeerCase):
    """Which way is taken. The short one's connections aren't those of urllib3."""

    def is_short(self, client):
        before = len(self.peer.seen)
        with self.assertLogs("urllib3", logging.DEBUG) as logs:
            logging.getLogger("urllib3").debug("there has to be something")
            client.env_step("plain", 1)
        self.assertEqual(len(self.peer.seen), before + 1)
        return len(logs.output) == 1

    def test_the_short_one_is_taken(self):
        self.assertTrue(self.is_short(self.client))
        self.client.session.headers["X-Trace"] = "7"
        self.assertTrue(self.is_short(self.client))
        self.assertEqual(self.headers_seen()["x-trace"], "7")
        self.client.session.headers["X-Trace"] = "8"
        self.assertTrue(self.is_short(self.client))
        self.assertEqual(self.headers_seen()["x-trace"], "8")
        del self.client.session.headers["X-Trace"]
        self.assertTrue(self.is_short(self.client))
        self.assertNotIn("x-trace", self.headers_seen())

    def test_a_cookie_ends_it(self):
        self.peer.scripts = {"one": [reply(headers=["Set-Cookie: c=d; Path=/"])]}
        self.client.env_step("one", 1)
        self.assertFalse(self.is_short(self.client))
        self.assertEqual(self.headers_seen()["cookie"], "c=d")

    def test_adapters_of_others(self):
        used = []

        class Adapter(HTTPAdapter):
            def send(self, request, **options):
                used.append(request.url)
                return super().send(request, **options)

        self.client.session.mount(self.peer.url, Adapter())
        self.client.env_step("plain", 1)
        self.assertEqual(used, [f"{self.peer.url}/v1/envs/plain/step/"])

    def test_sessions_of_others(self):
        self.client.session = requests.Session()
        self.assertFalse(self.is_short(self.client))

    def test_a_proxy(self):
        client = self.client_of("http://far.example:81")
        client.session.proxies["http"] = self.peer.url
        client.env_step("plain", 1)
        first = "POST http://far.example:81/v1/envs/plain/step/ HTTP/1.1"
        self.assertEqual(self.peer.seen[0][1], first)

    def test_a_proxy_of_the_environment(self):
        client = self.client_of("http://far.example:81")
        client.session.trust_env = True
        os.environ["HTTP_PROXY"] = self.peer.url
        self.addCleanup(os.environ.pop, "HTTP_PROXY")
        client.env_step("plain", 1)
        self.assertIn(" http://far.example:81/", self.peer.seen[0][1])

    def test_a_user_in_the_url(self):
        client = self.client_of(f"http://me:secret@{self.peer.netloc}")
        client.env_step("plain", 1)
        self.assertEqual(self.headers_seen()["authorization"], "Basic bWU6c2VjcmV0")

    def test_a_path_before_ours(self):
        client = self.client_of(f"{self.peer.url}/gym/1.0/")
        self.assertTrue(self.is_short(client))
        self.assertEqual(self.peer.seen[-1][1], "POST /gym/1.0/v1/envs/plain/step/ HTTP/1.1")

    @unittest.skipUnless(socket.has_ipv6, "no IPv6 here")
    def test_ipv6(self):
        received = []

        def serve(connection):
            received.append(connection.recv(65536))
            connection.sendall(reply())

        try:
            netloc = self.netloc_of(serve, "::1")
        except OSError as error:
            self.skipTest(str(error))
        self.client_of(f"http://{netloc}").env_step("plain", 1)
        self.assertIn(f"Host: {netloc}\r\n".encode(), received[0])


class Connections(PeerCase):
    def test_one_serves_many_calls(self):
        self.peer.scripts = {
            "refused": [reply(b'{"message": "no"}', "400 x")],
            "chunked": [chunked(BODY)],
        }
        for _ in range(20):
            self.client.env_step("plain", 1)
            self.client.env_step("chunked", 1)
            self.client.env_info("plain")
            with self.assertRaises(ServerError):
                self.client.env_step("refused", 1)
        self.assertEqual(set(self.connections_used()), {1})

    def test_a_request_is_one_piece(self):
        """Head and body in two would wait for each other's acknowledgment, or cost a packet."""
        received = []

        def serve(connection):
            while request := connection.recv(65536):
                received.append(request)
                connection.sendall(reply())

        client = self.client_of(f"http://{self.netloc_of(serve)}")
        for _ in range(50):
            client.env_step("plain", 1)
        self.assertEqual(len(received), 50)
        for request in received:
            self.assertTrue(request.startswith(b"POST ") and request.endswith(b"}"), request)

    def test_no_waiting_for_more_to_send(self):
        self.client.env_step("plain", 1)
        adapter = self.client.session.get_adapter(self.peer.url)
        ((_, line),) = adapter._idle
        self.assertTrue(line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def test_one_that_was_closed_while_idle(self):
        for count in range(1, 4):
            self.client.env_step("plain", 1)
            self.assertEqual(self.connections_used(), list(range(1, count + 1)))
            self.peer.drop_connections()

    @params([CUT], [reply()[:20], CUT], [reply()[:-1], CUT], [chunked(BODY)[:-20], CUT])
    def test_a_step_is_not_sent_twice(self, script):
        """What breaks in the middle of a call may have been done. This server doesn't know
        numbers, as it says when it is asked."""
        self.peer.scripts = {"breaks": script}
        self.client.env_step("plain", 1)
        with self.assertRaises((requests.RequestException, ServerError)):
            self.client.env_step("breaks", 1)
        self.client.env_step("plain", 1)
        firsts = [first.removeprefix("POST /v1/envs/") for _, first, *_ in self.peer.seen]
        steps = [f"{name}/step/ HTTP/1.1" for name in ("plain", "breaks", "plain")]
        self.assertEqual(firsts, [*steps[:2], "GET /v1/healthz/ HTTP/1.1", steps[2]])
        self.assertEqual(self.connections_used(), [1, 1, 2, 2])

    def test_an_answer_that_comes_too_late_is_nobodys(self):
        late = threading.Event()
        self.addCleanup(late.set)
        info = reply(json.dumps({"env_id": "late"}).encode())
        self.peer.scripts = {"head": [late, info], "body": [info[:-3], late, info[-3:]]}
        for name in self.peer.scripts:
            client = self.client_of(self.peer.url, timeout=0.2)
            with self.assertRaises(requests.ReadTimeout):
                client.env_info(name)
            late.set()
            self.assertEqual(client.env_info("plain"), STEP)
            late.clear()

    def test_an_answer_to_nothing_is_nobodys(self):
        self.peer.scripts = {"twice": [reply() + reply(b'{"env_id": "other"}')]}
        for _ in range(2):
            self.client.env_step("twice", 1)
            self.assertEqual(self.client.env_info("plain"), STEP)

    def test_an_answer_before_all_is_sent(self):
        """As of a server that refuses a body by its length, reads none of it, and closes."""

        def serve(connection):
            connection.recv(1000)
            connection.sendall(reply(b'{"message": "too large"}', "413 x"))

        client = self.client_of(f"http://{self.netloc_of(serve)}")
        with self.assertRaisesRegex(ServerError, "too large"):
            client.env_step("plain", "x" * 10**7)

    def test_one_that_is_about_to_be_closed(self):
        self.peer.scripts["last"] = [reply(headers=["Connection: close"])]
        self.client.env_step("last", 1)
        self.client.env_step("last", 1)
        self.assertEqual(self.connections_used(), [1, 2])

    def test_several_threads(self):
        """Each gets its own answers, though a client is documented for one."""
        self.peer.scripts = {str(i): [reply(json.dumps({"i": i}).encode())] for i in range(8)}
        answers = {}

        def ask(i):
            answers[i] = [self.client.env_info(str(i)) for _ in range(50)]

        at_once(*(lambda i=i: ask(i) for i in range(8)))
        self.assertEqual(answers, {i: [{"i": i}] * 50 for i in range(8)})

    def test_another_server(self):
        """Who changes the URL doesn't go on talking to the server before."""
        other = Peer()
        self.addCleanup(other.close)
        self.client.env_step("plain", 1)
        self.client.remote_base = other.url
        self.client.env_step("plain", 1)
        self.assertEqual((len(self.peer.seen), len(other.seen)), (1, 1))

    @params("close", "forget")
    def test_its_end(self, how):
        client = Client(self.peer.url)
        client.env_step("plain", 1)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            if how == "close":
                client.close()
            del client
            gc.collect()
        self.assertEqual(warned, [])
        eventually(lambda: self.peer.connections[0].fileno() == -1)  # its end was read

    def test_after_its_end(self):
        self.client.env_step("plain", 1)
        self.client.close()
        self.client.env_step("plain", 1)
        self.assertEqual(self.connections_used(), [1, 2])

    def test_a_copy_has_its_own(self):
        self.client.env_step("plain", 1)
        with pickle.loads(pickle.dumps(self.client)) as copy:
            copy.env_step("plain", 1)
            self.client.env_step("plain", 1)
        self.assertEqual(self.connections_used(), [1, 2, 1])


class Failures(PeerCase):
    """The exceptions of `requests`, whichever way is taken."""

    def test_nobody_is_there(self):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with self.assertRaisesRegex(requests.ConnectionError, "refused"):
            self.client_of(url).env_list_all()

    @params("http://no-such-host.invalid", "http://127.0.0.1:70000", f"http://{'a' * 64}.b")
    def test_addresses_that_are_none(self, url):
        with self.assertRaises(requests.RequestException):
            self.client_of(url).env_list_all()

    def test_connecting_takes_too_long(self):
        with socket.socket() as full:  # which takes no more connections
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            waiting = []
            for _ in range(3):
                waiting.append(socket.socket())
                self.addCleanup(waiting[-1].close)
                waiting[-1].setblocking(False)
                waiting[-1].connect_ex(full.getsockname())
            client = self.client_of(f"http://127.0.0.1:{full.getsockname()[1]}", timeout=(0.1, 20))
            begun = time.monotonic()
            with self.assertRaises(requests.ConnectTimeout):
                client.env_list_all()
            self.assertLess(time.monotonic() - begun, 10)

    def test_answering_takes_too_long(self):
        late = threading.Event()
        self.addCleanup(late.set)
        self.peer.scripts = {"head": [late], "body": [reply()[:-1], late]}
        for name in self.peer.scripts:
            for timeout in (0.1, (20, 0.1)):
                client = self.client_of(self.peer.url, timeout=timeout)
                with self.subTest(name), self.assertRaises(requests.ReadTimeout):
                    client.env_step(name, 1)

    def test_an_interrupt(self):
        """Ctrl-C in the middle of a call: the next one gets its own answer."""
        late = threading.Event()
        self.addCleanup(late.set)
        self.peer.scripts = {"late": [late, reply(b'{"env_id": "late"}')]}

        def interrupt():
            eventually(lambda: bool(self.peer.seen))
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        thread = threading.Thread(target=interrupt)
        thread.start()
        self.addCleanup(thread.join)
        with self.assertRaises(KeyboardInterrupt):
            self.client.env_info("late")
        late.set()
        self.assertEqual(self.client.env_info("plain"), STEP)


class Servers(unittest.TestCase):
    def test_one_that_is_started_anew(self):
        """At the same address; by v1's users' account, the end of many trainings."""
        with ServerProcess() as server:
            client = Client(server.url)
            self.addCleanup(client.close)
            first = client.env_create("CartPole-v1")
            port = str(server.address[1])
        with ServerProcess("-p", port) as server:
            with self.assertRaises(ServerError) as caught:
                client.env_reset(first)  # not a ConnectionError
            self.assertEqual(caught.exception.code, "unknown_instance")
            client.env_reset(client.env_create("CartPole-v1"))
        with self.assertRaises(requests.ConnectionError):
            client.env_list_all()
        with ServerProcess("-p", port):
            self.assertEqual(client.env_list_all(), {})
