"""The state of an environment as data, for the two emulators that can tell theirs: ALE and MuJoCo.

Beside the emulator's, what the environment and its wrappers keep in Python is carried: attributes
that are plain (`plain`), and random states. Where one keeps anything else, a deque say, there is no
native state of it: who carries half of a state carries none.
"""

from __future__ import annotations

import pickle
import zlib
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
from gymnasium import Space

from gym_http import randomness
from gym_http.catalogue import Policy
from gym_http.environments import Made, Recipe, make
from gym_http.errors import BadValue, Unsupported, shown
from gym_http.layers import layers
from gym_http.randomness import but_emulators, random_state, set_random_state
from gym_http.snapshots import mujoco_state
from gym_http.snapshots.plain import NotPlain, plain, unplain
from gym_http.wire import from_msgpack, to_msgpack

# What an attribute may be beside plain: it says how the environment is made, or is seen to.
_CODE = (FunctionType, MethodType, BuiltinFunctionType, ModuleType, type)
_SEEN_TO: tuple[type, ...] = (*_CODE, Space, np.random.Generator, np.random.RandomState)
_SEEN_TO_BY_NAME = {"ALEInterface", "MjModel", "MjData", "MujocoRenderer", "EnvSpec", "_KeptFrame"}


def emulators(env: Any) -> list[str]:
    """ "ale" or "mujoco", of each environment that has one."""
    return [
        name
        for layer in layers(env)
        for name, mark in (("ale", "ALEInterface"), ("mujoco", "MjData"))
        if any(type(value).__name__ == mark for value in vars(layer).values())
    ]


def capture(env: Any) -> bytes:
    """Raises Unsupported."""
    told = [_tell(layer) for layer in layers(env)]
    random = but_emulators(random_state(env))
    return to_msgpack({"layers": told, "random": randomness.plain(random)})


def restore(data: bytes, recipe: Recipe, policy: Policy, *, ours: bool = True) -> Made:
    """Make the environment and give it that state. ours: it is from `capture`; of what a client
    sent, only MuJoCo's is taken, with no other strings than the environment has.

    Raises BadValue, Unsupported, and what making raises.
    """
    state = from_msgpack(data)
    if not isinstance(state, dict) or not isinstance(state.get("layers"), list):
        raise BadValue("state: no native state")
    made = make(recipe, policy)
    try:
        made.env.reset()  # what an episode is begun with has to be there
        found = layers(made.env)
        if len(found) != len(state["layers"]):
            raise BadValue(f"state: expected {len(found)} layers, got {len(state['layers'])}")
        for layer, told in zip(found, state["layers"], strict=True):
            _take(layer, told, ours)
        set_random_state(made.env, state.get("random"), ours=ours)
    except BaseException:
        made.env.close()
        raise
    return made


def _tell(layer: Any) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    told: dict[str, Any] = {"class": type(layer).__name__, "attributes": attributes}
    for name, value in vars(layer).items():
        if _is_seen_to(value):
            continue
        try:
            attributes[name] = plain(value)
        except NotPlain as error:
            raise Unsupported(f"{type(layer).__name__}.{name} is no plain data: {error}") from error
    own = vars(layer)
    for value in list(own.values()):
        if type(value).__name__ == "ALEInterface":
            told["ale"] = _tell_ale(layer, value)
        elif type(value).__name__ == "MjData":
            told["mujoco"] = mujoco_state.tell(_model_of(layer), value)
        elif type(value).__name__ == "MujocoRenderer":
            told["camera"] = mujoco_state.tell_camera(value)
    return told


def _is_seen_to(value: Any) -> bool:
    if isinstance(value, _SEEN_TO) or type(value).__name__ in _SEEN_TO_BY_NAME:
        return True
    if isinstance(value, (list, tuple)) and value:  # a vector's environments, and their makers
        return all(callable(one) or _is_layer(one) for one in value)
    return _is_layer(value)


def _is_layer(value: Any) -> bool:
    return hasattr(value, "step") and hasattr(value, "reset")


def _take(layer: Any, told: Any, ours: bool) -> None:
    if not isinstance(told, dict) or told.get("class") != type(layer).__name__:
        raise BadValue(f"state: expected that of a {type(layer).__name__}, got {shown(told)}")
    attributes = told.get("attributes")
    if not isinstance(attributes, dict):
        raise BadValue(f"state: expected attributes, got {shown(attributes)}")
    own = vars(layer)
    for name, value in attributes.items():
        present = own.get(name)
        new = unplain(value, present)
        if not ours:
            _check(layer, name, new)
        if _fits_in(present, new):
            present[...] = new  # whoever else holds the array sees it
        else:
            own[name] = new
    if "ale" in told:
        if not ours:
            raise BadValue("state: an Atari emulator's is taken from nobody")
        _take_ale(layer, told["ale"])
    for value in list(own.values()):
        if type(value).__name__ == "MjData":
            mujoco_state.take(_model_of(layer), value, told.get("mujoco"), ours)
        elif type(value).__name__ == "MujocoRenderer":
            mujoco_state.take_camera(value, told.get("camera"), ours)


def _fits_in(present: Any, new: Any) -> bool:
    return (
        type(present) is np.ndarray
        and type(new) is np.ndarray
        and present.flags.writeable
        and (present.shape, present.dtype) == (new.shape, new.dtype)
    )


def _check(layer: Any, name: str, new: Any) -> None:
    """That a client's value is of the kind that stands there. Raises BadValue."""
    where = f"state: {type(layer).__name__}.{shown(name)}"
    own = vars(layer)
    if name not in own or _is_seen_to(own[name]):
        raise BadValue(f"{where} is none of its attributes")
    present = own[name]
    if type(new) is str or type(present) in (str, dict, tuple, list):
        if not _equal(new, present):
            raise BadValue(f"{where} can't be anything but {shown(present)}")
    elif type(present) is np.ndarray:
        if type(new) is not np.ndarray or (new.shape, new.dtype) != (present.shape, present.dtype):
            raise BadValue(f"{where}: expected {present.dtype} of {present.shape}")
        if new.dtype.kind == "f" and not np.isfinite(new).all() and np.isfinite(present).all():
            raise BadValue(f"{where}: its numbers aren't finite")
    elif present is not None and new is not None and type(new) is not type(present):
        raise BadValue(f"{where}: expected a {type(present).__name__}, got {shown(new)}")


def _equal(one: Any, other: Any) -> bool:
    """By what msgpack makes of them."""
    try:
        return to_msgpack(plain(one)) == to_msgpack(plain(other))
    except NotPlain:
        return False


def _model_of(layer: Any) -> Any:
    for value in vars(layer).values():
        if type(value).__name__ == "MjModel":
            return value
    raise Unsupported(f"{type(layer).__name__} has MuJoCo's data and no model")


# ---- ALE


class _KeptFrame:
    """In place of an Atari environment's `render`, for an emulator that has been given a state has
    no picture of it until it runs."""

    def __init__(self, env: Any, frame: np.ndarray) -> None:
        self._env = env
        self._frame = frame
        self._at = self._place()

    def __call__(self) -> Any:
        if self._place() == self._at:
            return self._frame.copy()
        self._env.__dict__.pop("render", None)
        return self._env.render()

    def _place(self) -> tuple[int, int]:
        return self._env.ale.getFrameNumber(), self._env.ale.getEpisodeFrameNumber()


def _tell_ale(env: Any, ale: Any) -> dict[str, Any]:
    if ale.getFloat("repeat_action_probability") > 0:
        raise Unsupported("an Atari emulator with sticky actions doesn't tell which it still holds")
    state = np.frombuffer(pickle.dumps(ale.cloneSystemState(), 5), np.uint8)
    frame = env.render() if getattr(env, "render_mode", None) == "rgb_array" else None
    told: dict[str, Any] = {"state": state, "shape": None, "frame": None}
    if isinstance(frame, np.ndarray) and frame.dtype == np.uint8:
        packed = zlib.compress(frame.tobytes(), 1)
        told.update(shape=list(frame.shape), frame=np.frombuffer(packed, np.uint8))
    return told


def _take_ale(env: Any, told: dict[str, Any]) -> None:
    """told: ours, of no client."""
    env.ale.restoreSystemState(pickle.loads(told["state"].tobytes()))
    if told["frame"] is not None:
        pixels = np.frombuffer(zlib.decompress(told["frame"]), np.uint8)
        env.render = _KeptFrame(env, pixels.reshape(told["shape"]))
