"""A snapshot as a client keeps it and sends it back: plain values, fit for JSON and MessagePack,
and nothing that has to be trusted. docs/snapshots.md has its keys.

What is in it beside steps, numbers that have to come back to the last bit, is MessagePack in
base64: JSON would lose their kinds, and what isn't finite.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec
import numpy as np

from gym_http import randomness, spaces
from gym_http.environments import Recipe
from gym_http.errors import BadValue, InvalidMessagePack, Unsupported, shown
from gym_http.snapshots.history import MOST_STEPS, Captured, Log, Reset
from gym_http.snapshots.replay import Actions
from gym_http.spaces import batches
from gym_http.wire import from_msgpack, to_msgpack

FORMAT, VERSION = "gym-http-snapshot", 1
MOST_S = 300.0  # that a client's steps may take, also where nothing else ends a making that is late
_LARGEST_SEED = 2**63 - 1
_DIGEST_LENGTH = 64


class _Recipe(msgspec.Struct):
    env_id: str
    engine: str | None = None
    kwargs: dict[str, Any] | list[Any] | None = None
    render_mode: str | None = None
    max_episode_steps: int | float | None = None
    num_envs: int | float | None = None
    vectorization: str | None = None
    autoreset: str | None = None


class _Form(msgspec.Struct):
    format: str
    version: int | float
    kind: str
    recipe: _Recipe
    engine_version: str
    progress: dict[str, Any]
    sampling: str | None = None
    state: str | None = None
    events: list[Any] | None = None
    digest: str | None = None


class Parsed(msgspec.Struct):
    """What a form says. start: for `restore`, or for `make_again`."""

    recipe: Recipe
    start: Captured | Log
    progress: dict[str, Any]
    sampling: Any
    engine_version: str


# ---- to a client


def write(
    recipe: Recipe,
    engine_version: str,
    start: Captured | Log,
    action_space: Any,
    progress: dict[str, Any],
    sampling: Any,
) -> dict[str, Any]:
    """The form. start: a native state that a client may give, or a portable log."""
    form = {
        "format": FORMAT,
        "version": VERSION,
        "kind": "native" if isinstance(start, Captured) else "replay",
        "recipe": {name: getattr(recipe, name) for name in _Recipe.__struct_fields__},
        "engine_version": engine_version,
        "progress": progress,
        "sampling": _packed(randomness.plain(sampling)),
    }
    if isinstance(start, Captured):
        return {**form, "state": base64.b64encode(start.data).decode("ascii")}
    return {**form, "events": _events(start.events, action_space), "digest": str(start.digest)}


def _events(events: list[Any], space: Any) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    some: list[Any] = []
    for event in [*events, None]:
        if isinstance(event, Reset) or event is None:
            if some:
                told.append({"actions": batches.listed(space, some)})
                some = []
            if event is not None:
                # The first one's says all: later ones go on where the steps have led.
                random = None
                if not told and event.random is not None:
                    random = _packed(randomness.plain(event.random))
                made = {"seed": event.seed, "options": event.options, "random": random}
                told.append({"reset": made})
        else:
            some.append(spaces.encode(space, event))
    return told


def _packed(value: Any) -> str:
    return base64.b64encode(to_msgpack(value)).decode("ascii")


# ---- from a client


def read(wire: Any) -> Parsed:
    """Raises BadValue, Unsupported."""
    if not isinstance(wire, dict):
        raise BadValue(f"snapshot: expected an object, got {shown(wire)}")
    if wire.get("format") != FORMAT:
        raise BadValue(f"snapshot: its format is {shown(wire.get('format'))}, not {FORMAT!r}")
    if wire.get("version") != VERSION:
        raise Unsupported(f"snapshot: its version is {shown(wire.get('version'))}, not {VERSION}")
    try:
        form = msgspec.convert(wire, _Form)
    except msgspec.ValidationError as error:
        raise BadValue(f"snapshot: {error}") from error
    recipe = _recipe(form.recipe)
    start: Captured | Log
    if form.kind == "native":
        start = Captured("foreign", _bytes("state", form.state))
    elif form.kind == "replay":
        start = _log(form, recipe)
    else:
        raise BadValue(f"snapshot.kind: expected 'native' or 'replay', got {shown(form.kind)}")
    sampling = None if form.sampling is None else _unpacked("sampling", form.sampling)
    return Parsed(recipe, start, form.progress, sampling, form.engine_version)


def _recipe(form: _Recipe) -> Recipe:
    if isinstance(form.kwargs, list) and form.kwargs:  # [] is Lua's empty table
        raise BadValue(f"snapshot.recipe.kwargs: expected an object, got {shown(form.kwargs)}")
    return Recipe(
        form.env_id,
        form.engine,
        dict(form.kwargs or {}),
        form.render_mode,
        _whole("recipe.max_episode_steps", form.max_episode_steps, 1, 2**31 - 1),
        _whole("recipe.num_envs", form.num_envs, 1, 2**31 - 1),
        form.vectorization,
        form.autoreset,
    )


def _log(form: _Form, recipe: Recipe) -> Log:
    if form.digest is None or len(form.digest) != _DIGEST_LENGTH:
        raise BadValue(f"snapshot.digest: expected a SHA-256, got {shown(form.digest)}")
    events: list[Any] = []
    count = 0
    for index, told in enumerate(form.events or ()):
        where = f"snapshot.events[{index}]"
        if not isinstance(told, dict) or len(told) != 1 or not told.keys() <= {"reset", "actions"}:
            raise BadValue(f"{where}: expected a reset or actions, got {shown(told)}")
        if "reset" in told:
            events.append(_reset(where, told["reset"], recipe.num_envs, first=not events))
            count += 1
            continue
        actions = told["actions"]
        is_array = isinstance(actions, np.ndarray) and actions.ndim > 0
        if not is_array and not isinstance(actions, list):
            raise BadValue(f"{where}.actions: expected a list, got {shown(actions)}")
        events.append(Actions(f"{where}.actions", actions))
        count += len(actions)
    if not events or not isinstance(events[0], Reset):
        raise BadValue("snapshot.events: expected a reset first")
    if count > MOST_STEPS:
        raise BadValue(f"snapshot.events: {count} are more than {MOST_STEPS}")
    return Log(None, events, form.digest, MOST_S)


def _reset(where: str, told: Any, num_envs: int | None, *, first: bool) -> Reset:
    if not isinstance(told, dict):
        raise BadValue(f"{where}.reset: expected an object, got {shown(told)}")
    seed, options, random = (told.get(name) for name in ("seed", "options", "random"))
    if isinstance(seed, list):
        if len(seed) != num_envs:
            raise BadValue(f"{where}.reset.seed: expected {num_envs} seeds, got {shown(seed)}")
        seed = [_whole(f"{where}.reset.seed", one, 0, _LARGEST_SEED) for one in seed]
    else:
        seed = _whole(f"{where}.reset.seed", seed, 0, _LARGEST_SEED)
    if options == []:  # Lua's empty table
        options = {}
    if options is not None and not isinstance(options, dict):
        raise BadValue(f"{where}.reset.options: expected an object, got {shown(options)}")
    partial = False
    if options and "reset_mask" in options:
        partial = True
        mask = np.asarray(options["reset_mask"] if _is_flat(options["reset_mask"]) else None)
        if first or mask.dtype != np.bool_ or mask.shape != (num_envs,):
            raise BadValue(f"{where}.reset.options.reset_mask: {shown(options['reset_mask'])}")
        options = {**options, "reset_mask": mask}
    state = None if random is None else _unpacked(f"{where}.reset.random", random)
    return Reset(seed, options, state, begins=first and not partial)


def _is_flat(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (
        isinstance(value, list) and all(isinstance(one, bool) for one in value)
    )


def _whole(name: str, value: Any, least: int, most: int) -> int | None:
    """An integer, which may come as 1.0; None stays None."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or not least <= value <= most:
        raise BadValue(
            f"{_named(name)}: expected an integer from {least} to {most}, got {shown(value)}"
        )
    return value


def _bytes(name: str, text: Any) -> bytes:
    if not isinstance(text, str):
        raise BadValue(f"{_named(name)}: expected base64, got {shown(text)}")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadValue(f"{_named(name)}: {error}") from error


def _unpacked(name: str, text: Any) -> Any:
    try:
        return from_msgpack(_bytes(name, text))
    except InvalidMessagePack as error:
        raise BadValue(f"{_named(name)}: {error.detail}") from error


def _named(where: str) -> str:
    return "snapshot." + where.removeprefix("snapshot.")
