"""Frames -> a file that a browser plays: H.264 in mp4, or asciicast v1 where the frames are text.

PyAV brings the encoder in its wheel and works in this process, a frame at a time, so that an
episode of any length takes the same memory.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gym_http import importing
from gym_http.errors import DependencyMissing
from gym_http.recording import files, opening

log = logging.getLogger(__name__)

CLEAR_SCREEN = "\x1b[2J\x1b[1;1H"


def require_encoder(render_mode: object) -> None:
    """Raises DependencyMissing where films of that render mode can't be made; those of text can."""
    if render_mode != "ansi" and importlib.util.find_spec("av") is None:
        raise DependencyMissing("videos need PyAV: pip install av")


class Video:
    """The film of one episode. Trouble with it is written into its meta file, never raised."""

    def __init__(
        self, directory: Path, infix: str, episode: int, fps: float, frame: Callable[[], Any]
    ) -> None:
        """frame: gives the present frame: (height, width, 3) uint8, a string, or None."""
        self._path = partial(files.video_path, directory, infix, episode)
        self._episode = episode
        self._fps = fps
        self._frame = frame
        self._film: _Mp4 | _Asciicast | None = None
        self._trouble: str | None = None

    def add(self) -> None:
        """Take the present frame."""
        if self._trouble is not None:
            return
        try:
            frame = self._frame()
            if frame is None:
                return
            if self._film is None:
                film = _Asciicast if isinstance(frame, str) else _Mp4
                self._film = film(self._path, self._fps)
            self._film.add(frame)
        except (Exception, SystemExit) as error:  # the environment's own code drew it
            self._give_up(error)

    def close(self) -> tuple[str, str] | None:
        """Finish the files: their names, video and meta; None where there is no video to play."""
        meta: dict[str, Any] = {"episode_id": self._episode}
        video: Path | None = None
        if self._film is not None and self._trouble is None:
            meta.update(self._film.meta)
            try:
                video = self._film.close()
            except Exception as error:
                self._give_up(error)
        if self._trouble is not None:
            meta.update(broken=True, reason=self._trouble)
        elif self._film is None:
            meta["empty"] = True
        meta_path = self._path(".meta.json")
        try:
            files.write_whole(meta_path, meta)
        except OSError as error:
            log.error("no meta file for a video: %s", error)
            return None
        return (video.name, meta_path.name) if video else None

    def _give_up(self, error: BaseException) -> None:
        log.error("the video of episode %d is lost: %s", self._episode, error, exc_info=error)
        self._trouble = f"{type(error).__name__}: {error}"
        if self._film is not None:
            self._film.discard()


class _Mp4:
    def __init__(self, path: Callable[[str], Path], fps: float) -> None:
        av = importing.module("av")  # 100 MB of libraries: only who films loads them
        self._whole = path(".mp4")
        self._part = path(".mp4.part")
        self._av = av
        os.close(opening.made(self._part))  # so that PyAV finds a file of ours, and no one's link
        self._container = av.open(
            str(self._part), "w", format="mp4", options={"movflags": "faststart"}
        )
        self._fps = Fraction(fps).limit_denominator(1000)
        self._stream: Any = None
        encoder = ".".join(str(part) for part in av.library_versions["libavcodec"])
        self.meta = {
            "content_type": "video/mp4",
            "encoder_version": {
                "backend": "pyav",
                "version": av.__version__,
                "libavcodec": encoder,
            },
        }

    def add(self, frame: Any) -> None:
        pixels = _even(np.asarray(frame))
        if self._stream is None:
            self._stream = self._container.add_stream(
                "libx264", rate=self._fps, options={"preset": "veryfast"}
            )
            self._stream.height, self._stream.width = pixels.shape[:2]
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.thread_count = 1  # many films share the machine
        if pixels.shape[:2] != (self._stream.height, self._stream.width):
            raise ValueError(f"the frame's size changed to {pixels.shape[1]}x{pixels.shape[0]}")
        picture = self._av.VideoFrame.from_ndarray(pixels, format="rgb24")
        self._container.mux(self._stream.encode(picture))

    def close(self) -> Path:
        self._container.mux(self._stream.encode(None))
        self._container.close()
        os.replace(self._part, self._whole)
        return self._whole

    def discard(self) -> None:
        try:
            self._container.close()
        except Exception as error:
            log.debug("closing a broken video: %s", error)
        self._part.unlink(missing_ok=True)


class _Asciicast:
    def __init__(self, path: Callable[[str], Path], fps: float) -> None:
        self._whole = path(".json")
        self._pause_s = 1 / fps
        self._lines: list[tuple[float, str]] = []
        self._width = self._height = 1
        self.meta = {
            "content_type": "video/vnd.openai.ansivid",
            "encoder_version": {"backend": "asciicast", "version": 1},
        }

    def add(self, frame: str) -> None:
        rows = frame.split("\n")
        self._width = max(self._width, *(len(row) for row in rows))
        self._height = max(self._height, len(rows))
        self._lines.append((self._pause_s, CLEAR_SCREEN + frame.replace("\n", "\r\n")))

    def close(self) -> Path:
        files.write_whole(
            self._whole,
            {
                "version": 1,
                "width": self._width,
                "height": self._height,
                "duration": self._pause_s * len(self._lines),
                "title": "gym-http recording",
                "env": {},
                "stdout": self._lines,
            },
        )
        return self._whole

    def discard(self) -> None:
        self._lines.clear()


def _even(frame: np.ndarray) -> np.ndarray:
    """(height, width, 3) uint8 with even sides, which yuv420p needs; the last row or column
    stands twice where one was odd."""
    if frame.ndim != 3 or frame.shape[2] not in (3, 4):
        raise ValueError(f"a frame of shape {frame.shape} is no picture")
    frame = frame[:, :, :3]
    if frame.dtype != np.uint8:
        frame = np.clip(frame, 0, 255).astype(np.uint8)
    height, width = frame.shape[:2]
    frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(frame)
