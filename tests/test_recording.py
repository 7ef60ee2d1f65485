"""Recordings, without a server: the files, what is counted, and reading them back."""

import json
import os
import unittest

import numpy as np
from nose2.tools import params

from gym_http.errors import (
    BadDirectory,
    NoRecording,
    RecordingExists,
    RecordingOpen,
)
from gym_http.recording import files, reader
from gym_http.recording.recorder import every, gyms_schedule, never
from tests.recordings import ENV_INFO, Recordings, one_step


class Files(Recordings):
    def test_are_gyms(self):
        recorder = self.recorder()
        self.play(recorder, 3, 5)
        recorder.close()
        names = sorted(path.name for path in self.directory.iterdir())
        self.assertEqual(len(names), 2)
        pid = os.getpid()
        self.assertRegex(names[0], rf"^openaigym\.episode_batch\.\d+\.{pid}\.stats\.json$")
        self.assertRegex(names[1], rf"^openaigym\.manifest\.\d+\.{pid}\.manifest\.json$")
        self.assertEqual(
            self.content("*.stats.json"),
            {
                "initial_reset_timestamp": 1.0,
                "timestamps": [2.0, 3.0],
                "episode_lengths": [3, 5],
                "episode_rewards": [3.0, 5.0],
                "episode_types": ["t", "t"],
            },
        )
        self.assertEqual(
            self.content("*.manifest.json"),
            {"stats": names[0], "videos": [], "env_info": ENV_INFO},
        )

    def test_an_episode_cut_short_is_not_counted(self):
        recorder = self.recorder()
        recorder.reset()
        recorder.step(one_step(100.0, False))
        self.play(recorder, 2)
        recorder.reset()
        recorder.step(one_step(100.0, False))
        recorder.close()
        self.assertEqual(self.content("*.stats.json")["episode_rewards"], [2.0])

    def test_an_empty_recording(self):
        self.recorder().close()
        self.assertIsNone(self.content("*.stats.json")["initial_reset_timestamp"])
        with self.assertRaisesRegex(NoRecording, "no episode was finished"):
            reader.load(self.directory)

    def test_while_it_runs_every_episode_is_on_disk_in_one_line(self):
        recorder = self.recorder()
        sizes = []
        for _ in range(200):
            self.play(recorder, 1)
            sizes.append(self.only("*.journal.jsonl").stat().st_size)
        growth = np.diff(sizes)
        self.assertLess(growth.max() - growth.min(), 4)  # a digit more of time, no more
        self.assertEqual(list(self.directory.glob("*.manifest.json")), [])
        recorder.close()
        self.assertEqual(len(self.content("*.stats.json")["timestamps"]), 200)

    def test_infixes_are_never_used_twice(self):
        self.directory.mkdir(parents=True)
        taken = next(files._monitor_ids) + 1
        stranger = files.stats_path(self.directory, f"{taken}.{os.getpid()}")
        stranger.write_text("{}")
        recorder = self.recorder(resume=True)
        recorder.close()
        self.assertEqual(stranger.read_text(), "{}")


class ForceAndResume(Recordings):
    def test_neither(self):
        self.recorder().close()
        with self.assertRaisesRegex(RecordingExists, "force.*resume"):
            self.recorder()

    def test_force_deletes_the_monitors_files_and_nothing_else(self):
        recorder = self.recorder()
        self.play(recorder, 2)
        recorder.close()
        others = [self.directory / name for name in ("notes.txt", "openaigym.notes.txt", "x.mp4")]
        for path in others:
            path.write_text("mine")
        outside = self.directory.parent / "outside"
        outside.write_text("mine")
        files.video_path(self.directory, "0.1", 0, ".mp4").symlink_to(outside)
        files.manifest_path(self.directory, "0.2").mkdir()
        recorder = self.recorder(force=True)
        self.play(recorder, 7)
        recorder.close()
        self.assertEqual(self.content("*.stats.json")["episode_lengths"], [7])
        self.assertEqual([path.read_text() for path in [*others, outside]], ["mine"] * 4)
        self.assertTrue(files.manifest_path(self.directory, "0.2").is_dir())
        self.assertFalse(files.video_path(self.directory, "0.1", 0, ".mp4").is_symlink())

    def test_resume_adds(self):
        for length in (2, 4):
            recorder = self.recorder(resume=True)
            self.play(recorder, length)
            recorder.close()
        merged = reader.load(self.directory)
        self.assertEqual(merged.episode_lengths, [2, 4])
        self.assertEqual(merged.data_sources, [0, 1])
        self.assertEqual(merged.initial_reset_timestamp, 1.0)

    @params({}, {"force": True})
    def test_another_monitor_is_there(self, flags):
        recorder = self.recorder()
        self.play(recorder, 2)
        with self.assertRaises(RecordingOpen):
            self.recorder(**flags)
        other = self.recorder(resume=True)
        self.play(other, 3)
        with self.assertRaisesRegex(RecordingOpen, "close it first"):
            reader.load(self.directory)
        recorder.close(), other.close()
        self.assertEqual(reader.load(self.directory).episode_lengths, [2, 3])


class Reading(Recordings):
    def test_merges_in_the_order_of_time(self):
        first, second = self.recorder(), self.recorder(resume=True)
        for length in (1, 2, 3, 4):
            self.play(first if length % 2 else second, length)
        first.close(), second.close()
        self.assertEqual(reader.load(self.directory).episode_lengths, [1, 2, 3, 4])
        self.assertEqual(reader.load(self.directory).data_sources, [0, 1, 0, 1])

    def test_a_gym_recording_with_one_type_more(self):
        self.directory.mkdir(parents=True)
        stats = {
            "initial_reset_timestamp": 10.0,
            "timestamps": [11.0, 12.0],
            "episode_lengths": [5, 6],
            "episode_rewards": [5.0, 6.0],
            "episode_types": ["t", "e", "t"],
        }
        manifest = {
            "stats": "openaigym.episode_batch.0.77.stats.json",
            "videos": [["openaigym.video.0.77.video000000.mp4", "meta.json"]],
            "env_info": {"gym_version": "0.7.4", "env_id": "CartPole-v0"},
        }
        files.stats_path(self.directory, "0.77").write_text(json.dumps(stats))
        files.manifest_path(self.directory, "0.77").write_text(json.dumps(manifest))
        recording = reader.load(self.directory)
        self.assertEqual(recording.episode_types, ["t", "e"])
        self.assertEqual(recording.videos[0][0].parent, self.directory)

    def test_of_different_environments(self):
        other = {**ENV_INFO, "env_id": "Acrobot-v1"}
        recorder = self.recorder()
        self.play(recorder, 2)
        recorder.close()
        with self.assertRaisesRegex(RecordingExists, "of another environment"):
            self.recorder(env_info=other, resume=True)
        manifest = {"stats": self.only("*.stats.json").name, "videos": [], "env_info": other}
        files.manifest_path(self.directory, "9.9").write_text(json.dumps(manifest))
        with self.assertRaisesRegex(NoRecording, "different environments"):
            reader.load(self.directory)

    @params(
        "{",
        "[]",
        "{}",
        '{"stats": "gone.json", "videos": [], "env_info": {}}',
        '{"stats": 5}',
        '{"stats": "gone.json", "env_info": null}',
        "[" * 100_000,
    )
    def test_a_manifest_that_is_none(self, text):
        self.directory.mkdir(parents=True)
        files.manifest_path(self.directory, "0.1").write_text(text)
        with self.assertRaises(NoRecording):
            reader.load(self.directory)

    @params(
        "[]",
        '{"timestamps": [1.0]}',
        '{"timestamps": 5}',
        '{"timestamps": [1], "episode_lengths": [1], "episode_rewards": ["a"]}',
        '{"timestamps": [1], "episode_lengths": [1], "episode_rewards": [1]}',
        "[" * 100_000,
    )
    def test_stats_that_are_none(self, text):
        self.recorder().close()
        self.only("*.stats.json").write_text(text)
        with self.assertRaises(NoRecording):
            reader.load(self.directory)

    @params({}, {"gym_version": "1"}, {"env_id": None}, {"env_id": ["x"]})
    def test_of_nobody_knows_what(self, env_info):
        recorder = self.recorder()
        self.play(recorder, 2)
        recorder.close()
        manifest = {**self.content("*.manifest.json"), "env_info": env_info}
        self.only("*.manifest.json").write_text(json.dumps(manifest))
        with self.assertRaisesRegex(NoRecording, "don't say"):
            reader.load(self.directory)

    def test_what_only_looks_like_a_recording(self):
        self.directory.mkdir(parents=True)
        files.journal_path(self.directory, "0.1").mkdir()
        files.journal_path(self.directory, "0.2").symlink_to("/no/such/file")
        files.manifest_path(self.directory, "0.3").mkdir()
        with self.assertRaises(NoRecording):
            reader.load(self.directory)

    def test_a_manifest_cannot_point_out_of_its_directory(self):
        recorder = self.recorder()
        self.play(recorder, 2)
        recorder.close()
        stats = self.only("*.stats.json")
        stats.rename(self.directory.parent / stats.name)
        manifest = self.content("*.manifest.json")
        manifest["stats"] = f"../{stats.name}"
        self.only("*.manifest.json").write_text(json.dumps(manifest))
        with self.assertRaises(NoRecording):
            reader.load(self.directory)

    def test_nothing_there(self):
        with self.assertRaises(BadDirectory):
            reader.load(self.directory)
        self.directory.mkdir(parents=True)
        with self.assertRaises(NoRecording):
            reader.load(self.directory)


class Schedules(unittest.TestCase):
    def test_gyms(self):
        filmed = [episode for episode in range(3001) if gyms_schedule(episode)]
        self.assertEqual(filmed, [n**3 for n in range(10)] + [1000, 2000, 3000])

    def test_every(self):
        self.assertEqual([e for e in range(10) if every(4)(e)], [0, 4, 8])

    def test_never(self):
        self.assertFalse(any(map(never, range(10))))
