"""The random state of an environment and of a space, and back.

It is read before each episode, so that it is kept as NumPy gives it;
`plain` makes what MessagePack carries of it.

What counts is what the layers of an environment keep as attributes: NumPy's generators, Python's
`random.Random`, spaces that have been drawn from. What a generator is hidden in deeper, or the
operating system's entropy, isn't seen: whoever relies on this compares what comes of it.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from gymnasium import Space, spaces

from gym_http.errors import BadValue, shown
from gym_http.layers import layers

_BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
_LAST_PLACE = {"pos": 624, "buffer_pos": 4}  # C reads from these places unlooked
ALE = "ALEInterface"
_MOST_KINDS = 10_000  # of attributes, that are remembered
_readers: dict[type, Any] = {}  # class -> what reads its random state, or None
_NONE: dict[str, Any] = {}
_LEAVES = {spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary}


def random_state(env: Any) -> dict[str, Any]:
    """Of the whole environment, to be read right before a reset.

    portable: whether it is plain numbers. An Atari emulator's isn't once it has run, but its whole
    state, which it would read from anybody without a look.
    """
    there = getattr(type(env), "random_states", None)
    if there is not None:  # its environments live in processes of their own
        each = there(env)
        return {"each": each, "portable": all(state["portable"] for state in each)}
    found = []
    portable = True
    for index, layer in enumerate(layers(env)):
        _awaken(layer)
        for name, value in getattr(layer, "__dict__", _NONE).items():
            kind = value.__class__
            turn = _readers[kind] if kind in _readers else _reader(kind)
            if turn is not None:
                told = turn(value)
                found.append([index, name, told])
                portable = portable and not isinstance(told, bytes)
    return {"states": found, "portable": portable}


def but_emulators(state: dict[str, Any]) -> dict[str, Any]:
    """What counts before a reset with a seed: emulators take it for all that they do, others may
    have generators that it doesn't reach."""
    if "each" in state:
        return {"each": [but_emulators(one) for one in state["each"]], "portable": True}
    return {
        "states": [item for item in state["states"] if not _is_emulators(item)],
        "portable": True,
    }


def _is_emulators(item: list[Any]) -> bool:
    return isinstance(item[2], bytes) or (isinstance(item[2], dict) and "seed" in item[2])


def before_reset(env: Any) -> dict[str, Any] | None:
    """The random state, or None where the environment doesn't let itself be looked at: no reset
    shall fail by it."""
    try:
        return random_state(env)
    except Exception:
        return None


def set_random_state(env: Any, state: Any, *, ours: bool = False) -> None:
    """Let an environment made in the same way have that random state. ours: it is from
    `random_state`, and not from a client. Raises BadValue for what isn't one of such an
    environment."""
    if not isinstance(state, dict):
        raise BadValue(f"random: expected an object, got {shown(state)}")
    set_there = getattr(type(env), "set_random_states", None)
    if set_there is not None:
        each = state.get("each")
        if not isinstance(each, list) or len(each) != env.num_envs:
            raise BadValue(f"random: expected the states of {env.num_envs} environments")
        set_there(env, each, ours)
        return
    found = layers(env)
    for layer in found:
        _awaken(layer)
    states = state.get("states")
    if not isinstance(states, list):
        raise BadValue(f"random: expected a list of states, got {shown(states)}")
    for item in states:
        if not (isinstance(item, list) and len(item) == 3 and isinstance(item[1], str)):
            raise BadValue(f"random: expected [layer, name, state], got {shown(item)}")
        index, name, plain = item
        if type(index) is not int or not 0 <= index < len(found):
            raise BadValue(f"random: there is no layer {shown(index)}")
        _set(found[index], name, plain, ours)


@contextmanager
def shared_kept() -> Iterator[None]:
    """A context that leaves the process's own generators as they are, from which environments that
    are old draw."""
    states = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def space_state(space: Space[Any]) -> list[Any]:
    """Of a space and those in it. One that nobody has drawn from yet gets its state by this."""
    return [_generator(part.np_random) for part in _parts(space)]


def set_space_state(space: Space[Any], state: Any) -> None:
    """Raises BadValue for what isn't a state of such a space."""
    parts = list(_parts(space))
    if not isinstance(state, list) or len(state) != len(parts):
        raise BadValue(f"the random state of a space: expected {len(parts)}, got {shown(state)}")
    for part, plain in zip(parts, state, strict=True):
        _set_generator(part.np_random, plain)


def _awaken(layer: Any) -> None:
    """Gymnasium makes its generators when they are first needed, of the system's entropy: now."""
    if getattr(layer, "_np_random", layer) is None:
        try:
            _ = layer.np_random
        except Exception:  # an environment's own idea of it
            return


def _set(layer: Any, name: str, plain: Any, ours: bool) -> None:
    value = getattr(layer, "__dict__", {}).get(name)
    if isinstance(value, np.random.Generator):
        _set_generator(value, plain)
    elif isinstance(value, np.random.RandomState):
        _set_legacy(value, plain)
    elif isinstance(value, random.Random):
        _set_python(value, plain)
    elif isinstance(value, Space):
        _set_drawn(value, plain)
    elif type(value).__name__ == ALE:
        _set_emulator(layer, plain, ours)
    else:
        raise BadValue(f"random: the environment has no generator {shown(name)}")


# ---- one kind of generator each


def _generator(value: np.random.Generator) -> Any:
    return value.bit_generator.state


def _set_generator(value: np.random.Generator, plain: Any) -> None:
    state = _checked(plain)
    if state.get("bit_generator") != type(value.bit_generator).__name__:
        raise BadValue(f"expected the state of a {type(value.bit_generator).__name__}")
    try:
        value.bit_generator.state = state
    except (TypeError, ValueError, LookupError, OverflowError) as error:
        raise BadValue(f"no state of a generator: {error}") from error


def _legacy(value: np.random.RandomState) -> Any:
    return value.get_state(legacy=False)


def _set_legacy(value: np.random.RandomState, plain: Any) -> None:
    try:
        value.set_state(_checked(plain))
    except (TypeError, ValueError, LookupError, OverflowError) as error:
        raise BadValue(f"no state of a generator: {error}") from error


def _python(value: random.Random) -> Any:
    version, words, gauss = value.getstate()
    return {"python": version, "words": np.array(words, np.uint64), "gauss": gauss}


def _set_python(value: random.Random, plain: Any) -> None:
    try:
        value.setstate((plain["python"], tuple(map(int, plain["words"])), plain["gauss"]))
    except (TypeError, ValueError, LookupError, OverflowError) as error:
        raise BadValue(f"no state of a random.Random: {error}") from error


def _drawn(space: Space[Any]) -> Any:
    """Of the parts that have been drawn from."""
    if type(space) in _LEAVES and space._np_random is None:
        return [None]
    return [
        None if part._np_random is None else _generator(part._np_random) for part in _parts(space)
    ]


def _set_drawn(space: Space[Any], plain: Any) -> None:
    parts = list(_parts(space))
    if not isinstance(plain, list) or len(plain) != len(parts):
        raise BadValue(f"the random state of a space: expected {len(parts)}, got {shown(plain)}")
    for part, state in zip(parts, plain, strict=True):
        if state is not None:
            _set_generator(part.np_random, state)


def _emulator(ale: Any) -> Any:
    """Its seed says all as long as it hasn't run; after that nothing tells what its dice do next
    but its state."""
    if ale.getFrameNumber() == 0:
        return {"seed": ale.getInt("random_seed")}
    return pickle.dumps(ale.cloneSystemState(), 5)  # its own `serialize` fails before ale_py 0.12


def _set_emulator(env: Any, plain: Any, ours: bool) -> None:
    if ours and isinstance(plain, bytes):
        env.ale.restoreSystemState(pickle.loads(plain))
        return
    seed = plain.get("seed") if isinstance(plain, dict) else None
    if type(seed) is not int or not -(2**31) <= seed < 2**31 or not hasattr(env, "load_game"):
        raise BadValue(f"random: expected an emulator's seed, got {shown(plain)}")
    env.ale.setInt("random_seed", seed)
    env.load_game()


def _reader(kind: type) -> Any:
    """What reads an attribute of that class; None for the many that have no random state."""
    found: Any = _emulator if kind.__name__ == ALE else None
    for base, turn in (
        (np.random.Generator, _generator),
        (np.random.RandomState, _legacy),
        (random.Random, _python),
        (Space, _drawn),
    ):
        if issubclass(kind, base):
            found = turn
    if len(_readers) < _MOST_KINDS:
        _readers[kind] = found
    return found


def _parts(space: Space[Any]) -> Iterator[Space[Any]]:
    """The space and all that are in it, in an order that is always the same."""
    yield space
    for value in vars(space).values():
        inner: Any = (value,)
        if isinstance(value, dict):
            inner = value.values()
        elif isinstance(value, (list, tuple)):
            inner = value
        for one in inner:
            if isinstance(one, Space):
                yield from _parts(one)


# ---- a generator's state as plain values: its integers, of up to 128 bits, as text


def plain(state: Any) -> Any:
    """A random state, of an environment or a space, as MessagePack carries it. What is set takes
    it as well."""
    if isinstance(state, dict) and "bit_generator" in state:
        return _texts(state)
    if isinstance(state, dict):
        return {key: plain(value) for key, value in state.items()}
    return [plain(item) for item in state] if isinstance(state, list) else state


def _texts(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _texts(value) for key, value in state.items()}
    return f"{state:#x}" if type(state) is int else state


def _checked(plain: Any) -> dict[str, Any]:
    """The state in NumPy's form. NumPy checks neither the place that a generator reads its next
    word from, nor whether its words are words."""
    state = _unplain(plain, 0)
    if not isinstance(state, dict) or state.get("bit_generator") not in _BIT_GENERATORS:
        raise BadValue(f"no state of a generator: {shown(plain)}")
    for part in (state, state.get("state")):
        for name, last in _LAST_PLACE.items():
            place = part.get(name, 0) if isinstance(part, dict) else 0
            if type(place) is not int or not 0 <= place <= last:
                raise BadValue(f"no state of a generator: {name} is {shown(place)}")
    return state


def _unplain(plain: Any, depth: int) -> Any:
    if isinstance(plain, dict) and depth < 3:
        return {key: _unplain(value, depth + 1) for key, value in plain.items()}
    if isinstance(plain, str) and plain.startswith("0x") and len(plain) <= 40:
        try:
            return int(plain, 16)
        except ValueError:
            return plain
    return plain
