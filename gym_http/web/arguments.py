"""From what clients write to what the service takes, and back: one function a kind of value."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import numpy as np

from gym_http.errors import BadValue, shown
from gym_http.recording.recorder import every, gyms_schedule, never
from gym_http.sequence import Number
from gym_http.web.kinds import LARGEST_INT, LARGEST_NUMBER, LARGEST_SEED, Flag
from gym_http.web.schema import Numbered
from gym_http.wire import as_json

MOST_SEEDS = 2**20


def flag(value: Flag) -> bool:
    return value is True or value == "true"


def integer(name: str, value: Any, least: int, most: int = LARGEST_INT) -> int | None:
    """1 or 1.0 from `least` to `most`; None stays None. Raises BadValue."""
    if value is None:
        return None
    whole = not isinstance(value, bool) and (isinstance(value, int) or value.is_integer())
    if not whole or not least <= value <= most:
        raise BadValue(f"{name}: expected an integer from {least} to {most}, got {shown(value)}")
    return int(value)


def seed_of(value: Any) -> int | None:
    return integer("seed", value, 0, LARGEST_SEED)


def seeds_of(value: Any) -> Any:
    """A seed, or a list of them with null for none. Raises BadValue."""
    if isinstance(value, list) and len(value) > MOST_SEEDS:
        raise BadValue(f"seed: {len(value)} are more than any environment takes")
    return [seed_of(seed) for seed in value] if isinstance(value, list) else seed_of(value)


def reward_of(value: Any) -> Any:
    """As it is; what JSON can't say as NumPy's, which lets the encoding decide."""
    return np.float64(value) if isinstance(value, float) and not math.isfinite(value) else value


def number_of(body: Numbered, path: str, sent: bytes) -> Number:
    """What a call that has a seq is numbered as: this body, sent to the path in these bytes.
    Raises BadValue."""
    seq = integer("seq", body.seq, 1, LARGEST_NUMBER)
    assert seq is not None
    told_by = sent if len(sent) < 1000 else hashlib.sha256(sent).digest()
    return Number(seq, body.client_id or "", (path, told_by))


def film_of(value: Any) -> Callable[[int], bool]:
    if value in ("true", "false") or isinstance(value, bool):
        return gyms_schedule if flag(value) else never
    n = integer("video_callable", value, 1)
    return never if n is None else every(n)


def time_of(epoch_s: float) -> str:
    """RFC 3339, UTC."""
    return datetime.fromtimestamp(epoch_s, timezone.utc).isoformat().replace("+00:00", "Z")


def same_json(ours: Any, theirs: Any) -> bool:
    """Equality of JSON values: 1 is 1.0 (to Lua they are one), and true is not 1. What they have
    that JSON hasn't is taken by wire's rule."""
    if isinstance(theirs, np.ndarray):
        return theirs.shape == np.shape(ours) and same_json(ours, as_json(theirs))
    if isinstance(theirs, float) and not math.isfinite(theirs):
        theirs = as_json(np.float64(theirs))
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same_json, ours, theirs))
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same_json(ours[k], theirs[k]) for k in ours)
    return bool(ours == theirs) and isinstance(ours, bool) == isinstance(theirs, bool)
