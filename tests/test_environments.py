"""An id -> an environment: both engines, retired ids, modules, arguments."""

import importlib.util
import subprocess
import sys
import unittest

import gymnasium
import numpy as np
from nose2.tools import params

import tests.custom_envs  # noqa: F401  registers what some tests ask for
from gym_http import spaces
from gym_http.catalogue import Policy, registered, reward_threshold_and_trials
from gym_http.environments import Recipe, make
from gym_http.errors import BadValue, DependencyMissing, MakeFailed, MalformedEnvId
from gym_http.wire import from_json, to_json


class Ids(unittest.TestCase):
    @params(
        ("CartPole-v0", "CartPole-v0", None),
        ("MountainCar-v0", "MountainCar-v0", None),
        ("Acrobot-v1", "Acrobot-v1", None),
        ("Pendulum-v0", "Pendulum-v1", "Pendulum-v0 is retired; Pendulum-v1 serves it"),
        ("FrozenLake-v0", "FrozenLake-v1", "FrozenLake-v0 is retired; FrozenLake-v1 serves it"),
        ("Taxi-v3", "Taxi-v4", "Taxi-v3 is retired; Taxi-v4 serves it"),
        ("CartPole", "CartPole-v1", "CartPole is served by its newest version, CartPole-v1"),
    )
    def test_which_one_serves(self, asked, serves, warning):
        made = make(Recipe(asked), Policy())
        self.addCleanup(made.env.close)
        self.assertEqual(
            (made.facts.env_id, made.facts.engine, made.facts.warning),
            (serves, "gymnasium", warning),
        )
        self.assertEqual(made.env.spec.id, serves)

    def test_strict_ids(self):
        with self.assertRaisesRegex(MalformedEnvId, "Pendulum-v1.*--strict-ids"):
            make(Recipe("Pendulum-v0", engine="gymnasium"), Policy(strict_ids=True))

    @params("bad string", "CartPol-v1", "CartPole-v99", "nowhere/CartPole-v1", "-v0", "x" * 5000)
    def test_nobody_knows_it(self, env_id):
        with self.assertRaises(MalformedEnvId) as caught:
            make(Recipe(env_id), Policy())
        message = caught.exception.message
        self.assertTrue(message.startswith("Attempted to look up malformed environment ID '"))
        self.assertLess(len(message), 900)

    def test_near_matches(self):
        with self.assertRaisesRegex(MalformedEnvId, r"Near matches: .*CartPole-v1"):
            make(Recipe("cartpole-v1"), Policy())

    def test_modules_are_imported_only_where_allowed(self):
        asked = Recipe("tests.custom_envs:CustomOdd-v0")
        with self.assertRaisesRegex(MalformedEnvId, "--import tests.custom_envs"):
            make(asked, Policy())
        made = make(asked, Policy(imports=("tests.custom_envs",)))
        self.assertEqual(made.facts.env_id, "CustomOdd-v0")

    @params("GymV26Environment-v0", "GymV21Environment-v0", "GymV26Environment")
    def test_adapters_that_would_import_anything(self, env_id):
        make(Recipe("CartPole-v1", engine="gym"), Policy())  # loads Shimmy
        recipe = Recipe(env_id, kwargs={"env_id": "this:Zen-v0"})
        with self.assertRaisesRegex(MalformedEnvId, "engine 'gym'"):
            make(recipe, Policy())

    @params("os:system", "os.path:CartPole-v1", ":CartPole-v1", "../x:CartPole-v1")
    def test_other_modules_are_not(self, env_id):
        with self.assertRaises(MalformedEnvId):
            make(Recipe(env_id), Policy(imports=("tests.custom_envs",)))


class GymEngine(unittest.TestCase):
    """The archived package, through Shimmy."""

    def test_trajectory_is_gyms_own(self):
        import gym

        theirs = gym.make("CartPole-v1", disable_env_checker=True)
        ours = make(Recipe("CartPole-v1", engine="gym"), Policy())
        self.assertEqual((ours.facts.engine, ours.facts.engine_version), ("gym", "0.26.2"))
        one, other = theirs.reset(seed=3), ours.env.reset(seed=3)
        np.testing.assert_array_equal(one[0], other[0])
        for step in range(200):
            one, other = theirs.step(step % 2), ours.env.step(step % 2)
            np.testing.assert_array_equal(one[0], other[0])
            self.assertEqual(one[1:], other[1:])
            if one[2] or one[3]:
                theirs.reset(), ours.env.reset()

    def test_time_limit(self):
        env = make(Recipe("MountainCar-v0", engine="gym", max_episode_steps=5), Policy()).env
        env.reset(seed=0)
        ends = [env.step(0)[2:4] for _ in range(5)]
        self.assertEqual(ends, [(False, False)] * 4 + [(False, True)])

    def test_draws(self):
        env = make(Recipe("CartPole-v1", engine="gym"), Policy()).env
        env.reset(seed=0)
        self.assertEqual(env.render().shape, (400, 600, 3))

    def test_an_id_that_only_gym_knows(self):
        import gym

        gym.register("OnlyInGym-v0", entry_point="gym.envs.classic_control:CartPoleEnv")
        self.addCleanup(gym.envs.registry.pop, "OnlyInGym-v0")
        made = make(Recipe("OnlyInGym-v0"), Policy())
        self.assertEqual((made.facts.env_id, made.facts.engine), ("OnlyInGym-v0", "gym"))
        with self.assertRaises(MalformedEnvId):
            make(Recipe("OnlyInGym-v0", engine="gymnasium"), Policy())

    def test_the_start_of_a_discrete_survives(self):
        import gym

        class Shifted(gym.Env):
            action_space = gym.spaces.Tuple((gym.spaces.Discrete(3, start=5),))
            observation_space = gym.spaces.Dict({"x": gym.spaces.Discrete(2, start=1)})

        gym.register("Shifted-v0", entry_point=Shifted)
        self.addCleanup(gym.envs.registry.pop, "Shifted-v0")
        env = make(Recipe("Shifted-v0"), Policy()).env
        self.assertEqual(env.action_space[0].start, 5)
        self.assertEqual(env.observation_space["x"].start, 1)

    def test_what_gym_needs_of_numpy_1(self):
        """Acrobot asks for np.float_, Blackjack observes booleans."""
        for env_id in ("Acrobot-v1", "Blackjack-v1"):
            env = make(Recipe(env_id, engine="gym"), Policy()).env
            env.reset(seed=0)
            env.step(0)

    def test_unknown_engines(self):
        with self.assertRaisesRegex(BadValue, "gymnasium, gym"):
            make(Recipe("CartPole-v1", engine="unity"), Policy())


class Arguments(unittest.TestCase):
    def test_kwargs(self):
        recipe = Recipe("FrozenLake-v1", kwargs={"map_name": "8x8", "is_slippery": False})
        self.assertEqual(make(recipe, Policy()).env.observation_space.n, 64)

    def test_kwargs_that_it_does_not_know(self):
        with self.assertRaisesRegex(MakeFailed, "CartPole-v1 could not be made.*colour"):
            make(Recipe("CartPole-v1", kwargs={"colour": "red"}), Policy())

    @params("spec", "self", "", "a b")
    def test_kwargs_of_odd_names(self, name):
        with self.assertRaisesRegex(MakeFailed, "CartPole-v1 could not be made"):
            make(Recipe("CartPole-v1", kwargs={name: 1}), Policy())

    @params("render_mode", "max_episode_steps", "disable_env_checker", "id")
    def test_kwargs_that_are_not_the_environments(self, name):
        with self.assertRaisesRegex(BadValue, name):
            make(Recipe("CartPole-v1", kwargs={name: None}), Policy())

    def test_max_episode_steps(self):
        env = make(Recipe("Pendulum-v1", max_episode_steps=2), Policy()).env
        env.reset(seed=0)
        ends = [env.step(np.zeros(1, np.float32))[3] for _ in range(2)]
        self.assertEqual(ends, [False, True])

    @params(
        ("CartPole-v1", None, "rgb_array"),
        ("FrozenLake-v1", None, "rgb_array"),
        ("FrozenLake-v1", "ansi", "ansi"),
        ("CustomOdd-v0", None, None),
        ("CustomFactory-v0", None, None),
    )
    def test_render_mode(self, env_id, asked, given):
        env = make(Recipe(env_id, render_mode=asked), Policy()).env
        self.addCleanup(env.close)
        self.assertEqual(env.render_mode, given)

    @params(("CartPole-v1", "ansi"), ("CartPole-v1", "human"), ("CustomOdd-v0", "rgb_array"))
    def test_render_modes_that_there_are_not(self, env_id, mode):
        with self.assertRaisesRegex(BadValue, "render_mode"):
            make(Recipe(env_id, render_mode=mode), Policy())

    def test_what_is_not_installed_says_how_to_get_it(self):
        missing = [env for env in registered("gymnasium") if env.missing]
        tried = 0
        for env in missing:
            if not env.missing.startswith("pip"):
                continue
            with self.assertRaises(DependencyMissing, msg=env.env_id):
                make(Recipe(env.env_id), Policy())
            tried += 1
        self.assertEqual(tried > 0, any(env.missing.startswith("pip") for env in missing))


def brought_by_a_package(known):
    spec = gymnasium.registry.get(known.env_id)
    return spec is not None and str(spec.entry_point).startswith(("ale_py.", "minigrid."))


class Packages(unittest.TestCase):
    """Those that register environments when they are imported, which nobody asked for."""

    def in_a_fresh_process(self, code):
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        return ended.stdout

    @params(("ale_py", "ALE/Pong-v5"), ("ale_py", "Pong-v0"), ("minigrid", "MiniGrid-Empty-5x5-v0"))
    def test_an_id_of_theirs_is_enough(self, module, env_id):
        if importlib.util.find_spec(module) is None:
            self.skipTest(f"{module} is not installed")
        told = self.in_a_fresh_process(
            "from gym_http.environments import *; import sys\n"
            f"made = make(Recipe({env_id!r}), Policy())\n"
            f"print(made.facts.env_id, {module!r} in sys.modules)"
        )
        self.assertEqual(told.split(), [env_id, "True"])

    def test_they_stay_out_while_nobody_asks(self):
        told = self.in_a_fresh_process(
            "from gym_http.environments import *; import sys\n"
            "make(Recipe('CartPole-v1'), Policy())\n"
            "print({'ale_py', 'minigrid', 'mujoco', 'Box2D', 'gym'} & set(sys.modules))"
        )
        self.assertEqual(told.strip(), "set()")

    @params(("ALE/Pong-v5", "atari"), ("MiniGrid-Empty-5x5-v0", "minigrid"))
    def test_what_to_install(self, env_id, extra):
        told = self.in_a_fresh_process(
            "from gym_http.environments import *; from gym_http.errors import *\n"
            "from gym_http import suppliers; from dataclasses import replace\n"
            "suppliers.SUPPLIERS = [replace(s, module='no_such') for s in suppliers.SUPPLIERS]\n"
            f"try: make(Recipe({env_id!r}), Policy())\n"
            "except DependencyMissing as error: print(error)"
        )
        self.assertIn(f"make serve EXTRAS={extra}", told)


def is_of_the_tests(known):
    """Whether it was registered beside this one, or is played over there."""
    entry = gymnasium.registry[known.env_id].entry_point if known.engine == "gymnasium" else None
    return getattr(entry, "__module__", "").startswith("tests") or known.env_id.startswith("http/")


class Registry(unittest.TestCase):
    def test_what_it_offers_can_be_played(self):
        """Over the wire and back: sampled actions in, observations out. Of the many that other
        packages bring, every twentieth."""
        offered = [known for known in registered() if known.missing is None]
        brought = [known for known in offered if brought_by_a_package(known)]
        for known in [known for known in offered if known not in brought] + brought[::20]:
            if not is_of_the_tests(known):
                with self.subTest(env_id=known.env_id, engine=known.engine):
                    env = make(Recipe(known.env_id, engine=known.engine), Policy()).env
                    env.action_space.seed(1)
                    env.reset(seed=1)
                    for _ in range(20):
                        sample = env.action_space.sample()
                        wire = from_json(to_json(spaces.encode(env.action_space, sample)))
                        step = env.step(spaces.decode(env.action_space, wire))
                        to_json(spaces.encode(env.observation_space, step[0]))
                        if step[2] or step[3]:
                            env.reset()
                    env.close()

    def test_by_engine(self):
        engines = {env.engine for env in registered()}
        self.assertEqual(engines, {"gymnasium", "gym"})
        self.assertEqual({env.engine for env in registered("gym")}, {"gym"})

    def test_facts(self):
        facts = {env.env_id: env for env in registered("gymnasium")}["CartPole-v1"]
        self.assertEqual((facts.max_episode_steps, facts.reward_threshold), (500, 475.0))
        self.assertNotIn("GymV26Environment-v0", {env.env_id for env in registered()})

    def test_thresholds(self):
        self.assertEqual(reward_threshold_and_trials("CartPole-v0", "gymnasium"), (195.0, 100))
        self.assertEqual(reward_threshold_and_trials("CartPole-v0", "gym"), (195.0, 100))
        self.assertEqual(reward_threshold_and_trials("Gone-v7", "gymnasium"), (None, 100))
        self.assertEqual(reward_threshold_and_trials("CartPole-v0", "unity"), (None, 100))


class Spec(unittest.TestCase):
    def test_making_one_changes_no_spec(self):
        before = repr(gymnasium.spec("CartPole-v1"))
        make(
            Recipe("CartPole-v1", max_episode_steps=3, kwargs={"sutton_barto_reward": True}),
            Policy(),
        )
        self.assertEqual(repr(gymnasium.spec("CartPole-v1")), before)
