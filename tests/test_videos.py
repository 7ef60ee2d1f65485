"""Films of episodes: what is filmed, what a film is made of, and what happens when one fails."""

import json
import re

import numpy as np
from nose2.tools import params

from gym_http.recording import reader
from gym_http.recording.recorder import every
from tests.recordings import Recordings


class Videos(Recordings):
    def frames(self, height=400, width=600, channels=3, dtype=np.uint8):
        count = 0

        def frame():
            nonlocal count
            count += 1
            picture = np.zeros((height, width, channels), dtype)
            picture[:, : width * count // 10] = 200
            return picture

        return frame

    def decoded(self):
        import av

        with av.open(str(self.only("*.mp4"))) as film:
            stream = film.streams.video[0]
            pictures = [picture.to_ndarray(format="rgb24") for picture in film.decode(stream)]
            codec = stream.codec_context
            size_and_rate = (stream.width, stream.height, stream.average_rate)
            return size_and_rate, (codec.name, codec.pix_fmt), pictures

    def test_of_every_second_episode(self):
        recorder = self.recorder(film=every(2), frame=self.frames(), fps=50)
        self.play(recorder, 4, 4, 4)
        recorder.close()
        names = sorted(path.name for path in self.directory.glob("*.mp4"))
        self.assertEqual(
            [re.search(r"video(\d+)", name)[1] for name in names], ["000000", "000002"]
        )
        videos = self.content("*.manifest.json")["videos"]
        self.assertEqual([video for video, _ in videos], names)
        meta = json.loads((self.directory / videos[1][1]).read_text())
        self.assertEqual((meta["episode_id"], meta["content_type"]), (2, "video/mp4"))
        self.assertIn("encoder_version", meta)
        self.assertEqual(list(self.directory.glob("*.part")), [])

    def test_is_h264_with_the_resets_frame_first(self):
        recorder = self.recorder(film=every(1), frame=self.frames(), fps=50)
        self.play(recorder, 4)
        recorder.close()
        size_and_rate, codec, pictures = self.decoded()
        self.assertEqual(codec, ("h264", "yuv420p"))
        self.assertEqual(size_and_rate, (600, 400, 50))
        self.assertEqual(len(pictures), 5)
        for number, picture in enumerate(pictures, start=1):
            bright = (picture[200, :, 0] > 100).sum()
            self.assertAlmostEqual(bright, 60 * number, delta=4)

    @params((35, 51, 3, np.uint8), (34, 50, 4, np.uint8), (34, 50, 3, np.float32))
    def test_frames_of_all_kinds(self, height, width, channels, dtype):
        recorder = self.recorder(film=every(1), frame=self.frames(height, width, channels, dtype))
        self.play(recorder, 2)
        recorder.close()
        (coded_width, coded_height, _), _, pictures = self.decoded()
        self.assertEqual((coded_width, coded_height), (width + width % 2, height + height % 2))
        self.assertEqual(len(pictures), 3)

    def test_text_becomes_an_asciicast(self):
        recorder = self.recorder(film=every(1), frame=lambda: "ab\ncde", fps=4)
        self.play(recorder, 2)
        recorder.close()
        cast = self.content("*.video000000.json")
        self.assertEqual((cast["version"], cast["width"], cast["height"]), (1, 3, 2))
        self.assertEqual(cast["duration"], 0.75)
        self.assertEqual([pause for pause, _ in cast["stdout"]], [0.25] * 3)
        self.assertTrue(cast["stdout"][0][1].endswith("ab\r\ncde"))
        meta = self.content("*.meta.json")
        self.assertEqual(meta["content_type"], "video/vnd.openai.ansivid")

    def test_nothing_is_drawn(self):
        recorder = self.recorder(film=every(1))
        self.play(recorder, 2)
        recorder.close()
        self.assertTrue(self.content("*.meta.json")["empty"])
        self.assertEqual(self.content("*.manifest.json")["videos"], [])

    def test_a_renderer_that_breaks_loses_its_film_and_no_episode(self):
        frames = self.frames()
        count = 0

        def frame():
            nonlocal count
            count += 1
            if count == 3:
                raise RuntimeError("no paint left")
            return frames()

        recorder = self.recorder(film=every(1), frame=frame)
        with self.assertLogs("gym_http.recording.video", "ERROR"):
            self.play(recorder, 5, 2)
        recorder.close()
        broken = json.loads(sorted(self.directory.glob("*.meta.json"))[0].read_text())
        self.assertEqual(
            (broken["broken"], broken["reason"]), (True, "RuntimeError: no paint left")
        )
        self.assertEqual(reader.load(self.directory).episode_lengths, [5, 2])
        self.assertEqual(len(self.content("*.manifest.json")["videos"]), 1)
        self.assertEqual(len(list(self.directory.glob("*.mp4*"))), 1)

    def test_a_frame_that_changes_its_size(self):
        sizes = iter([(34, 50), (36, 50), (36, 50)])
        recorder = self.recorder(film=every(1), frame=lambda: np.zeros((*next(sizes), 3), np.uint8))
        with self.assertLogs("gym_http.recording.video", "ERROR"):
            self.play(recorder, 2)
        recorder.close()
        self.assertTrue(self.content("*.meta.json")["broken"])
