"""Space <-> wire values, and the description of a space.

`describe` is what GET …_space/ answers, `decode` turns a wire value into an element of the space,
`encode` does the reverse. Elements keep their arrays: `wire` writes them as the caller's encoding
wants. A space without a row raises UnsupportedSpace; `verbs` says how to add one.
"""

import gym_http.spaces.composite  # noqa: F401 (its rows)
from gym_http.spaces.description import builder, space_from_description
from gym_http.spaces.plain import NUMBERS
from gym_http.spaces.verbs import contains, decode, describe, encode, row

__all__ = [
    "NUMBERS",
    "builder",
    "contains",
    "decode",
    "describe",
    "encode",
    "row",
    "space_from_description",
]
