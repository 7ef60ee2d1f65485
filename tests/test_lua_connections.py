"""The connection of the Lua client: it is kept, and made anew where it was closed."""

import subprocess
import threading

from nose2.tools import params

from tests.client_peer import BODY, CUT, Peer, PeerCase, chunked, reply
from tests.test_lua import LUAS, PREAMBLE, LuaTest

ASKING = """
local client = assert(require("gym_http_client").new("%s", { json = "dkjson", timeout = 1 }))
for instance_id in io.lines() do
  local observation, _, code = client:env_step(instance_id, 1)
  print(observation and "ok" or code)
  io.flush()
end
"""


class Connections(PeerCase, LuaTest):
    def begin(self, lua, url=None):
        """A program that steps the instances that `ask` names."""
        self.need(lua, "dkjson")
        self.program = subprocess.Popen(
            [lua, "-e", PREAMBLE + ASKING % (url or self.peer.url)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.program.communicate)

    def ask(self, instance_id):
        """What env_step returned: "ok", or the code."""
        self.program.stdin.write(instance_id + "\n")
        self.program.stdin.flush()
        return self.program.stdout.readline().strip()

    def used(self):
        """(number of the connection, instance) of each request."""
        return [(number, Peer.name(first)) for number, first, *_ in self.peer.seen]

    @params(*LUAS)
    def test_one_serves_many_calls(self, lua):
        self.peer.scripts["chunked"] = [chunked(BODY)]
        self.peer.scripts["refused"] = [reply(b'{"message": "no", "code": "x"}', "400 x")]
        self.begin(lua)
        asked = ["plain", "chunked", "refused"] * 9
        self.assertEqual([self.ask(name) for name in asked], ["ok", "ok", "x"] * 9)
        self.assertEqual(self.used(), [(1, name) for name in asked])
        self.assertEqual(self.peer.seen[0][2]["connection"], "keep-alive")

    @params(*LUAS)
    def test_a_request_is_one_piece(self, lua):
        """In two, the second would wait until the first is acknowledged: for 40 ms."""
        received = []

        def serve(connection):
            while request := connection.recv(65536):
                received.append(request)
                connection.sendall(reply())

        self.begin(lua, f"http://{self.netloc_of(serve)}")
        self.assertEqual([self.ask("plain") for _ in range(50)], ["ok"] * 50)
        self.assertEqual(len(received), 50)
        for request in received:
            self.assertTrue(request.startswith(b"POST ") and request.endswith(b"}"), request)

    @params(*LUAS)
    def test_one_that_was_closed_while_idle(self, lua):
        self.begin(lua)
        for count in range(1, 4):
            self.assertEqual(self.ask("plain"), "ok")
            self.assertEqual(self.used()[-1], (count, "plain"))
            self.peer.drop_connections()

    @params(*LUAS)
    def test_one_that_is_about_to_be_closed(self, lua):
        self.peer.scripts["last"] = [reply(headers=["Connection: close"])]
        self.peer.scripts["old"] = [reply(version="HTTP/1.0")]
        self.peer.scripts["endless"] = [b"HTTP/1.1 200 OK\r\n\r\n" + BODY, CUT]
        self.begin(lua)
        for count, name in enumerate(("last", "old", "endless", "plain", "plain")):
            self.assertEqual(self.ask(name), "ok")
            self.assertEqual(self.used()[-1], (min(count, 3) + 1, name))

    @params(*LUAS)
    def test_what_breaks_is_not_repeated(self, lua):
        """By a server that doesn't know numbers. Nor is the rest of its answer another call's."""
        late = threading.Event()
        self.addCleanup(late.set)
        self.peer.scripts["breaks"] = [CUT]
        self.peer.scripts["late"] = [late, reply(b'{"message": "late", "code": "late"}', "400 x")]
        self.begin(lua)
        codes = [self.ask(name) for name in ("plain", "breaks", "plain", "late")]
        late.set()
        codes.append(self.ask("plain"))
        self.assertEqual(codes, ["ok", "connection", "ok", "timeout", "ok"])
        asked = [(2, "GET "), (2, "plain"), (2, "late"), (3, "plain")]  # first /v1/healthz/
        self.assertEqual(self.used(), [(1, "plain"), (1, "breaks"), *asked])
