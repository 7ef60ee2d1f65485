"""An environment that goes wrong ends its instance alone, which says so; nobody else notices, and
nothing is left of it."""

import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gymnasium
from nose2.tools import params

import tests.faulty_envs  # noqa: F401  # registers them
from tests.marked import MarkedServer, gone
from tests.support import create, eventually, get, post
from tests.walk import CODES, FAILED, FINE, LATE, LOST

LIMIT_S = 1.5
WORKER_MEMORY = 1 << 29
SAID = {  # of the step in which it happens
    "segfault": "was ended by SIGSEGV",
    "exits": "ended with exit code 3",
    "aborts": "was ended by SIGABRT",
    "kills_itself": "was ended by SIGKILL",
    "kills_its_group": "was ended by SIGKILL",
    "kills_its_parent": "was ended by SIGKILL",
    "runs_out_of_time": "was ended by SIGXCPU",
    "exits_with_a_child": "ended with exit code 4",
    "leaks": "needed more memory than the 536870912 bytes of --worker-memory",
    "asks_for_much": "needed more memory than the 536870912 bytes of --worker-memory",
    "leaks_natively": "was ended by SIGSEGV",
    "sleeps": "took longer than 1.5 s for its step",
    "spins": "took longer than 1.5 s for its step",
    "holds_the_gil": "took longer than 1.5 s for its step",
    "waits_for_itself": "took longer than 1.5 s for its step",
    "stops_itself": "took longer than 1.5 s for its step",
    "blocks_signals": "took longer than 1.5 s for its step",
    "forks_without_end": "took longer than 1.5 s for its step",
    "raises": "failed in step: ZeroDivisionError: by intent",
    "raises_badly": "failed in step: Bad: it can't say why",
    "calls_exit": "failed in step: SystemExit: 5",
    "interrupts": "failed in step: KeyboardInterrupt",
    "recurses": "failed in step: RecursionError",
    "wrong_shape": "failed in step: ValueError",
    "too_few": "failed in step: ",
    "no_number": "failed in step: ValueError",
    "odd_observation": "failed in step: TypeError",
    "closes_files": "the process of Walk-v0",
    "writes_garbage": "what came is no message of ours",
}
TAKING_TIME = ("runs_out_of_time", "leaks", "leaks_natively", "prints")
LARGE = 5000  # numbers of an observation that comes by shared memory


class Neighbour:
    """An instance that somebody steps while other things happen, and its twin in process."""

    def __init__(self, server, backend, seed):
        self.server = server
        self.env = create(server, "Walk-v0", backend=backend, kwargs={"size": LARGE})
        self.twin = gymnasium.make("Walk-v0", size=LARGE, disable_env_checker=True)
        self.steps, self.wrong = 0, []
        _, _, reply = post(server, f"{self.env}/reset/", {"seed": seed})
        self._compare(reply["observation"], self.twin.reset(seed=seed)[0])
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def _play(self):
        while not self._over.wait(0.02) and not self.wrong:
            action = self.steps % 2
            status, _, reply = post(self.server, f"{self.env}/step/", {"action": action})
            observation, reward, *_ = self.twin.step(action)
            if status != 200:
                self.wrong.append(reply)
                return
            self._compare((reply["observation"], reply["reward"]), (observation, reward))
            self.steps += 1

    def _compare(self, got, expected):
        if isinstance(got, tuple):
            if got[0] != expected[0].tolist() or got[1] != expected[1]:
                self.wrong.append("another step than its twin's")
        elif got != expected.tolist():
            self.wrong.append("another beginning than its twin's")

    def stop(self):
        self._over.set()
        self._thread.join()
        return self.wrong


def play_to_the_fault(server, env, at=3):
    """The reply to the step in which it happens, and its status."""
    status, _, reply = post(server, f"{env}/reset/", {"seed": 5})
    assert status == 200, reply
    for _ in range(at - 1):
        status, _, reply = post(server, f"{env}/step/", {"action": 0})
        assert status == 200, reply
    status, _, reply = post(server, f"{env}/step/", {"action": 0})
    return status, reply


class Condemned(unittest.TestCase):
    def check_condemned(self, server, env, code):
        """Each route answers alike; it can be looked at, and be forgotten."""
        for verb, body in (
            ("reset", {"seed": 1}),
            ("step", {"action": 0}),
            ("rollout", {"sample": 3}),
            ("monitor/start", {"directory": str(server.home / "r")}),
            ("monitor/close", {}),
        ):
            _, _, reply = post(server, f"{env}/{verb}/", body)
            self.assertEqual(reply.get("code"), code, (verb, reply))
        for verb in ("render", "action_space", "observation_space", "action_space/sample",
                     "action_space/contains/1"):  # fmt: skip
            _, _, reply = get(server, f"{env}/{verb}")
            self.assertEqual(reply.get("code"), code, (verb, reply))
        status, _, told = get(server, env)
        self.assertEqual(status, 200)
        self.assertEqual(told["last_error"]["code"], code)
        self.assertNotIn(env.rsplit("/", 1)[1], get(server, "/v1/envs/")[2]["envs"])
        self.assertEqual(post(server, f"{env}/close/")[0], 200)
        for path in (env, f"{env}/render"):
            self.assertEqual(get(server, path)[2]["code"], "unknown_instance")


class OnProcess(Condemned):
    def test_every_fault(self):
        """Several at a time, beside two that nothing happens to."""
        faults = [how for how in CODES if how != "sleeps_a_little"]
        flags = ("--backend", "process", "--step-timeout", str(LIMIT_S))
        with MarkedServer(*flags, "--worker-memory", str(WORKER_MEMORY)) as server:
            neighbours = [Neighbour(server, "process", 1), Neighbour(server, "local", 2)]
            with ThreadPoolExecutor(4) as pool:  # whose threads the server then has as well
                warm = [*pool.map(lambda _: create(server, "Walk-v0"), range(4))]
                for env in warm:
                    post(server, f"{env}/close/")
            settled = server.processes(), server.files()
            worker = server.worker_pid()
            with ThreadPoolExecutor(4) as pool:
                for wrong in pool.map(lambda how: self.one(server, how), faults):
                    with self.subTest(wrong):
                        self.assertIsNone(wrong)
            for neighbour in neighbours:
                self.assertEqual(neighbour.stop(), [])
                self.assertGreater(neighbour.steps, 20)
            # (The connections of neighbours have ended.)
            eventually(lambda: server.processes() == settled[0])
            eventually(lambda: self.without_sockets(server) == self.sorted_without(settled[1]))
            self.assertEqual(server.segments_left(), set())
            self.assertEqual(server.worker_pid(), worker)
            self.assertNotIn("internal error", server.log())
        self.assertEqual(server.processes(), set())

    def sorted_without(self, files):
        return [file for file in files if file != "socket"]

    def without_sockets(self, server):
        return self.sorted_without(server.files())

    def one(self, server, how):
        """What was wrong, or None."""
        code, words = CODES[how], SAID.get(how, "")
        size = LARGE if how == "corrupts_memory" else 3
        try:
            limit_s = 30 if how in TAKING_TIME else None
            env = create(
                server, "Walk-v0", kwargs={"how": how, "size": size}, step_timeout_s=limit_s
            )
            status, reply = play_to_the_fault(server, env)
            if how == "makes_semaphores":
                server.processes()
                self.assertGreater(len(server.segments_left()), 3)
            self.assertEqual(reply.get("code", FINE), code, reply)
            self.assertIn(words, reply.get("message", ""))
            if code in (LOST, LATE):
                self.assertEqual(reply["last_good_step"], 2)
                self.check_condemned(server, env, code)
                return None
            if code == FAILED:
                self.assertEqual(post(server, f"{env}/reset/", {"seed": 1})[0], 200)
            status, _, reply = post(server, f"{env}/step/", {"action": 0})
            self.assertEqual(status, 200, reply)
            if code == FINE:
                self.same_as_without(how, size, reply)
            self.assertEqual(post(server, f"{env}/close/")[0], 200)
        except Exception as error:
            return f"{how}: {error!r}"

    def same_as_without(self, how, size, reply):
        """The step after the fault is the one that would have been made."""
        twin = gymnasium.make("Walk-v0", size=size, disable_env_checker=True)
        twin.reset(seed=5)
        for _ in range(3 + (how in ("not_a_number", "odd_infos"))):
            observation, reward, *_ = twin.step(0)
        if how not in ("not_a_number", "odd_infos"):
            observation, reward, *_ = twin.step(0)
            self.assertEqual(
                (reply["observation"], reply["reward"]), (observation.tolist(), reward)
            )


class OnLocal(Condemned):
    """Where nothing can be killed, who waits is answered."""

    def test_late_ones(self):
        flags = ("--step-timeout", "0.5")
        with MarkedServer(*flags) as server:
            told = server.home / "told"
            neighbours = [Neighbour(server, "local", 1), Neighbour(server, "process", 2)]
            for where in ("step", "reset", "render"):
                with self.subTest(where):
                    kwargs = {"how": "sleeps_a_little", "where": where, "told": str(told), "at": 1}
                    env = create(server, "Walk-v0", kwargs=kwargs)
                    _, _, reply = post(server, f"{env}/reset/", {"seed": 1})
                    if where == "step":
                        _, _, reply = post(server, f"{env}/step/", {"action": 0})
                    elif where == "render":
                        _, _, reply = get(server, f"{env}/render")
                    self.assertEqual(reply["code"], "timeout", reply)
                    self.assertIn(f"took longer than 0.5 s for its {where}", reply["message"])
                    self.assertEqual(reply["last_good_step"], 0)
                    self.check_condemned(server, env, "timeout")
            self.assertIn("a thread is stuck: Walk-v0 has not returned from step", server.log())
            # They come back, and are closed.
            eventually(lambda: told.exists() and told.read_text() == 3 * "closed\n")
            for neighbour in neighbours:
                self.assertEqual(neighbour.stop(), [])
                self.assertGreater(neighbour.steps, 20)

    def test_what_raises(self):
        with MarkedServer() as server:
            for how, code in CODES.items():
                words = SAID.get(how, "")
                harmless = code == FAILED or how in ("not_a_number", "odd_infos", "asks_for_much")
                if not harmless or how == "recurses":  # that of test_crashes
                    continue
                with self.subTest(how):
                    env = create(server, "Walk-v0", kwargs={"how": how})
                    _, reply = play_to_the_fault(server, env)
                    if how == "asks_for_much":
                        code, words = FAILED, "MemoryError"
                    self.assertEqual(reply.get("code", FINE), code, reply)
                    self.assertIn(words, reply.get("message", ""))
                    if code == FAILED:
                        self.assertEqual(post(server, f"{env}/reset/")[0], 200)
                    self.assertEqual(post(server, f"{env}/close/")[0], 200)


class Limits(Condemned):
    """Of time, on both backends."""

    @classmethod
    def setUpClass(cls):
        flags = ("--import", "tests.rollout_envs", "--shutdown-timeout", "1")
        cls.server = MarkedServer(*flags, environ={"GYM_HTTP_HANGING_IMPORT": "1"})
        cls.addClassCleanup(cls.server.stop)

    @params("local", "process")
    def test_making(self, backend):
        makes = {"env_id": "Walk-v0", "kwargs": {"how": "sleeps_a_little", "where": "make"}}
        for body in (makes, {"env_id": "HangingImport-v0"}):
            body = {**body, "backend": backend, "make_timeout_s": 0.5}
            status, _, reply = post(self.server, "/v1/envs/", body)
            self.assertEqual((status, reply["code"]), (504, "timeout"), reply)
            self.assertIn("longer than 0.5 s for its make", reply["message"])
        post(self.server, f"{create(self.server, backend=backend)}/close/")

    @params("local", "process")
    def test_each_step_of_a_rollout_has_its_time(self, backend):
        env = create(
            self.server, "Walk-v0", backend=backend, step_timeout_s=1, kwargs={"pause_s": 0.03}
        )
        post(self.server, f"{env}/reset/", {"seed": 1})
        status, _, reply = post(self.server, f"{env}/rollout/", {"actions": [0] * 50})
        self.assertEqual(status, 200, reply)
        self.assertEqual(reply["steps"], 50)
        self.assertEqual(post(self.server, f"{env}/close/")[0], 200)

    @params(("local", "sleeps_a_little"), ("process", "holds_the_gil"), ("process", "segfault"),
            ("process", "exits"))  # fmt: skip
    def test_in_a_rollout(self, backend, how):
        for before in (0, 5):
            env = create(
                self.server, "Walk-v0", backend=backend, step_timeout_s=0.7,
                kwargs={"how": how, "at": 38},
            )  # fmt: skip
            post(self.server, f"{env}/reset/", {"seed": 1})
            for _ in range(before):
                post(self.server, f"{env}/step/", {"action": 0})
            _, _, reply = post(self.server, f"{env}/rollout/", {"actions": [0] * 100})
            code = "timeout" if how in ("sleeps_a_little", "holds_the_gil") else "backend_lost"
            self.assertEqual((reply["code"], reply["last_good_step"]), (code, 37), reply)
            info = get(self.server, env)[2]
            self.assertEqual(info["last_error"]["message"], reply["message"])
            self.assertEqual(info["steps"], 37)
            self.check_condemned(self.server, env, code)

    @params("render", "reset", "close")
    def test_other_calls_on_process(self, where):
        env = create(
            self.server, "Walk-v0", backend="process", step_timeout_s=0.7,
            kwargs={"how": "holds_the_gil", "where": where},
        )  # fmt: skip
        _, _, reply = post(self.server, f"{env}/reset/", {"seed": 1})
        if where == "render":
            _, _, reply = get(self.server, f"{env}/render")
        elif where == "close":
            _, _, reply = post(self.server, f"{env}/close/")
        self.assertEqual(reply["code"], "timeout", reply)
        self.assertIn(f"took longer than 0.7 s for its {where}", reply["message"])
        if where != "close":
            self.check_condemned(self.server, env, "timeout")
        else:
            self.assertEqual(post(self.server, f"{env}/close/")[2]["code"], "unknown_instance")

    def test_no_limit(self):
        for backend in ("local", "process"):
            kwargs = {"how": "sleeps_a_little", "at": 1}
            env = create(self.server, "Walk-v0", backend=backend, step_timeout_s=0, kwargs=kwargs)
            post(self.server, f"{env}/reset/", {"seed": 1})
            self.assertEqual(post(self.server, f"{env}/step/", {"action": 0})[0], 200)
            post(self.server, f"{env}/close/")

    def test_a_recording_ends_with_its_instance(self):
        directory = str(Path(self.server.home, "lost"))
        kwargs = {"how": "segfault", "length": 2, "at": 7}
        env = create(self.server, "Walk-v0", backend="process", kwargs=kwargs)
        post(self.server, f"{env}/monitor/start/", {"directory": directory})
        for _ in range(4):
            post(self.server, f"{env}/reset/")
            for _ in range(2):
                post(self.server, f"{env}/step/", {"action": 0})
        upload = {"training_dir": directory, "api_key": "k"}
        self.assertEqual(post(self.server, "/v1/upload/", upload)[0], 200)
        (entry,) = get(self.server, "/v1/scoreboard/?env_id=Walk-v0")[2]["entries"]
        self.assertEqual(entry["number_episodes"], 3)


class Garbled(unittest.TestCase):
    def test_what_was_said_is_gone(self):
        """Of a server that has ended in peace."""
        with MarkedServer("--backend", "process") as server:
            env = create(server, "Walk-v0", kwargs={"how": "starts_a_daemon"})
            play_to_the_fault(server, env)
            create(server, num_envs=2, vectorization="async")
            everything = server.processes()
            self.assertGreater(len(everything), 6)
            self.assertEqual(len(server.segments_left()), 3)
        gone(everything, server.mark, 1)
        self.assertEqual(server.segments_left(), set())
