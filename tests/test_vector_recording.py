"""The monitor on a vector environment: each of its environments' episodes is counted."""

import json

import numpy as np
from nose2.tools import params

from tests.support import ServerCase, create, get, post


class Monitored(ServerCase):
    def recorded(self, autoreset, steps, video_callable=False, **made):
        """(stats, manifest, [done of each step]) of CartPoles that always go left."""
        env = create(self.server, "CartPole-v1", num_envs=3, autoreset=autoreset, **made)
        directory = self.scratch / "recording"
        post(
            self.server,
            env + "/monitor/start/",
            {"directory": str(directory), "video_callable": video_callable},
        )
        post(self.server, env + "/reset/", {"seed": 3})
        dones = []
        for _ in range(steps):
            status, _, reply = post(self.server, env + "/step/", {"action": [0, 0, 0]})
            self.assertEqual(status, 200, reply)
            dones.append(reply["done"])
            if autoreset == "disabled" and any(reply["done"]):
                mask = {"options": {"reset_mask": reply["done"]}}
                self.assertEqual(post(self.server, env + "/reset/", mask)[0], 200)
        _, _, facts = get(self.server, env)
        self.assertEqual(facts["episodes"], int(np.sum(dones)))
        post(self.server, env + "/monitor/close/")
        (stats,) = directory.glob("*.stats.json")
        (manifest,) = directory.glob("*.manifest.json")
        return json.loads(stats.read_text()), json.loads(manifest.read_text()), dones

    @params(
        ("next_step", "sync"), ("same_step", "sync"), ("disabled", "sync"),
        ("next_step", "async"), ("next_step", "native"),
    )  # fmt: skip
    def test_every_episode_is_counted(self, autoreset, vectorization):
        stats, manifest, dones = self.recorded(autoreset, 40, vectorization=vectorization)
        self.assertEqual(stats["episode_lengths"], lengths(dones, autoreset))
        self.assertGreater(len(stats["episode_lengths"]), 9)
        self.assertEqual(stats["episode_rewards"], [float(n) for n in stats["episode_lengths"]])
        self.assertEqual(stats["episode_types"], ["t"] * len(stats["episode_lengths"]))
        self.assertEqual(stats["timestamps"], sorted(stats["timestamps"]))
        self.assertLessEqual(stats["initial_reset_timestamp"], stats["timestamps"][0])
        self.assertEqual(manifest["env_info"]["env_id"], "CartPole-v1")

    def test_it_can_be_uploaded(self):
        self.recorded("next_step", 400)
        directory = str(self.scratch / "recording")
        body = {"training_dir": directory, "api_key": "me", "algorithm_id": "left"}
        self.assertEqual(post(self.server, "/v1/upload/", body)[2], {})
        entries = get(self.server, "/v1/scoreboard/?env_id=CartPole-v1")[2]["entries"]
        mine = next(entry for entry in entries if entry["algorithm_id"] == "left")
        self.assertGreater(mine["number_episodes"], 100)
        self.assertTrue(8 < mine["mean"] < 11, mine["mean"])

    @params("next_step", "same_step")
    def test_films_are_of_single_episodes(self, autoreset):
        """Those of the numbers asked for, in the order in which the episodes began."""
        import av

        _, manifest, dones = self.recorded(autoreset, 25, video_callable=2)
        names = [video for video, _ in manifest["videos"]]
        numbers = [int(name.split("video")[-1].partition(".")[0]) for name in names]
        self.assertEqual([number % 2 for number in numbers], [0] * len(numbers))
        self.assertIn(0, numbers)
        with av.open(str(self.scratch / "recording" / names[numbers.index(0)])) as film:
            frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
        first = lengths(dones, autoreset, only=0)[0]
        self.assertEqual(frames[0].shape, (400, 600, 3))
        self.assertEqual(len(frames), first + (autoreset == "next_step"))

    def test_eight_films_at_a_time(self):
        env = create(self.server, "CartPole-v1", num_envs=10)
        directory = self.scratch / "many"
        body = {"directory": str(directory), "video_callable": 1}
        post(self.server, env + "/monitor/start/", body)
        post(self.server, env + "/reset/", {"seed": 1})
        for _ in range(6):
            self.assertEqual(post(self.server, env + "/step/", {"action": [0] * 10})[0], 200)
        post(self.server, env + "/monitor/close/")
        self.assertEqual(len(list(directory.glob("*.mp4"))), 8)


def lengths(dones, autoreset, only=None):
    """How long the episodes were, by the ends that the steps told of."""
    running, found, resetting = [0] * 3, [], [False] * 3
    for done in dones:
        for which in range(3):
            if resetting[which]:
                resetting[which] = False
                continue
            running[which] += 1
            if done[which]:
                if only in (None, which):
                    found.append(running[which])
                running[which] = 0
                resetting[which] = autoreset == "next_step"
    return found
