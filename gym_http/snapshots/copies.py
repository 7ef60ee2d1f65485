"""An environment's state as a pickle of it, which the server makes and keeps to itself: what a
client sent is never unpickled.

What pygame draws on goes along as pixels. Its clocks are made anew, its fonts and windows are left
out, for environments to make when they next need them.
"""

from __future__ import annotations

import io
import pickle
import zlib
from typing import Any

from gym_http import importing
from gym_http.errors import Unsupported


def capture(env: Any) -> bytes:
    """Raises Unsupported where the environment can't be pickled."""
    written = io.BytesIO()
    try:
        _Pickler(written, protocol=5).dump(env)
    except Exception as error:  # whatever its own reducers raise, RecursionError too
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise Unsupported(f"it can't be pickled: {text}") from error
    return written.getvalue()


def restore(data: bytes) -> Any:
    """The environment. data: of `capture`. Raises Unsupported."""
    try:
        return pickle.loads(data)
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise Unsupported(f"its copy can't be read: {text}") from error


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        if not kind.__module__.startswith("pygame"):
            return NotImplemented
        if kind.__name__ == "Surface":
            return _surface, _told(value)
        if kind.__name__ == "Clock":
            return _clock, ()
        if kind.__name__ in ("Font", "Window", "Renderer", "Texture", "Sound", "Channel"):
            return type(None), ()
        return NotImplemented


def _told(surface: Any) -> tuple[Any, ...]:
    look = surface.get_colorkey(), surface.get_alpha()
    palette = surface.get_palette() if surface.get_bitsize() == 8 else None
    kind = surface.get_flags() & _pygame().SRCALPHA, surface.get_bitsize(), surface.get_masks()
    pixels = zlib.compress(surface.get_buffer().raw, 1)
    return surface.get_size(), kind, look, palette, surface.get_pitch(), pixels


def _surface(
    size: tuple[int, int], kind: Any, look: Any, palette: Any, pitch: int, pixels: bytes
) -> Any:
    flags, bits, masks = kind
    made = _pygame().Surface(size, flags, bits, masks)
    if made.get_pitch() != pitch:
        raise ValueError("a surface is laid out otherwise here")
    made.get_buffer().write(zlib.decompress(pixels))
    if palette is not None:
        made.set_palette(palette)
    colorkey, alpha = look
    if colorkey is not None:
        made.set_colorkey(colorkey)
    if alpha is not None:
        made.set_alpha(alpha)
    return made


def _clock() -> Any:
    return _pygame().time.Clock()


def _pygame() -> Any:
    """Ready to draw, which the environment that has surfaces takes for granted."""
    pygame = importing.module("pygame")
    pygame.init()
    return pygame
