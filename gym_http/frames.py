"""The present frame of an environment, and a picture made of it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from gym_http.backends.contract import Backend
from gym_http.errors import NotRenderable


def present_frame(env: Backend) -> Any:
    """(height, width, 3) uint8, a text renderer's string, or None where nothing is drawn."""
    try:
        frame = env.render()
    except NotImplementedError:
        return None
    if isinstance(frame, list):  # the "…_list" modes give all frames since the last call
        return frame[-1] if frame else None
    return frame


def png_of(frame: Any) -> bytes:
    """The frame as a PNG. Raises NotRenderable where it isn't a picture."""
    pixels = np.asarray(frame)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise NotRenderable(f"the frame is an array of {pixels.dtype} {list(pixels.shape)}")
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "png", compress_level=1)
    return out.getvalue()
