"""What tests of recordings share: a directory, a clock, and episodes."""

import json
import tempfile
import unittest
from pathlib import Path

from gym_http.progress import Stepped
from gym_http.recording.recorder import Recorder, Subject, never

ENV_INFO = {"gym_version": "1.0", "env_id": "CartPole-v1", "engine": "gymnasium"}


def one_step(reward, done):
    return Stepped(reward, done)


class Recordings(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = Path(temporary.name).resolve() / "new" / "recording"
        self.now = 0.0

    def clock(self):
        self.now += 1
        return self.now

    def recorder(self, film=never, frame=lambda: None, fps=30, env_info=ENV_INFO, **flags):
        subject = Subject(env_info, fps, lambda: [frame()])
        return Recorder(self.directory, subject, film, self.clock, **flags)

    def play(self, recorder, *lengths, reward=1.0):
        for length in lengths:
            recorder.reset()
            for step in range(length):
                recorder.step(one_step(reward, step == length - 1))

    def only(self, pattern):
        (path,) = self.directory.glob(pattern)
        return path

    def content(self, pattern):
        return json.loads(self.only(pattern).read_text())
