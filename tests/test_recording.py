"""Recordings, without a server: the files, what is counted, and reading them back."""

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import numpy as np
from nose2.tools import params

from gym_http.errors import (
    BadDirectory,
    NoRecording,
    RecordingExists,
    RecordingOpen,
    StorageFailed,
)
from gym_http.recording import files, journal, reader
from gym_http.recording.recorder import every, gyms_schedule, never
from tests.recordings import ENV_INFO, Recordings
from tests.support import ROOT


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
        recorder.step(100.0, False)
        self.play(recorder, 2)
        recorder.reset()
        recorder.step(100.0, False)
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
        others = [self.directory / name for name in ("notes.txt", "openaigymnastics.txt", "x.mp4")]
        for path in others:
            path.write_text("mine")
        outside = self.directory.parent / "outside"
        outside.write_text("mine")
        (self.directory / "openaigym.link").symlink_to(outside)
        (self.directory / "openaigym.dir").mkdir()
        recorder = self.recorder(force=True)
        self.play(recorder, 7)
        recorder.close()
        self.assertEqual(self.content("*.stats.json")["episode_lengths"], [7])
        self.assertEqual([path.read_text() for path in [*others, outside]], ["mine"] * 4)
        self.assertTrue((self.directory / "openaigym.dir").is_dir())
        self.assertFalse((self.directory / "openaigym.link").exists())

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


class AfterAKill(Recordings):
    """What a killed process leaves: a journal without its lock."""

    def leave(self, *lengths, torn=b""):
        recorder = self.recorder(resume=True)
        self.play(recorder, *lengths)
        path = files.journal_path(self.directory, recorder._infix)
        os.close(recorder._journal._fd)
        with path.open("ab") as file:
            file.write(torn)
        return path

    def test_the_next_reader_folds_it(self):
        path = self.leave(2, 3, torn=b'{"kind": "episode", "times')
        part = files.video_path(self.directory, files.infix_of(path), 0, ".mp4.part")
        part.write_bytes(b"half a film")
        self.assertEqual(reader.load(self.directory).episode_lengths, [2, 3])
        self.assertFalse(path.exists() or part.exists())
        self.assertEqual(self.content("*.stats.json")["episode_lengths"], [2, 3])
        self.assertEqual(reader.load(self.directory).episode_lengths, [2, 3])

    def test_resume_goes_on_behind_it(self):
        self.leave(2)
        recorder = self.recorder(resume=True)
        self.play(recorder, 5)
        recorder.close()
        self.assertEqual(reader.load(self.directory).episode_lengths, [2, 5])

    def test_without_resume_it_counts_as_a_recording(self):
        self.leave(2)
        with self.assertRaises(RecordingExists):
            self.recorder()

    def test_killed_while_folding(self):
        path = self.leave(2)
        lines = path.read_bytes()
        journal.fold(path)
        path.write_bytes(lines)  # as if the process had died before its last line
        self.assertEqual(reader.load(self.directory).episode_lengths, [2])

    def test_killed_before_its_first_line(self):
        path = self.leave(2)
        path.write_bytes(path.read_bytes()[:10])
        with self.assertRaises(NoRecording):
            reader.load(self.directory)

    def test_a_directory_that_can_only_be_read(self):
        path = self.leave(4)
        code = (
            "import os, sys, pathlib\n"
            "from gym_http.recording import reader\n"
            "if os.getuid() == 0: os.setuid(65534)\n"
            "print(reader.load(pathlib.Path(sys.argv[1])).episode_lengths)\n"
        )
        for part in (self.directory, *self.directory.parents):
            if part.is_relative_to(tempfile.gettempdir()) and part != Path(tempfile.gettempdir()):
                part.chmod(0o555)
                self.addCleanup(part.chmod, 0o755)
        ended = subprocess.run(
            [sys.executable, "-c", code, str(self.directory)],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        self.assertEqual((ended.stdout, ended.returncode), ("[4]\n", 0), ended.stderr)
        self.assertTrue(path.exists())

    def test_a_journal_with_rubbish_in_the_middle(self):
        path = self.leave(4)
        for line in (b"rubbish", b"5", b'{"kind": "episode", "timestamp": "x"}', b"[" * 100_000):
            path.write_bytes(path.read_bytes() + line + b"\n")
        whole = b'{"kind": "episode", "timestamp": 9, "length": 6, "reward": 1, "type": "t"}\n'
        path.write_bytes(path.read_bytes() + whole)
        with self.assertLogs("gym_http.recording.journal", "WARNING") as logged:
            self.assertEqual(reader.load(self.directory).episode_lengths, [4, 6])
        self.assertEqual(len(logged.output), 4)


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


class TheDisk(Recordings):
    def test_a_file_where_the_directory_should_be(self):
        self.directory.parent.mkdir()
        self.directory.write_text("a file")
        with self.assertRaisesRegex(BadDirectory, "recording"):
            self.recorder()

    def test_briefly_full(self):
        """The line that didn't fit is lost, whole; those before and behind it are not. The
        failure waits for close: a step that the environment made is answered."""
        recorder = self.recorder()
        self.play(recorder, 2)
        size = self.only("*.journal.jsonl").stat().st_size
        with largest_file(size + 30), self.assertLogs("gym_http.recording.recorder", "ERROR"):
            self.play(recorder, 3)
        self.play(recorder, 4)
        with self.assertRaisesRegex(StorageFailed, "incomplete: No space"):
            recorder.close()
        self.assertEqual(reader.load(self.directory).episode_lengths, [2, 4])

    def test_full_from_the_start(self):
        before = len(os.listdir("/dev/fd"))
        with largest_file(0), self.assertRaisesRegex(BadDirectory, "can't record"):
            self.recorder()
        self.assertEqual(os.listdir(self.directory), [])
        self.assertEqual(len(os.listdir("/dev/fd")), before)
        self.recorder().close()


class AtOnce(Recordings):
    def test_monitors_and_readers_of_one_directory(self):
        """Agents that begin, end and score recordings in one directory, all at once: no
        acknowledged episode is lost, and nothing fails but for a reason."""
        wrong = []

        def record(length):
            try:
                for _ in range(15):
                    recorder = self.recorder(resume=True)
                    self.play(recorder, length)
                    recorder.close()
            except Exception as error:
                wrong.append(error)

        def read():
            for _ in range(30):
                try:
                    reader.load(self.directory)
                except (NoRecording, RecordingOpen):
                    pass
                except Exception as error:
                    wrong.append(error)

        self.recorder().close()
        threads = [threading.Thread(target=record, args=(n,)) for n in (1, 2, 3)]
        threads += [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        lengths = reader.load(self.directory).episode_lengths
        self.assertEqual(sorted(lengths), [1] * 15 + [2] * 15 + [3] * 15)

    def test_only_one_gets_a_fresh_directory(self):
        outcomes = []

        def start():
            with contextlib.suppress(RecordingExists, RecordingOpen):
                outcomes.append(self.recorder())

        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(outcomes), 1)
        outcomes[0].close()

    def test_readers_of_a_killed_recording(self):
        recorder = self.recorder()
        self.play(recorder, 2)
        os.close(recorder._journal._fd)
        outcomes = []

        def read():
            outcomes.append(reader.load(self.directory).episode_lengths)

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(outcomes, [[2]] * 8)


@contextlib.contextmanager
def largest_file(size):
    """Let no file of this process grow beyond `size` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Schedules(unittest.TestCase):
    def test_gyms(self):
        filmed = [episode for episode in range(3001) if gyms_schedule(episode)]
        self.assertEqual(filmed, [n**3 for n in range(10)] + [1000, 2000, 3000])

    def test_every(self):
        self.assertEqual([e for e in range(10) if every(4)(e)], [0, 4, 8])

    def test_never(self):
        self.assertFalse(any(map(never, range(10))))
