"""Snapshots through the server: kept, taken up, downloaded and sent back, whole and broken."""

import base64
import copy
import json
import math
import unittest
from dataclasses import replace

import msgspec
import numpy as np
from nose2.tools import params

import gym_http_client
import tests.snapshot_envs  # noqa: F401 (registers them)
from gym_http.catalogue import Policy
from gym_http.environments import Recipe
from gym_http.errors import BadValue, GymHTTPError, ResetNeeded, UnknownSnapshot, Unsupported
from gym_http.service import Service
from gym_http.settings import Settings
from gym_http.snapshots.form import read
from gym_http.snapshots.replay import replay
from gym_http.tape import Plan
from gym_http.terms import Terms
from gym_http.wire import as_json, from_json, from_msgpack, to_json, to_msgpack
from tests.support import ServerCase, create, get, post

SMALL = {"width": 64, "height": 64}
COUNTS = ("steps", "episodes", "last_episode_return", "last_episode_length")


class WithService(unittest.TestCase):
    def setUp(self):
        self.service = Service(Settings(max_snapshots=3))
        self.addCleanup(self.service.close_all)

    def begun(self, recipe, backend="local"):
        """In the middle of its second episode, which began without a seed."""
        made = self.service.create(recipe, terms=Terms(backend)).instance_id
        self.service.reset(made)
        self.play(made, 9)
        self.service.reset(made)
        self.play(made, 8)
        return made

    def play(self, instance_id, steps):
        told = []
        for _ in range(steps):
            seen = self.service.step(instance_id, self.service.sample(instance_id))
            told.append(to_msgpack([seen.observation, seen.reward, seen.done, seen.info]))
            if seen.done is True:
                told.append(to_msgpack(self.service.reset(instance_id).observation))
        return told

    def counts(self, instance_id):
        told = self.service.describe(instance_id)
        return [told[name] for name in COUNTS]

    def check(self, original, *others):
        counts = self.counts(original)
        told = self.play(original, 120)
        for other in others:
            self.assertEqual(self.counts(other), counts)
            self.assertEqual(self.play(other, 120), told)
            self.assertEqual(self.counts(other), self.counts(original))


class TakenUp(WithService):
    @params(
        *((Recipe("CartPole-v1"), "copy", "replay", where) for where in ("local", "process")),
        (Recipe("LunarLander-v3"), "replay", "replay", "local"),
        (Recipe("PongNoFrameskip-v4"), "native", "replay", "local"),
        *(
            (Recipe("Reacher-v5", kwargs=SMALL), "native", "native", w)
            for w in ("local", "process")
        ),
        (Recipe("CartPole-v1", num_envs=3), "copy", "replay", "process"),
        (Recipe("CartPole-v1", num_envs=3, autoreset="same_step"), "copy", "replay", "local"),
        (Recipe("CartPole-v1", num_envs=2, vectorization="async"), "replay", "replay", "local"),
        (Recipe("test/Unpickled-v0", max_episode_steps=20), "replay", "replay", "local"),
    )
    def test_goes_on(self, recipe, kind, portable, backend):
        """By its id, by its form in either encoding, and by a snapshot of what was made so."""
        original = self.begun(recipe, backend)
        taken = self.service.snapshot(original)
        form = self.service.snapshot_form(original, taken.snapshot_id)
        self.assertEqual((taken.kind, form["kind"]), (kind, portable))
        made = [
            self.service.create_from(taken.snapshot_id, terms=Terms(backend)),
            self.service.create_from(None, from_json(to_json(form))),
            self.service.create_from(None, from_msgpack(to_msgpack(form))),
        ]
        again = self.service.snapshot(made[1].instance_id)
        made.append(self.service.create_from(again.snapshot_id))
        form = self.service.snapshot_form(made[1].instance_id, again.snapshot_id)
        made.append(self.service.create_from(None, form))
        self.check(original, *(one.instance_id for one in made))

    def test_an_episode_that_has_ended(self):
        original = self.service.create(Recipe("FrozenLake-v1")).instance_id
        self.service.reset(original, seed=1)
        while not self.service.step(original, self.service.sample(original)).done:
            pass
        taken = self.service.snapshot(original)
        form = self.service.snapshot_form(original, taken.snapshot_id)
        for one in ((taken.snapshot_id, None), (None, as_json(form))):
            made = self.service.create_from(*one).instance_id
            with self.assertRaisesRegex(ResetNeeded, "has ended its episode"):
                self.service.step(made, 0)
            self.assertEqual(
                self.service.reset(made).observation, self.service.reset(original).observation
            )

    def test_environments_that_wait_for_a_reset(self):
        """Of a vector whose ends are reset one by one, with masks in its history."""
        original = self.service.create(
            Recipe("CartPole-v1", num_envs=3, autoreset="disabled"), seed=3
        ).instance_id
        self.service.reset(original)
        told = self.service.rollout(original, Plan(sample=60, on_done="reset"))
        self.assertTrue(told.fields["done"].any())
        self.service.rollout(original, Plan(sample=200, on_done="stop"))
        taken = self.service.snapshot(original)
        form = self.service.snapshot_form(original, taken.snapshot_id)
        made = self.service.create_from(None, from_json(to_json(form))).instance_id
        messages = []
        for one in (original, made):
            with self.assertRaises(ResetNeeded) as caught:
                self.service.step(one, [0, 0, 0])
            messages.append(str(caught.exception).replace(one, "ID"))
        self.assertEqual(*messages)

    def test_a_rollout_is_in_the_history(self):
        for recipe in (Recipe("CartPole-v1"), Recipe("CartPole-v1", num_envs=3)):
            original = self.service.create(recipe).instance_id
            self.service.reset(original, seed=5)
            self.service.rollout(original, Plan(sample=70, on_done="reset"))
            taken = self.service.snapshot(original)
            form = self.service.snapshot_form(original, taken.snapshot_id)
            made = self.service.create_from(None, form)
            self.check(original, made.instance_id)

    def test_a_seed_beside(self):
        original = self.begun(Recipe("CartPole-v1"))
        taken = self.service.snapshot(original)
        made = self.service.create_from(taken.snapshot_id, seed=7).instance_id
        fresh = self.service.create(Recipe("CartPole-v1"), seed=7).instance_id
        first = [self.service.reset(one).observation.tolist() for one in (made, fresh)]
        self.assertEqual(*first)

    def test_before_the_first_reset_and_after_a_failure(self):
        made = self.service.create(Recipe("CartPole-v1")).instance_id
        with self.assertRaisesRegex(ResetNeeded, "has not been reset yet"):
            self.service.snapshot(made)

    def test_the_oldest_goes_first(self):
        made = self.begun(Recipe("CartPole-v1"))
        other = self.begun(Recipe("CartPole-v1"))
        ids = [self.service.snapshot(made).snapshot_id for _ in range(4)]
        for snapshot_id, instance_id in ((ids[0], made), (ids[3], other), ("none", made)):
            with self.assertRaises(UnknownSnapshot):
                self.service.snapshot_form(instance_id, snapshot_id)
        with self.assertRaises(UnknownSnapshot):
            self.service.create_from(ids[0])
        self.service.close(made)
        self.service.snapshot_form(made, ids[1])
        self.service.create_from(ids[1])

    def test_a_copy_that_no_steps_lead_to(self):
        """Its client gets no form; the server keeps it all the same."""
        original = self.begun(Recipe("CartPole-v1"))
        taken = self.service.snapshot(original)
        kept = self.service._snapshots.get(taken.snapshot_id)
        kept.history.note(np.int64(0))
        with self.assertRaisesRegex(Unsupported, "led elsewhere"):
            self.service.snapshot_form(original, taken.snapshot_id)
        self.service.create_from(taken.snapshot_id)

    def test_no_kind_does(self):
        made = self.begun(Recipe("test/Entropy-v0"))
        with self.assertRaisesRegex(Unsupported, "native: .*copy: .*replay: "):
            self.service.snapshot(made)
        self.play(made, 5)  # it goes on


class Broken(WithService):
    """What a client may send in place of a form."""

    def form(self, recipe):
        made = self.begun(recipe)
        return as_json(self.service.snapshot_form(made, self.service.snapshot(made).snapshot_id))

    def refuse(self, form, where):
        before = self.service.instances()
        with self.subTest(where):
            with self.assertRaises(GymHTTPError) as caught:
                self.service.create_from(None, form)
            self.assertLess(caught.exception.status, 500)
            self.assertEqual(self.service.instances(), before)

    BAD = (None, True, -1, 1.5, 1e400, math.nan, 10**30, "x", "", [], [None], {}, {"a": {}}, [[]])

    NEEDED = ("format", "version", "kind", "recipe", "env_id", "progress", "events", "digest")
    NEEDED = (*NEEDED, "state")

    @params(
        Recipe("Pendulum-v1"),
        Recipe("CartPole-v1", num_envs=2),
        Recipe("Reacher-v5", kwargs=SMALL),
    )
    def test_each_key(self, recipe):
        """Another value in each place is refused, or (a count, say) is another value."""
        form = self.form(recipe)
        for path in list(paths(form)):
            for bad in self.BAD:
                if path[-1] in self.NEEDED:
                    self.refuse(changed(form, path, bad), (path, bad))
                    continue
                with self.subTest(path=path, bad=bad):
                    try:
                        made = self.service.create_from(None, changed(form, path, bad))
                    except GymHTTPError as error:
                        self.assertLess(error.status, 500, error)
                    else:
                        self.service.describe(made.instance_id)
                        self.service.close(made.instance_id)
        for path in list(paths(form)):
            new = copy.deepcopy(form)
            del placed(new, path[:-1])[path[-1]]
            if path[-1] in self.NEEDED:
                self.refuse(new, ("without", path))

    def test_other_forms(self):
        form = self.form(Recipe("CartPole-v1"))
        for bad in (None, 1, "x", [], {}, {**form, "format": "x"}, {**form, "version": 2}):
            self.refuse(bad, bad)
        events = form["events"]
        for bad in (
            events[1:],
            [*events, {"reset": {}}],
            [*events, {"reset": {"options": {"reset_mask": [True]}}}],
            [*events, {"actions": [0, 2]}],
            [*events, {"actions": [0] * 100_001}],
            [*events, *events[1:]],
            [{"reset": {"seed": 2**70}}],
            [{"reset": {"random": "AAAA"}}],
            [{"reset": {"random": "!"}}],
        ):
            self.refuse({**form, "events": bad}, str(bad)[:80])
        deep = to_msgpack({"states": None})
        self.refuse({**form, "sampling": base64.b64encode(deep).decode()}, "sampling")

    def test_ids_that_a_create_refuses(self):
        form = self.form(Recipe("CartPole-v1"))
        for change in (
            {"env_id": "os:system"},
            {"env_id": "CartPole-v99"},
            {"env_id": "GymV26Environment-v0"},
            {"env_id": "http/Remote-v0"},
            {"kwargs": {"id": "x"}},
            {"kwargs": {"nonsense": 1}},
            {"render_mode": "human"},
            {"num_envs": 10**6},
            {"vectorization": "sync"},
        ):
            self.refuse({**form, "recipe": {**form["recipe"], **change}}, change)

    def test_native_states(self):
        form = self.form(Recipe("Reacher-v5", kwargs=SMALL))
        state = from_msgpack(base64.b64decode(form["state"]))
        inner = state["layers"][-1]
        changes = (
            ("attributes", "_np_random", 1),
            ("attributes", "render", "x"),
            ("attributes", "__class__", "x"),
            ("attributes", "fullpath", "/etc/passwd"),
            ("attributes", "frame_skip", "x"),
            ("attributes", "frame_skip", {"list": []}),
            ("attributes", "init_qpos", np.zeros(1)),
            ("attributes", "init_qpos", np.full_like(inner["attributes"]["init_qpos"], np.nan)),
            ("mujoco", "state", inner["mujoco"]["state"][1:]),
            ("mujoco", "state", inner["mujoco"]["state"] * np.nan),
            ("mujoco", "state", inner["mujoco"]["state"].astype("f4")),
            ("mujoco", "model", "x"),
            ("mujoco", "computed", {}),
            ("camera", "lookat", np.zeros(2)),
        )
        for part, name, value in changes:
            bad = copy.deepcopy(state)
            bad["layers"][-1][part] = {**(bad["layers"][-1].get(part) or {}), name: value}
            packed = base64.b64encode(to_msgpack(bad)).decode()
            self.refuse({**form, "state": packed}, (part, name))
        for bad in (
            {},
            {"layers": None},
            {**state, "layers": state["layers"][1:]},
            {**state, "random": None},
            {**state, "layers": [{**layer, "ale": {"state": b""}} for layer in state["layers"]]},
        ):
            packed = base64.b64encode(msgspec.msgpack.encode(bad, enc_hook=as_json)).decode()
            self.refuse({**form, "state": packed}, list(bad))

    def test_a_state_of_an_emulator_is_not_taken(self):
        made = self.begun(Recipe("PongNoFrameskip-v4"))
        kept = self.service._snapshots.get(self.service.snapshot(made).snapshot_id)
        self.assertEqual(kept.captured.kind, "native")
        form = self.service.snapshot_form(made, self.service.snapshot(made).snapshot_id)
        state = base64.b64encode(kept.captured.data).decode()
        with self.assertRaisesRegex(BadValue, "from nobody"):
            self.service.create_from(None, {**form, "kind": "native", "state": state})

    def test_steps_that_take_too_long(self):
        made = self.begun(Recipe("CartPole-v1"))
        form = self.service.snapshot_form(made, self.service.snapshot(made).snapshot_id)
        form |= {"kind": "replay", "events": [{"reset": {"seed": 1}}, {"actions": [0] * 3}]}
        parsed = read({**form, "digest": "0" * 64})
        self.assertEqual(parsed.start.most_s, 300)
        late = replace(parsed.start, most_s=-1)
        with self.assertRaisesRegex(Unsupported, "too long"):
            replay(late, parsed.recipe, Policy())


def paths(value, path=()):
    """Where each value stands."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        if isinstance(item, (dict, list)):
            yield from paths(item, (*path, key))


def placed(value, path):
    for key in path:
        value = value[key]
    return value


def changed(value, path, item):
    """A copy, with another value in that place."""
    new = copy.deepcopy(value)
    placed(new, path[:-1])[path[-1]] = item
    return new


class Wire(ServerCase):
    def test_a_life(self):
        env = create(self.server)
        self.assertEqual(post(self.server, f"{env}/snapshot/")[2]["code"], "reset_needed")
        post(self.server, f"{env}/reset/")
        status, _, taken = post(self.server, f"{env}/snapshot/")
        self.assertEqual((status, taken["kind"], len(taken["snapshot_id"])), (200, "copy", 16))
        status, _, form = get(self.server, f"{env}/snapshot/{taken['snapshot_id']}")
        self.assertEqual(status, 200, form)
        made = []
        for body in ({"snapshot_id": taken["snapshot_id"]}, {"snapshot": form}):
            status, _, reply = post(self.server, "/v1/envs/", body)
            self.assertEqual((status, list(reply)), (200, ["instance_id"]), reply)
            made.append(f"/v1/envs/{reply['instance_id']}")
        for action in (0, 1) * 10:
            body = {"action": action}
            told = [post(self.server, f"{one}/step/", body)[2] for one in (env, *made)]
            self.assertEqual(told, told[:1] * 3)

    def test_refusals(self):
        env = create(self.server)
        for body, status, code in (
            ({}, 400, "missing_parameter"),
            ({"snapshot_id": None, "snapshot": {}}, 400, "bad_value"),
            ({"snapshot_id": "none"}, 404, "unknown_snapshot"),
            ({"snapshot_id": 1}, 400, "bad_value"),
            ({"snapshot": "x"}, 400, "bad_value"),
            ({"snapshot": {"format": "x"}, "snapshot_id": "x"}, 400, "bad_value"),
            ({"snapshot_id": "x", "env_id": "CartPole-v1"}, 400, "bad_value"),
            ({"snapshot_id": "x", "num_envs": 2}, 400, "bad_value"),
        ):
            with self.subTest(body):
                got, _, reply = post(self.server, "/v1/envs/", body)
                self.assertEqual((got, reply["code"]), (status, code), reply)
        for path, code in (
            (f"{env}/snapshot/none/", "unknown_snapshot"),
            (f"{env}/snapshot/%20%00/", "unknown_snapshot"),
        ):
            status, _, reply = get(self.server, path)
            self.assertEqual((status, reply["code"]), (404, code))
        self.assertEqual(
            post(self.server, "/v1/envs/none/snapshot/")[2]["code"], "unknown_instance"
        )

    def test_the_client(self):
        with gym_http_client.Client(self.server.url) as client:
            made = client.env_create("Pendulum-v1", seed=3)
            client.env_reset(made)
            client.env_step(made, [0.5])
            snapshot_id = client.env_snapshot(made)
            form = json.loads(json.dumps(client.env_snapshot_get(made, snapshot_id)))
            others = [
                client.env_create(None, snapshot_id=snapshot_id),
                client.env_create(None, snapshot=form),
            ]
            told = [client.env_step(one, [-1.0]) for one in (made, *others)]
            self.assertEqual(told, told[:1] * 3)
            for one in (made, *others):
                client.env_close(one)
