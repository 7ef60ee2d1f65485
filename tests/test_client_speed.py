"""What a step costs the client, in calls of functions; unlike its time, that is always the same."""

import sys
import unittest

import requests
from nose2.tools import params

from gym_http.remote.connection import MessagePackClient
from gym_http_client import Client
from tests.support import shared_server


def calls_of(function):
    """How many functions written in Python `function` calls, when it isn't called first."""
    function()
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


class Steps(unittest.TestCase):
    @params(Client, MessagePackClient)
    def test_a_fifth_of_the_calls_of_requests(self, kind):
        url = shared_server().url
        with kind(url) as client, requests.Session() as session:
            one = client.env_create("MountainCar-v0")
            client.env_reset(one)
            path = f"{url}/v1/envs/{one}/step/"
            plain = calls_of(lambda: session.post(path, json={"action": 1}).json())
            ours = calls_of(lambda: client.env_step(one, 1))
            client.env_close(one)
        self.assertLess(ours, plain / 5)  # 174 and 1,719; of older versions 1,063
