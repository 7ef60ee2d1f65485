"""Which elements of a space are the same: of one type, dtype and shape, and equal throughout."""

import math

import numpy as np
from gymnasium import spaces
from hypothesis import strategies as st

DTYPES = (np.float16, np.float32, np.float64, np.uint8, np.int8, np.int16, np.int32, np.int64)
WORDS = st.text("abcdefghij_-. ", min_size=1, max_size=6)


def same(one, other):
    """Raises AssertionError where they differ."""
    if isinstance(one, np.generic) and isinstance(other, np.ndarray):
        one = np.asarray(one)  # what a Box of shape () samples
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(other, one, strict=True)
    elif isinstance(one, spaces.GraphInstance):
        assert isinstance(other, spaces.GraphInstance), other
        for ours, theirs in zip(one, other, strict=True):
            same(ours, theirs)
    elif isinstance(one, tuple):
        assert isinstance(other, tuple) and len(one) == len(other), (one, other)
        for ours, theirs in zip(one, other, strict=True):
            same(ours, theirs)
    elif isinstance(one, dict):
        assert isinstance(other, dict) and list(one) == list(other), (one, other)
        for key, ours in one.items():
            same(ours, other[key])
    elif isinstance(one, np.generic):
        assert type(one) is type(other) and one == other, (one, other)
    else:
        assert type(one) is type(other) and one == other, (one, other)


@st.composite
def boxes(draw):
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    if dtype.kind == "f":
        number = st.floats(-1e4, 1e4, width=16)
        low = np.array([draw(number) for _ in range(math.prod(shape))], dtype).reshape(shape)
        high = (low + np.array(draw(st.integers(0, 50)), dtype)).astype(dtype)
        if draw(st.booleans()):
            low = np.full(shape, -np.inf, dtype)
        if draw(st.booleans()):
            high = np.full(shape, np.inf, dtype)
        return spaces.Box(low, high, shape, dtype)
    limits = np.iinfo(dtype)
    ends = sorted(draw(st.tuples(*[st.integers(int(limits.min) // 2, int(limits.max) // 2)] * 2)))
    return spaces.Box(ends[0], ends[1], shape, dtype)


@st.composite
def discretes(draw):
    dtype = draw(st.sampled_from((np.int64, np.int32, np.uint8)))
    start = draw(st.integers(0 if dtype is np.uint8 else -(10**6), 100))
    return spaces.Discrete(draw(st.integers(1, 100)), start=start, dtype=dtype)


@st.composite
def multi_discretes(draw):
    shape = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=2)))
    size = math.prod(shape)
    nvec = np.array([draw(st.integers(1, 9)) for _ in range(size)]).reshape(shape)
    start = np.array([draw(st.integers(-5, 5)) for _ in range(size)]).reshape(shape)
    return spaces.MultiDiscrete(nvec, draw(st.sampled_from((np.int64, np.int32))), start=start)


@st.composite
def texts(draw):
    # Not NUL, which NumPy strips from what Text samples.
    letters = st.characters(codec="utf-8", exclude_characters="\0")
    charset = draw(st.sets(letters, min_size=1, max_size=9))
    least = draw(st.integers(0, 4))
    return spaces.Text(
        least + draw(st.integers(0, 9)), min_length=least, charset="".join(sorted(charset))
    )


multi_binaries = st.builds(
    spaces.MultiBinary,
    st.one_of(st.integers(1, 5), st.lists(st.integers(1, 3), min_size=1, max_size=3)),
)
plain = st.one_of(boxes(), discretes(), multi_discretes(), multi_binaries, texts())
arrays = st.one_of(boxes(), discretes())


def made_of(parts):
    """The spaces that can be made of others."""
    return st.one_of(
        st.builds(spaces.Tuple, st.lists(parts, max_size=3)),
        st.builds(spaces.Dict, st.dictionaries(WORDS, parts, max_size=3)),
        st.builds(spaces.OneOf, st.lists(parts, min_size=1, max_size=3)),
        st.builds(spaces.Sequence, parts),
        st.builds(lambda part: spaces.Sequence(part, stack=True), arrays),
        st.builds(spaces.Graph, arrays, st.one_of(st.none(), arrays)),
    )


nested = st.recursive(plain, made_of, max_leaves=6)
