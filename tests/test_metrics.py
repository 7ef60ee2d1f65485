"""/metrics against what was done before: to the step, and also while everybody is at work."""

import copy
import gc
import itertools
import json
import tempfile
import threading
import time
import unittest
import weakref
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from gym_http.environments import Recipe
from gym_http.errors import BackendLost, BadValue, Busy, Evicted, OutOfSequence, TimedOut
from gym_http.registry import Registry
from gym_http.service import Service
from gym_http.settings import Settings
from gym_http.tally import BOUNDS_S, Tally
from gym_http.terms import Terms
from gym_http.web.exchange import Call, answer
from gym_http.web.routes import ROUTES
from tests import custom_envs  # noqa: F401  registers the environments
from tests.support import ServerCase, ServerProcess, at_once, create, get, post, request
from tests.test_registry import instance

PLAIN = "text/plain; version=0.0.4; charset=utf-8"


def samples(text):
    """(name, the labels' values) -> value, of our own metrics. Zeros are left out."""
    return {
        (sample.name.removeprefix("gym_http_"), *sample.labels.values()): sample.value
        for family in prometheus(text)
        for sample in family.samples
        if sample.name.startswith("gym_http_") and sample.value
    }


def scraped(server):
    status, _, text = get(server, "/metrics")
    assert status == 200, text
    return samples(text.decode())


def without_times(found):
    return {
        key: value
        for key, value in found.items()
        if key[0] not in ("step_seconds_bucket", "step_seconds_sum", "connections")
    }


def refused(server, path, body):
    status, _, reply = post(server, path, body)
    assert status >= 400, reply
    return reply["code"]


class Numbers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ServerProcess("--import", "tests.custom_envs")
        cls.addClassCleanup(cls.server.stop)

    def test_are_those_of_what_was_done(self):
        server = ServerProcess("--import", "tests.custom_envs")
        self.addCleanup(server.stop)
        self.assertEqual(scraped(server), {})

        one, other = create(server, "CartPole-v1", seed=1), create(server, "CustomRaises-v0")
        three = create(server, "CartPole-v1", num_envs=3, seed=1)
        native = create(server, "CartPole-v1", num_envs=2, vectorization="native", seed=1)
        for env in (one, other, three, native):
            post(server, f"{env}/reset/")
        for _ in range(5):
            self.assertEqual(post(server, f"{one}/step/", {"action": 1})[0], 200)
        post(server, f"{one}/reset/")
        all_fields = {"sample": 7, "on_done": "reset", "fields": ["infos", "done"]}
        post(server, f"{one}/rollout/", {"sample": 7, "on_done": "reset"})
        post(server, f"{three}/step/", {"action": [0, 1, 0]})
        post(server, f"{three}/rollout/", all_fields)
        post(server, f"{native}/rollout/", {"sample": 100, "on_done": "reset"})  # in columns

        codes = [
            refused(server, f"{one}/step/", {"action": 2}),
            refused(server, f"{one}/step/", {}),
            refused(server, f"{other}/step/", {"action": 1}),
            refused(server, f"{other}/step/", {"action": 0}),
            refused(server, "/v1/envs/ffffffff/step/", {"action": 0}),
            refused(server, "/v1/envs/", {"env_id": "Nope-v0"}),
            refused(server, "/nowhere", {}),
        ]
        told = {env: get(server, env)[2] for env in (one, other, three, native)}
        episodes = sum(facts["episodes"] for facts in told.values())
        steps = sum(facts["steps"] for facts in told.values())
        self.assertGreater(episodes, 2)
        self.assertEqual([told[one]["steps"], told[other]["steps"]], [5 + 7, 0])

        expected = {
            ("instances", "local"): 4,
            ("instances_created_total", "local"): 4,
            ("steps_total", "local"): steps,
            ("episodes_total", "local"): episodes,
            ("step_seconds_count", "local"): 5 + 7 + 1 + 7 + 100,
            **{("errors_total", code): codes.count(code) for code in set(codes)},
        }
        found = scraped(server)
        self.assertEqual(without_times(found), expected)
        self.assertEqual(found["step_seconds_bucket", "local", "+Inf"], 120)
        self.assertTrue(120e-7 < found["step_seconds_sum", "local"] < 10)

        post(server, f"{one}/close/"), post(server, f"{three}/close/")
        expected["instances", "local"] = 2
        expected["instances_closed_total", "local", "closed"] = 2
        expected["errors_total", "unknown_instance"] += 1
        self.assertEqual(refused(server, f"{one}/close/", {}), "unknown_instance")
        after = scraped(server)
        self.assertEqual(without_times(after), expected)
        self.assertEqual(
            {key: after[key] for key in found if key[0].startswith("step_seconds")},
            {key: found[key] for key in found if key[0].startswith("step_seconds")},
        )

    def test_never_fall_and_miss_nothing(self):
        """While instances come and go."""
        server = self.server
        clients, rounds, steps = 4, 12, 9
        before = scraped(server).get(("steps_total", "local"), 0)
        done, seen = threading.Event(), []

        def play():
            for _ in range(rounds):
                env = create(server, "CartPole-v1")
                post(server, f"{env}/reset/")
                post(server, f"{env}/rollout/", {"sample": steps, "on_done": "reset"})
                post(server, f"{env}/close/")

        def scrape():
            while not done.is_set():
                seen.append(scraped(server))

        scraper = threading.Thread(target=scrape)
        scraper.start()
        at_once(*[play] * clients)
        done.set()
        scraper.join()
        seen.append(scraped(server))
        self.assertGreater(len(seen), 5)
        for earlier, later in itertools.pairwise(seen):
            for key, value in earlier.items():
                if key[0] != "instances":
                    self.assertGreaterEqual(later.get(key, 0), value, key)
        self.assertEqual(seen[-1]["steps_total", "local"], before + clients * rounds * steps)

    def test_a_slow_step_is_in_a_high_bucket(self):
        env = create(self.server, "CustomSlow-v0", kwargs={"pause_s": 0.06})
        post(self.server, f"{env}/reset/")
        before = scraped(self.server)
        post(self.server, f"{env}/step/", {"action": 0})
        after = scraped(self.server)

        def more(bound):
            key = ("step_seconds_bucket", "local", bound)
            return after.get(key, 0) - before.get(key, 0)

        self.assertEqual([more("0.05"), more("60.0"), more("+Inf")], [0, 1, 1])


class Elsewhere(unittest.TestCase):
    """Of instances that have a worker each."""

    def test_steps_and_deaths(self):
        flags = ("--import", "tests.custom_envs", "--backend", "process", "--log-format", "json")
        with ServerProcess(*flags) as server:
            one, other = create(server, "CartPole-v1", seed=1), create(server, "CustomExits-v0")
            raises = create(server, "CustomRaises-v0")
            for env in (one, other, raises):
                self.assertEqual(post(server, f"{env}/reset/")[0], 200)
            post(server, f"{one}/step/", {"action": 1})
            post(server, f"{one}/rollout/", {"sample": 300, "on_done": "reset"})
            calls = [
                post(server, f"{raises}/step/", {"action": 1}),
                post(server, f"{other}/step/", {"action": 1}),
                post(server, f"{other}/step/", {"action": 1}),  # again, of what is gone
            ]
            self.assertEqual(
                [reply["code"] for _, _, reply in calls], ["env_failed"] + ["backend_lost"] * 2
            )
            found = scraped(server)
            last = get(server, other)[2]["last_error"]
            self.assertEqual(last["code"], "backend_lost")
            events = [json.loads(line) for line in server.log().splitlines() if line[0] == "{"]
        episodes = found.pop(("episodes_total", "process"))
        self.assertGreater(episodes, 1)
        self.assertEqual(
            without_times(found),
            {
                ("instances", "process"): 2,
                ("instances_created_total", "process"): 3,
                ("instances_closed_total", "process", "backend_lost"): 1,
                ("worker_deaths_total", "process"): 1,
                ("steps_total", "process"): 301,
                ("step_seconds_count", "process"): 301,
                ("errors_total", "backend_lost"): 2,
                ("errors_total", "env_failed"): 1,
            },
        )
        said = [event["event"] for event in events]
        self.assertEqual(said, ["created"] * 3 + ["failed", "closed", "failed", "failed"])
        self.assertIn("custom_envs.py", events[3]["exception"])
        self.assertEqual(events[4]["reason"], "backend_lost")
        ids = [headers["x-request-id"] for _, headers, _ in calls]
        self.assertEqual([event["request_id"] for event in events[3:]], [ids[0], ids[1], *ids[1:]])
        self.assertEqual([reply["request_id"] for _, _, reply in calls], ids)

    def test_steps_made_in_one_go(self):
        """Aren't one long one and many that took no time, nor many long ones."""
        with ServerProcess("--import", "tests.custom_envs", "--backend", "process") as server:
            env = create(server, "CustomSlow-v0", kwargs={"pause_s": 0.02})
            post(server, f"{env}/reset/")
            began = time.monotonic()
            post(server, f"{env}/rollout/", {"sample": 6, "on_done": "reset"})
            took = time.monotonic() - began
            found = scraped(server)
        self.assertEqual(found["step_seconds_count", "process"], 6)
        self.assertNotIn(("step_seconds_bucket", "process", "0.01"), found)
        self.assertTrue(6 * 0.02 <= found["step_seconds_sum", "process"] <= took)


class Wire(ServerCase):
    def asked(self, accept):
        line = f"Accept: {accept}\r\n"
        return request(self.server, "GET", "/metrics/", headers=line)

    def test_formats(self):
        for accept in ("*/*", "text/html", "application/msgpack", "application/json"):
            with self.subTest(accept):
                status, headers, text = self.asked(accept)
                self.assertEqual((status, headers["content-type"]), (200, PLAIN))
                names = {family.name for family in prometheus(text.decode())}
                self.assertGreater(names, {"gym_http_steps", "process_resident_memory_bytes"})
        _, headers, text = self.asked("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
        self.assertTrue(headers["content-type"].startswith("application/openmetrics-text"))
        self.assertIn("gym_http_steps", {family.name for family in openmetrics(text.decode())})

    def test_an_odd_wish_gets_the_plain_format(self):
        kind = "application/openmetrics-text"
        for accept in ("version=x", "version=9.\xe9", "version=1.x", "version=0.1"):
            with self.subTest(accept):
                status, headers, _ = self.asked(f"{kind};{accept}")
                self.assertEqual((status, headers["content-type"]), (200, PLAIN))

    def test_like_other_routes(self):
        self.assertEqual(refused(self.server, "/metrics", {}), "method_not_allowed")
        line = "Accept-Encoding: gzip\r\n"
        status, headers, _ = request(self.server, "GET", "/metrics", headers=line)
        self.assertEqual((status, headers["content-encoding"]), (200, "gzip"))


class Ends(unittest.TestCase):
    """What ends by itself, and what it is counted as."""

    def test_each_reason(self):
        with tempfile.TemporaryDirectory() as directory:
            service = Service(Settings(data_dir=Path(directory)))
            registry = service._registry
            for backend, error in (
                ("local", Evicted("", "idle")),
                ("process", Evicted("", "idle")),
                ("process", BackendLost("gone")),
                ("process", TimedOut("late")),
                ("ray", BackendLost("gone")),
                ("local", TimedOut("late")),  # its thread lives on
            ):
                one = instance()
                one.terms = Terms(backend=backend)
                one.tally.made(3, 1)
                instance_id = registry.add(one)
                with registry.lease(instance_id):
                    registry.retire(one, error)
                    registry.remove(one)  # as who closes it then may do
                one.env.close()
                self.assertEqual(service.describe(instance_id)["last_error"][0].code, error.code)
            text, _ = service.metrics()
        self.assertEqual(
            samples(text.decode()),
            {
                **{("instances_created_total", b): n for b, n in (("local", 2), ("process", 3))},
                ("instances_created_total", "ray"): 1,
                ("instances_closed_total", "local", "evicted"): 1,
                ("instances_closed_total", "local", "timeout"): 1,
                ("instances_closed_total", "process", "evicted"): 1,
                ("instances_closed_total", "process", "backend_lost"): 1,
                ("instances_closed_total", "process", "timeout"): 1,
                ("instances_closed_total", "ray", "backend_lost"): 1,
                ("evictions_total",): 2,
                ("worker_deaths_total", "process"): 2,
                ("worker_deaths_total", "ray"): 1,
                ("steps_total", "local"): 6,
                ("steps_total", "process"): 9,
                ("steps_total", "ray"): 3,
                ("episodes_total", "local"): 2,
                ("episodes_total", "process"): 3,
                ("episodes_total", "ray"): 1,
            },
        )


class Timings(unittest.TestCase):
    def test_a_bound_is_the_most_that_its_bucket_has(self):
        tally = Tally()
        for seconds in (0.0, BOUNDS_S[0], BOUNDS_S[0] * 1.01, BOUNDS_S[-1], 61.0, 1e9):
            tally.took(seconds)
        self.assertEqual(tally.timings[:2] + tally.timings[-2:], [2, 1, 1, 2])
        together = Tally()
        together.took_each([])
        together.took_each([0.0, BOUNDS_S[0], BOUNDS_S[0] * 1.01])
        together.took_each([BOUNDS_S[-1], 61.0, 1e9])
        self.assertEqual(together.timings, tally.timings)
        self.assertAlmostEqual(together.seconds, tally.seconds)
        twice = copy.deepcopy(tally)
        twice.add(tally)
        self.assertEqual(sum(twice.timings), 12)
        self.assertEqual(twice.seconds, 2 * tally.seconds)


class LastErrors(ServerCase):
    def last(self, env):
        return get(self.server, env)[2]["last_error"]

    def test_is_what_a_call_was_last_answered_with(self):
        env = create(self.server, "CustomRaises-v0")
        self.assertIsNone(self.last(env))
        post(self.server, f"{env}/reset/")
        self.assertIsNone(self.last(env))
        for method, verb, body, code in (
            ("POST", "step/", '{"action": 9}', "bad_value"),
            ("POST", "step/", "{", "invalid_json"),
            ("POST", "step/", "{}", "missing_parameter"),
            ("POST", "monitor/start/", '{"directory": "a\\u0000"}', "bad_directory"),
            ("GET", "render/", None, "not_renderable"),
            ("POST", "step/", '{"action": 1}', "env_failed"),
        ):
            with self.subTest(code):
                reply = request(self.server, method, f"{env}/{verb}", body)[2]
                last = self.last(env)
                self.assertEqual(last.pop("time")[-1], "Z")
                why = f" ({reply['detail']})" if "detail" in reply else ""
                expected = {"code": reply["code"], "message": reply["message"] + why}
                self.assertEqual(last, expected)
                self.assertEqual(reply["code"], code)
        post(self.server, f"{env}/reset/")
        self.assertEqual(self.last(env)["code"], "env_failed")

    def test_not_that_a_call_came_at_the_wrong_time(self):
        registry = Registry(lambda: 5.0, 1)
        one = registry.add(instance())
        for error in (Busy("other calls"), OutOfSequence("the third was expected")):
            registry.answered(error, one)
        self.assertIsNone(registry.peek(one).last_error)
        registry.answered(BadValue("no"), one)
        self.assertEqual(registry.peek(one).last_error[1], 5.0)

    def test_does_not_keep_the_environment(self):
        with tempfile.TemporaryDirectory() as directory:
            service = Service(Settings(data_dir=Path(directory)))
            one = service.create(Recipe("CustomRaises-v0")).instance_id
            env = weakref.ref(service._registry.peek(one).env.unwrapped)
            service.reset(one)
            step = next(route for route in ROUTES if route.path.endswith("/step/"))
            gc.collect()
            gc.disable()
            self.addCleanup(gc.enable)
            for action, code in ((2, "bad_value"), (1, "env_failed"), (1, "reset_needed")):
                body = json.dumps({"action": action}).encode()
                call = Call({"instance_id": one}, {}, body, "application/json")
                with self.assertLogs("gym_http", "INFO"):
                    reply = answer(step, service, call)
                self.assertEqual(json.loads(reply.body)["code"], code)
                self.assertEqual(service.describe(one)["last_error"][0].code, code)
            self.assertIsNotNone(env())
            service.close(one)
            self.assertIsNone(env())
