"""The Python client among what else goes on in its process: forks, mocks, settings, exceptions."""

import logging
import multiprocessing
import os
import socket
import threading
import unittest
from unittest import mock

import requests
from nose2.tools import params
from requests.adapters import HTTPAdapter

from gym_http_client import Client
from tests.client_peer import PeerCase
from tests.support import ServerProcess


def ask_for(client: Client, instance_id: str, answers: multiprocessing.Queue) -> None:
    answers.put([client.env_info(instance_id)["instance_id"] for _ in range(100)])


@unittest.skipUnless(hasattr(os, "fork"), "this system has no fork")
class Forks(unittest.TestCase):
    def test_each_gets_its_own_answers(self):
        """Also with a client that has a connection already."""
        fork = multiprocessing.get_context("fork")
        with ServerProcess() as server, Client(server.url) as client:
            ids = [client.env_create("CartPole-v1") for _ in range(3)]
            answers = fork.Queue()
            children = [fork.Process(target=ask_for, args=(client, one, answers)) for one in ids]
            for child in children:
                child.start()
            got = sorted(answers.get(timeout=60) for _ in ids)
            for child in children:
                child.join()
            self.assertEqual(got, sorted([one] * 100 for one in ids))
            self.assertEqual(client.env_info(ids[0])["instance_id"], ids[0])


class Others(PeerCase):
    def is_short(self, client):
        with self.assertLogs("urllib3", logging.DEBUG) as logs:
            logging.getLogger("urllib3").debug("there has to be something")
            client.env_step("plain", 1)
        return len(logs.output) == 1

    def test_a_kept_exception_keeps_no_connection(self):
        """As that of a retry in an `except`, or the last one of a REPL."""
        ended = threading.Event()

        def serve(connection):
            while connection.recv(1000):
                pass
            ended.set()

        client = self.client_of(f"http://{self.netloc_of(serve)}", timeout=0.2)
        try:
            client.env_info("one")
        except requests.ReadTimeout as kept:
            self.assertTrue(ended.wait(10), kept)

    @params(
        ({"https_proxy": "http://proxy.example:3128"}, True),
        ({"no_proxy": ".example"}, True),
        ({"http_proxy": "http://proxy.example:3128", "no_proxy": "127.0.0.1"}, True),
        ({"http_proxy": "PEER"}, False),
        ({"all_proxy": "PEER"}, False),
    )
    def test_proxies_that_are_meant_for_others(self, variables, short):
        given = {name: value.replace("PEER", self.peer.url) for name, value in variables.items()}
        with mock.patch.dict(os.environ, given):
            client = self.client_of(self.peer.url)
        self.assertIs(self.is_short(client), short)

    @params((requests.Session, "send"), (HTTPAdapter, "send"), (requests.Session, "request"))
    def test_methods_that_were_replaced(self, kind, name):
        """As mocks and tracers do. They see every call."""
        original, seen = getattr(kind, name), []

        def replaced(self, *arguments, **options):
            seen.append(name)
            return original(self, *arguments, **options)

        with mock.patch.object(kind, name, replaced):
            self.client.env_step("plain", 1)
        self.assertEqual(seen, [name])
        self.assertTrue(self.is_short(self.client))

    def test_a_sessions_own_method(self):
        seen = []
        original = self.client.session.request
        self.client.session.request = lambda *a, **o: seen.append(a) or original(*a, **o)
        self.client.env_step("plain", 1)
        self.assertEqual(len(seen), 1)

    def test_sending_has_the_time_of_connecting(self):
        """As with `requests`: a slow reader is not a slow answer."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = (
                f"http://127.0.0.1:{listening.getsockname()[1]}"  # which accepts, and reads nothing
            )
            client = self.client_of(url, timeout=(0.3, 60))
            with self.assertRaises(requests.Timeout):
                client.env_step("one", "x" * 30_000_000)
