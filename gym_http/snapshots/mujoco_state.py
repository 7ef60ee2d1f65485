"""The state of a MuJoCo simulation as arrays of numbers, and back.

`mj_getState` has what the next step is computed from. What the last one computed beside (places of
bodies, forces of contacts) environments observe and draw, and it is behind by a part of a step, so
that it can't be had from the state again: it is carried, too.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np

from gym_http import importing
from gym_http.errors import BadValue, Unsupported, shown


def tell(model: Any, data: Any) -> dict[str, Any]:
    mujoco, spec = _engine()
    state = np.empty(mujoco.mj_stateSize(model, spec), np.float64)
    mujoco.mj_getState(model, data, state, spec)
    computed = {name: getattr(data, name).copy() for name in _computed(model)}
    return {"state": state, "computed": computed, "model": _fingerprint(model)}


def take(model: Any, data: Any, told: Any, ours: bool) -> None:
    """ours: it is from `tell`; a client's has to be finite.

    Raises BadValue for what isn't the state of such a model, and Unsupported for what is one of
    another model.
    """
    mujoco, spec = _engine()
    told = told if isinstance(told, dict) else {}
    size = mujoco.mj_stateSize(model, spec)
    state = _floats(told.get("state"), (size,), "state", ours)
    if model.npluginstate or getattr(model, "nhistory", 0):  # numbers that aren't only numbers
        raise Unsupported("the state of a model with plugins or delays isn't carried")
    if told.get("model") != _fingerprint(model):
        raise Unsupported("it is of another model, or of another version of MuJoCo")
    computed = told.get("computed")
    shapes = _computed(model)
    if not isinstance(computed, dict) or computed.keys() != shapes.keys():
        raise BadValue("state: what MuJoCo computed is of another version")
    arrays = {name: _floats(computed[name], shapes[name], name, ours) for name in shapes}
    mujoco.mj_setState(model, data, state, spec)
    mujoco.mj_forward(model, data)  # contacts
    mujoco.mj_setState(model, data, state, spec)  # which that has changed
    for name, array in arrays.items():
        getattr(data, name)[...] = array


class _Camera(dict[str, Any]):
    """A renderer's settings with a camera that was carried."""


_PLACE = ("lookat", "distance", "azimuth", "elevation")


def tell_camera(renderer: Any) -> dict[str, Any] | None:
    """Where Gymnasium's renderer looks from; None: it decides when it first draws."""
    if renderer.viewer is not None:
        camera = renderer.viewer.cam
        return {name: np.array(getattr(camera, name), np.float64) for name in _PLACE}
    config = renderer.default_cam_config
    return (
        {name: np.array(config[name], np.float64) for name in _PLACE}
        if isinstance(config, _Camera)
        else None
    )


def take_camera(renderer: Any, told: Any, ours: bool) -> None:
    """Raises BadValue."""
    if told is None:
        return
    if not isinstance(told, dict) or told.keys() != set(_PLACE):
        raise BadValue(f"state: no camera: {shown(told)}")
    place = {
        name: _floats(told[name], (3,) if name == "lookat" else (), name, ours) for name in _PLACE
    }
    numbers = {name: value if value.shape else value.item() for name, value in place.items()}
    renderer.default_cam_config = _Camera({**(renderer.default_cam_config or {}), **numbers})


def _engine() -> tuple[Any, Any]:
    mujoco = importing.module("mujoco")
    return mujoco, int(mujoco.mjtState.mjSTATE_INTEGRATION.value)


def _floats(value: Any, shape: tuple[int, ...], name: str, ours: bool) -> np.ndarray:
    if type(value) is not np.ndarray or value.dtype != np.float64 or value.shape != shape:
        raise BadValue(f"state: {name}: expected float64 of {list(shape)}, got {shown(value)}")
    if not ours and not np.isfinite(value).all():
        raise BadValue(f"state: {name}: its numbers aren't finite")
    return value


def _computed(model: Any) -> dict[str, tuple[int, ...]]:
    """name -> shape of the arrays of numbers whose size the model says. Others, which come and go
    with the contacts, are empty in data that nothing has been computed in."""
    fresh = _engine()[0].MjData(model)
    found = {}
    for name in _names(fresh.__class__):
        value = getattr(fresh, name, None)
        if type(value) is np.ndarray and value.dtype == np.float64 and value.size:
            found[name] = value.shape
    return found


@lru_cache(maxsize=None)
def _names(kind: type) -> tuple[str, ...]:
    return tuple(name for name in dir(kind) if not name.startswith("_"))


def _fingerprint(model: Any) -> str:
    """Of MuJoCo's version, and all the numbers in a model: some environments change theirs."""
    digest = hashlib.sha256(_engine()[0].__version__.encode())
    for part in (model, model.opt):
        for name in _names(part.__class__):
            value = getattr(part, name, None)
            if isinstance(value, (bool, int, float)):
                digest.update(f"{name}={value!r};".encode())
            elif type(value) is np.ndarray:
                digest.update(f"{name}{value.shape}".encode())
                digest.update(value.tobytes())
    return digest.hexdigest()
