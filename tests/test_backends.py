"""One contract for every backend: a caller can't tell them apart. What is done on each is done on
"local" as well, and all that is answered is compared, byte for byte."""

import importlib.util
import re
import unittest
from functools import lru_cache

import numpy as np
from gymnasium import spaces
from nose2.tools import params

from gym_http.backends import BACKENDS
from gym_http.recording import reader
from gym_http.wire import from_msgpack
from tests.contract_caller import Caller
from tests.rollouts import described

NEEDED = {"ray": "ray"}  # backend -> package
OTHERS = [
    name
    for name in BACKENDS
    if name != "local" and (name not in NEEDED or importlib.util.find_spec(NEEDED[name]))
]
STEPS = 12

# ---- what is done


def play(env_id, **create):
    """A bit of everything that a usual environment does."""

    def case(caller):
        caller.make(env_id, seed=3, **create)
        for verb in ("action_space", "observation_space"):
            caller.get(verb)
        caller.post("step", action=caller.sampled(), code="reset_needed")
        caller.post("reset")
        several = create.get("num_envs")
        for step in range(STEPS):
            reply = caller.post("step", action=caller.sampled())
            if np.any(reply["done"]) and (not several or create.get("autoreset") == "disabled"):
                ended = np.atleast_1d(reply["done"]).tolist()
                caller.post("reset", **({"options": {"reset_mask": ended}} if several else {}))
            elif step == STEPS // 2:
                caller.post("reset", seed=11)
        actions = [caller.sampled() for _ in range(4)]
        every = ["observations", "rewards", "done", "final_observations", "actions", "infos"]
        for body in (
            {"actions": actions, "on_done": "reset"},
            {"actions": actions, "fields": every},
            {"sample": 30, "on_done": "reset"},
            {"sample": 1},
            {"sample": 5, "on_done": "reset", "fields": every},
            {"sample": 300, "fields": ["rewards"]},
        ):
            caller.post("reset", seed=5)
            caller.post("rollout", **body)
            caller.sampled()  # of the same sequence
            caller.post("reset", seed=6)
            caller.post("step", action=actions[0])  # and no other
        caller.post("reset")
        caller.facts()
        caller.close()
        caller.get("", code="unknown_instance")

    return case


def render(env_id, **create):
    def case(caller):
        caller.make(env_id, seed=3, **create)
        caller.get("render", code="reset_needed")
        caller.post("reset", seed=2)
        for _ in range(3):
            caller.get("render")
            if np.any(caller.post("step", action=caller.sampled())["done"]):
                caller.post("reset")
        caller.get("render")
        caller.close()

    return case


def spaces_of_all_kinds(caller):
    box = spaces.Box(-1, 1, (2, 3), np.float32)
    pair = spaces.Tuple((spaces.Text(5), spaces.MultiBinary([2, 2])))
    for space in (
        spaces.Discrete(5, start=-2),
        spaces.Box(0, 255, (70, 90, 3), np.uint8),
        spaces.Box(-5, 5, (), np.int32),
        spaces.Box(-5, 5, (3, 0), np.int32),
        spaces.MultiDiscrete([3, 4]),
        spaces.Dict({"a": box, "b": spaces.Dict({"c": pair})}),
        spaces.Sequence(spaces.Discrete(4)),
        spaces.Sequence(box, stack=True),
        spaces.Graph(spaces.Box(0, 1, (2,)), spaces.Discrete(3)),
        spaces.OneOf([spaces.Discrete(2), box]),
    ):
        kind = described(space)
        caller.make("CustomDrawn-v0", seed=4, kwargs={"observation": kind, "action": kind})
        caller.get("observation_space")
        caller.post("reset", seed=6)
        for _ in range(3):
            if caller.post("step", action=caller.sampled())["done"]:
                caller.post("reset")
        every = ["observations", "actions", "infos"]
        caller.post("rollout", sample=9, on_done="reset", fields=every)
        caller.post("reset")
        caller.post("step", action="nonsense" * 9, code="bad_value")
        caller.close()


def seeds_of_vectors(caller):
    for how in ("sync", "async"):
        caller.make("CustomDrawn-v0", num_envs=3, vectorization=how, autoreset="disabled")
        caller.post("reset", seed=[7, None, 9], code=None)  # the second one's by chance
        caller.answers.pop()
        caller.post("reset", seed=[7, 8, 9])
        for mask in ([True, False, True], [False, True, False]):
            for _ in range(20):
                reply = caller.ask("POST", f"{caller.path}/step/", {"action": [0, 1, 0]})
                if any(reply["done"]):
                    break
            caller.post("reset", options={"reset_mask": reply["done"].tolist()})
            caller.post("reset", seed=[1, 2, 3], options={"reset_mask": mask})
        caller.post("reset", seed=[1, 2], code="bad_value")
        caller.post("reset", options={"reset_mask": [True]}, code="bad_value")
        caller.close()


def failures(caller):
    caller.make("CustomRaises-v0")
    caller.post("reset", options={"a": 1}, code="bad_value")
    caller.post("reset", options={})
    caller.post("step", action=1, code="env_failed")
    caller.post("step", action=0, code="reset_needed")
    caller.post("reset")
    caller.post("rollout", actions=[0, 1, 0], code="env_failed")
    caller.facts()
    caller.post("reset")
    caller.post("step", action=0)
    caller.get("render", code="not_renderable")
    caller.post("step", action=7, code="bad_value")
    caller.close()
    for how in ("exit", "interrupt", "step", "text", "shape", "info"):
        caller.make("CustomFaulty-v0", kwargs={"how": how})
        caller.post("reset")
        caller.post("step", action=0, code="env_failed")
        caller.post("reset")
        caller.post("rollout", actions=[0, 0], code="env_failed")
        caller.close()
    caller.make("CustomFaulty-v0", kwargs={"how": "sample"})
    caller.post("reset")
    caller.get("action_space/sample", code="env_failed")
    caller.post("rollout", sample=2, code="env_failed")
    caller.close()
    caller.make("CustomUnsendable-v0")
    caller.post("reset")
    caller.post("step", action=0, code="env_failed")
    caller.close()
    caller.make("CustomFailingReset-v0", kwargs={"number": 1})
    caller.post("reset")
    caller.post("rollout", actions=[0] * 9, on_done="reset", code="env_failed")
    caller.post("reset", code="env_failed")
    caller.post("reset", seed=1)
    caller.facts()
    caller.close()


def made_in_vain(caller):
    nowhere = str(caller.scratch / "nowhere")
    for env_id, code, more in (
        ("No-Such-Env-v0", "malformed_env_id", {}),
        ("CartPole-v99", "malformed_env_id", {}),
        ("os:CartPole-v1", "malformed_env_id", {}),
        ("CustomFaulty-v0", "make_failed", {"kwargs": {"how": "make error"}}),
        ("CustomFaulty-v0", "make_failed", {"kwargs": {"how": "make exit"}}),
        ("CustomFaulty-v0", "make_failed", {"kwargs": {"no_such": 1}}),
        ("CartPole-v1", "bad_value", {"kwargs": {"id": 1}}),
        ("CartPole-v1", "bad_value", {"render_mode": "human"}),
        ("CartPole-v1", "bad_value", {"render_mode": "smoke"}),
        ("CartPole-v1", "bad_value", {"num_envs": 0}),
        ("CartPole-v1", "bad_value", {"vectorization": "sync"}),
        ("CustomOdd-v0", "bad_value", {"num_envs": 2, "vectorization": "native"}),
        ("CartPole-v1", "bad_value", {"num_envs": 2, "autoreset": "never"}),
        ("CustomThird-v0", "make_failed", {"num_envs": 3, "kwargs": {"path": nowhere}}),
        ("CartPole-v1", "bad_value", {"engine": "none"}),
        ("CustomMissing-v0", "dependency_missing", {}),
        ("CustomUnheard-v0", "unsupported_space", {}),
        ("CustomTells-v0", "unsupported_space",
         {"kwargs": {"spaceless": True, "path": nowhere}}),
        ("CustomTells-v0", "forbidden_directory", {"kwargs": {"path": "/dev/null"}}),
    ):  # fmt: skip
        caller.make(env_id, code=code, **more)


def recordings(caller):
    for number, (env_id, create) in enumerate(
        (("CartPole-v1", {}), ("CustomDrawn-v0", {"num_envs": 2, "vectorization": "sync"}))
    ):
        directory = caller.scratch / str(number)
        caller.make(env_id, seed=1, **create)
        caller.post("monitor/start", directory=str(directory), video_callable=False)
        caller.post("reset")
        caller.post("rollout", sample=200, on_done="reset", fields=["rewards"])
        caller.post("monitor/close")
        caller.close()
        told = reader.load(directory)
        assert len(told.episode_lengths) > 3
        caller.note((told.env_info, told.episode_lengths, told.episode_rewards, told.videos))


def films(caller):
    caller.make("CustomTurns-v0", kwargs={"length": 4})
    caller.post("monitor/start", directory=str(caller.scratch), video_callable=True)
    for _ in range(2):
        caller.post("reset")
        caller.post("rollout", actions=[0] * 4)
    caller.close()
    told = reader.load(caller.scratch)
    caller.note([film.read_bytes() for film, _ in told.videos])
    assert len(told.videos) == 2


def closing(caller):
    path = caller.scratch / "told"
    for create in ({}, {"num_envs": 3, "vectorization": "sync"}):
        caller.make("CustomTells-v0", kwargs={"path": str(path)}, **create)
        caller.post("reset")
        caller.close()
        caller.post("close", code="unknown_instance")
        caller.note(path.read_text())
    assert path.read_text() == 4 * "closed\n"
    caller.make("CustomFaulty-v0", kwargs={"how": "close error"})
    caller.post("close", code="env_failed")
    caller.post("close", code="unknown_instance")
    caller.make("CustomFaulty-v0", kwargs={"how": "close slow"}, step_timeout_s=0.5)
    caller.post("close", code="timeout")
    caller.post("close", code="unknown_instance")


def limits(caller):
    caller.make("CustomSlow-v0", kwargs={"pause_s": 60}, step_timeout_s=0.5)
    caller.post("reset")
    caller.post("step", action=0, code="timeout")
    for verb in ("reset", "rollout"):
        caller.post(verb, code="timeout", sample=1)
    caller.facts()
    caller.close()
    caller.make("CustomFaulty-v0", kwargs={"how": "make slow"}, make_timeout_s=0.5, code="timeout")
    told = caller.answers.pop()["message"]  # some say more
    assert told.startswith("CustomFaulty-v0 took longer than 0.5 s for its make"), told


def simultaneous(caller):
    """Vectors of each kind, as far as they have it."""
    for how, autoreset in (
        ("sync", "next_step"), ("sync", "same_step"), ("sync", "disabled"),
        ("async", "next_step"), ("async", "same_step"),
    ):  # fmt: skip
        play("CustomDrawn-v0", num_envs=3, vectorization=how, autoreset=autoreset)(caller)


NAMES = ("CartPole-v1", "Pendulum-v1", "Taxi-v4", "Blackjack-v1", "CustomOdd-v0", "CustomNested-v0",
         "CustomReuses-v0", "CustomTelling-v0", "CustomUnruly-v0", "CustomDrawn-v0",
         "CustomChanging-v0", "CustomFactory-v0", "CustomTurns-v0")  # fmt: skip
CASES = {
    **{env_id: play(env_id) for env_id in NAMES},
    "arrays": play("CustomArrays-v0", max_episode_steps=10),
    "a time limit": play("CartPole-v1", max_episode_steps=4),
    "gym's": play("CartPole-v1", engine="gym"),
    "vectors": simultaneous,
    "a native form": play("CustomNative-v0", num_envs=3, vectorization="native"),
    "a native form, same_step": play(
        "CustomNative-v0", num_envs=3, vectorization="native", autoreset="same_step"
    ),
    "CartPole's native form": play("CartPole-v1", num_envs=4, vectorization="native"),
    "a vector of dicts": play("CustomNested-v0", num_envs=2, autoreset="same_step"),
    "a vector of large arrays": play("CustomTurns-v0", num_envs=2),
    "pictures": render("CustomTurns-v0"),
    "large pictures": render("CustomFrames-v0"),
    "text": render("CustomTurns-v0", render_mode="ansi"),
    "FrozenLake's text": render("FrozenLake-v1", render_mode="ansi"),
    "pictures of a vector": render("CustomTurns-v0", num_envs=2),
    **{
        case.__name__.replace("_", " "): case
        for case in (
            spaces_of_all_kinds, seeds_of_vectors, failures, made_in_vain, recordings, films,
            closing, limits,
        )
    },
    "Pong": play("ALE/Pong-v5"),
    "Pong's pictures": render("ALE/Pong-v5"),
    "HalfCheetah": play("HalfCheetah-v5"),
    "LunarLander": play("LunarLander-v3"),
    "MiniGrid": play("MiniGrid-Empty-Random-6x6-v0"),
}  # fmt: skip
PACKAGES = {"Pong": "ale_py", "Pong's pictures": "ale_py", "HalfCheetah": "mujoco",
            "LunarLander": "Box2D", "MiniGrid": "minigrid", "gym's": "shimmy",
            "films": "av"}  # fmt: skip

# Where it takes a second to make an environment, what others of the same kind show as well.
SPARED = {
    "ray": {
        "Pendulum-v1", "Taxi-v4", "Blackjack-v1", "CustomOdd-v0", "CustomUnruly-v0",
        "CustomChanging-v0", "CustomFactory-v0", "gym's", "a time limit",
        "a native form, same_step", "CartPole's native form", "a vector of dicts",
        "large pictures", "FrozenLake's text", "Pong", "LunarLander", "MiniGrid",
    }
}  # fmt: skip


@lru_cache(maxsize=None)
def answers(backend, name):
    caller = Caller(backend)
    try:
        CASES[name](caller)
    finally:
        caller.over()
    return caller.answers


class Contract(unittest.TestCase):
    @params(
        *[
            (backend, name)
            for backend in OTHERS
            for name in CASES
            if name not in SPARED.get(backend, ())
        ]
    )
    def test_all_is_as_on_local(self, backend, name):
        package = PACKAGES.get(name)
        if package and importlib.util.find_spec(package) is None:
            self.skipTest(f"{package} is not installed")
        expected, got = answers("local", name), answers(backend, name)
        self.assertEqual(len(got), len(expected))
        for number, (one, other) in enumerate(zip(got, expected, strict=True)):
            one, other = without_ids(one), without_ids(other)
            if one != other:
                self.fail(f"answer {number}: {plain(one)}\non local: {plain(other)}")

    def test_each_that_can_be_is_tested(self):
        self.assertIn("process", OTHERS)


def without_ids(answer):
    """It without what each has for itself."""
    if isinstance(answer, dict):
        return {key: without_ids(answer[key]) for key in answer if key != "request_id"}
    if isinstance(answer, str):
        return re.sub(r"Instance_id \w{8}", "Instance_id X", answer)
    return answer


def plain(answer):
    return str(from_msgpack(answer) if isinstance(answer, bytes) else answer)[:800]
