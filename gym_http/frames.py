"""The present frame of an environment, and a picture made of it."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from gym_http.backends.contract import Backend
from gym_http.errors import NotRenderable

MOST_FRAMES = 64  # of a vector environment: pictures of thousands would fill the memory


def present_frames(env: Backend, num_envs: int | None) -> Sequence[Any]:
    """A list of the frame of each environment, or a tuple of the one where it is single: (height,
    width, 3) uint8, a text renderer's string, or None where nothing is drawn."""
    if (num_envs or 1) > MOST_FRAMES:
        raise NotRenderable(f"at most {MOST_FRAMES} environments are drawn, not {num_envs}")
    try:
        frames = env.render()
    except NotImplementedError:
        frames = None
    if num_envs is None:
        return (_last(frames),)
    if frames is None:
        return [None] * num_envs
    return [_last(frame) for frame in frames]


def _last(frame: Any) -> Any:
    if isinstance(frame, list):  # the "…_list" modes give all frames since the last call
        frame = frame[-1] if frame else None
    return frame.copy() if isinstance(frame, np.ndarray) else frame  # some draw into one array


def require_pictures(frames: Sequence[Any]) -> None:
    """Raises NotRenderable where one isn't (height, width, 3 or 4) uint8."""
    for frame in frames:
        pixels = np.asarray(frame)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
            raise NotRenderable(f"the frame is an array of {pixels.dtype} {list(pixels.shape)}")


def png_of(frames: Sequence[np.ndarray]) -> bytes:
    """The frames, which are pictures, side by side as a PNG."""
    out = io.BytesIO()
    Image.fromarray(_tiled(frames)).save(out, "png", compress_level=1)
    return out.getvalue()


def _tiled(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Row by row in a grid about as wide as it is high; what stays empty is black."""
    if len(frames) == 1:
        return np.asarray(frames[0])
    columns = math.ceil(math.sqrt(len(frames)))
    rows = math.ceil(len(frames) / columns)
    height, width, depth = (max(frame.shape[axis] for frame in frames) for axis in range(3))
    grid = np.zeros((rows * height, columns * width, depth), np.uint8)
    for place, frame in enumerate(frames):
        top, left = place // columns * height, place % columns * width
        grid[top : top + frame.shape[0], left : left + frame.shape[1], : frame.shape[2]] = frame
    return grid
