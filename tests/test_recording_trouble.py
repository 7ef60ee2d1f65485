"""Recordings after a kill, on a full disk, and with others at the same directory."""

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from unittest import mock

from gym_http.errors import (
    BadDirectory,
    NoRecording,
    RecordingExists,
    RecordingOpen,
    StorageFailed,
)
from gym_http.recording import files, journal, reader
from gym_http.recording.recorder import every
from tests.recordings import Recordings
from tests.support import ROOT, at_once


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


class TheRenderer(Recordings):
    def test_an_exit_while_the_last_frame_is_drawn(self):
        count = iter(range(3))

        def frame():
            if next(count) == 2:
                raise SystemExit(1)

        recorder = self.recorder(film=every(1), frame=frame)
        with self.assertLogs("gym_http.recording.video", "ERROR"):
            self.play(recorder, 2)
        recorder.close()
        self.assertEqual(reader.load(self.directory).episode_lengths, [2])


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
        at_once(*(partial(record, n) for n in (1, 2, 3)), read, read)
        self.assertEqual(wrong, [])
        lengths = reader.load(self.directory).episode_lengths
        self.assertEqual(sorted(lengths), [1] * 15 + [2] * 15 + [3] * 15)

    def test_only_one_gets_a_fresh_directory(self):
        outcomes = []

        def start():
            with contextlib.suppress(RecordingExists, RecordingOpen):
                outcomes.append(self.recorder())

        at_once(*[start] * 8)
        self.assertEqual(len(outcomes), 1)
        outcomes[0].close()

    def test_a_directory_that_another_process_keeps(self):
        self.directory.mkdir(parents=True)
        fd = os.open(self.directory, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        self.assertTrue(files.lock(fd))
        with mock.patch.object(files, "LONGEST_HOLD_S", 0.05):
            for call in (self.recorder, lambda: reader.load(self.directory)):
                with self.assertRaisesRegex(RecordingOpen, "locked by another process"):
                    call()

    def test_readers_of_a_killed_recording(self):
        recorder = self.recorder()
        self.play(recorder, 2)
        os.close(recorder._journal._fd)
        outcomes = []

        def read():
            outcomes.append(reader.load(self.directory).episode_lengths)

        at_once(*[read] * 8)
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
