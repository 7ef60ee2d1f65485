"""The fields of requests and replies: the type of each, and what it means.

`schema` puts them together. A description is said once, here: the OpenAPI document has it from
here, and docs/protocol.md's tables of requests are compared with it. What a JSON Schema can say
beyond Python's types stands beside, whether it is msgspec that checks it, `arguments` or the
service.
"""

from __future__ import annotations

import threading
from typing import Annotated, Any, Literal

from msgspec import Meta

from gym_http.settings import BACKEND_NAMES
from gym_http.tape import FIELDS, RESET, STOP
from gym_http.vectors import AUTORESETS, VECTORIZATIONS

Integer = int | float
Flag = bool | Literal["true", "false"]
LARGEST_SEED = 2**63 - 1
LARGEST_NUMBER = 2**53  # what a double counts to, and so any client
LARGEST_INT = 2**31 - 1
LONGEST_PATH = 4096  # what Linux takes
LONGEST_NAME = 255
LONGEST_KEY = 1024
FEW = 64  # characters of a name that is one of a few, or made by us
NO_CONTROL = r"^[^\u0000-\u001f\u007f-\u009f]*$"  # characters: `gym-http scores` is for terminals
DESCRIBED = ("description", "examples")  # of a field, whatever it may be


def says(text: str, longest: int | None = None, **schema: Any) -> Meta:
    """A description; the most characters, or elements, which is checked; and further words of JSON
    Schema."""
    return Meta(description=text, max_length=longest, extra_json_schema=schema or None)


_SEED = {"minimum": 0, "maximum": LARGEST_SEED}
_COUNT = {"minimum": 1, "maximum": LARGEST_INT}
_SECONDS = {"minimum": 0, "maximum": threading.TIMEOUT_MAX}
_ENGINES = ("gymnasium", "gym")

# ---- requests: how to make an instance

EnvId = Annotated[
    str,
    says(
        "needed, but for a snapshot: an id of Gymnasium or gym; `MODULE:ID` where the server runs "
        "with `--import MODULE`; without a version, the newest",
        examples=["CartPole-v1"],
    ),
]
CreateSeed = Annotated[
    Integer,
    says("for the first reset that has none of its own, and for `action_space/sample`", **_SEED),
]
Engine = Annotated[
    str,
    says("by default Gymnasium, and gym for an id that only it knows", FEW, enum=list(_ENGINES)),
]
Kwargs = Annotated[
    dict[str, Any],
    says("for the environment's constructor; plain values, paths only to where clients may read"),
]
RenderMode = Annotated[
    str,
    says(
        "by default `rgb_array` where there is that, else `ansi`; `human` is refused, for a server "
        "has no window",
        FEW,
        examples=["rgb_array"],
    ),
]
MaxEpisodeSteps = Annotated[Integer, says("in place of the environment's own time limit", **_COUNT)]
NumEnvs = Annotated[Integer, says("makes a vector environment of so many", **_COUNT)]
Vectorization = Annotated[str, says("how; with `num_envs` only", FEW, enum=list(VECTORIZATIONS))]
Autoreset = Annotated[
    str,
    says("what follows the end of an episode; with `num_envs` only", FEW, enum=list(AUTORESETS)),
]
Backend = Annotated[
    str, says("where it lives; by default `--backend`", FEW, enum=list(BACKEND_NAMES))
]
Resources = Annotated[
    dict[str, float] | list[Any],
    says(
        "what its Ray actor needs: `num_cpus`, `num_gpus`, `memory`, or the cluster's own names; "
        "with `ray` only",
        maxItems=0,  # Lua's empty table
    ),
]
StepTimeout = Annotated[
    float,
    says(
        "longest, in seconds, that a reset, step or frame may take; 0 is no limit; by default "
        "`--step-timeout`",
        **_SECONDS,
    ),
]
MakeTimeout = Annotated[
    float,
    says(
        "the same for making it, and for a snapshot of it; by default `--make-timeout`", **_SECONDS
    ),
]
Lease = Annotated[
    float,
    says(
        "ends it after so many seconds without a call; 0 is never; by default `--idle-timeout`",
        **_SECONDS,
    ),
]
KeptSnapshotId = Annotated[
    str,
    says(
        "begin in the state that was kept; without `env_id`, `engine`, `kwargs` and the like, "
        "which it has",
        FEW,
    ),
]
KeptSnapshot = Annotated[Any, says("the same, of a snapshot that was downloaded", type="object")]

# ---- requests: an environment's life

Seq = Annotated[Integer, says("the call's number", minimum=1, maximum=LARGEST_NUMBER)]
ClientId = Annotated[str, says('whose number; by default `""`', FEW)]
_Seed = Annotated[Integer, Meta(extra_json_schema=_SEED)]
Seeds = Annotated[
    _Seed | list[_Seed | None],
    says("a vector environment also takes a list of them, null for none"),
]
Options = Annotated[
    dict[str, Any] | list[Any],
    says("the environment's own; `reset_mask` of a vector environment", maxItems=0),
]
Action = Annotated[
    Any, says("of a vector environment, those of all in one", **{"not": {"type": "null"}})
]
Render = Annotated[Flag, says("a wish to be seen; nothing is drawn for it")]
Actions = Annotated[
    Any,
    says(
        "K times what `step` takes; in MessagePack also one array (K, …)",
        type="array",
        minItems=1,
    ),
]
Sample = Annotated[
    Integer, says("instead: so many actions are drawn, as by `action_space/sample`", **_COUNT)
]
OnDone = Annotated[
    str,
    says("end with the step that ends an episode; or begin another", FEW, enum=[STOP, RESET]),
]
Fields = Annotated[
    list[Annotated[str, Meta(max_length=FEW, extra_json_schema={"enum": list(FIELDS)})]],
    says("which fields come back; `[]` for `steps` alone", FEW),
]

# ---- requests: recordings and scores

Directory = Annotated[
    str,
    says(
        "on the server, where clients may record; made where there is none",
        LONGEST_PATH,
        minLength=1,
    ),
]
Force = Annotated[Flag, says("delete the recording that is there")]
Resume = Annotated[Flag, says("add to it")]
VideoCallable = Annotated[
    Flag | Annotated[Integer, Meta(extra_json_schema=_COUNT)],
    says("film none (`false`), Gym's schedule (`true`), every N-th"),
]
TrainingDir = Annotated[
    str,
    says(
        "a directory of recordings on the server, where clients may record",
        LONGEST_PATH,
        minLength=1,
    ),
]
ApiKey = Annotated[str, says("names the uploader; any text", LONGEST_KEY, minLength=1)]
AlgorithmId = Annotated[str, says("what was learnt by; any text", LONGEST_NAME, pattern=NO_CONTROL)]
OfEnvId = Annotated[str, says("leave out the scores of all others", LONGEST_NAME)]
OfEngine = Annotated[str, says("leave out the other's", FEW, enum=["", *_ENGINES])]

# ---- replies

InstanceId = Annotated[str, says("eight hexadecimal digits", pattern="^[0-9a-f]{8}$")]
ServingId = Annotated[str, says("the environment that serves; of create, where it is another")]
Notice = Annotated[str, says("why another one serves")]
SnapshotId = Annotated[str, says("sixteen hexadecimal digits", pattern="^[0-9a-f]{16}$")]
Kind = Annotated[str, says("how the state is kept", enum=["native", "copy", "replay"])]
Instances = Annotated[
    dict[str, str], says("instance_id → environment id as it was asked for; under both names")
]
# As text: MessagePack's own timestamps are an extension that few libraries read.
Time = Annotated[str, says("RFC 3339, UTC", format="date-time")]
Steps = Annotated[int, says("made since creation, of all environments of a vector's")]
Episodes = Annotated[int, says("finished since creation")]
LastReturn = Annotated[float, says("null before the first end")]
LastLength = Annotated[int, says("null before the first end")]
Recorded = Annotated[str, says("the directory being recorded into, or null")]
LeaseHeld = Annotated[float, says("null: `--idle-timeout` holds")]
Restored = Annotated[int, says("how many times it has come back from a crash")]
HasRestored = Annotated[bool, says("true where the instance has come back from a crash for it")]
Observation = Annotated[Any, says("an element of the observation space")]
Reward = Annotated[Any, says("a number, always with a fraction; of a vector environment, an array")]
Ends = Annotated[Any, says("a boolean; of a vector environment, an array of them")]
Info = Annotated[dict[str, Any], says("the environment's own words")]
InfoDropped = Annotated[list[str], says("paths in `info` of what can't be carried")]
Made = Annotated[int, says("how many steps were made")]
EachStep = Annotated[Any, says("one for each step")]
FinalObservations = Annotated[Any, says("one for each `true` in `done`, in their order")]
Played = Annotated[Any, says("the actions that were made")]
Infos = Annotated[list[dict[str, Any]], says("one for each step; only where `fields` names them")]
Space = Annotated[dict[str, Any], says("the description of the space")]
Single = Annotated[dict[str, Any], says("of a vector environment, that of one of its")]
Frame = Annotated[Any, says("pixels (height, width, 3), or text; of a vector environment, a list")]
Member = Annotated[bool, says("whether it is one")]
ExactlyOnce = Annotated[bool, says("this server knows numbered calls")]
Missing = Annotated[str, says("the package that it takes")]
Message = Annotated[str, says("for people")]
Code = Annotated[str, says("the contract")]
Retryable = Annotated[bool, says("whether the same request may succeed later")]
Detail = Annotated[str, says("what more there is to say")]
RequestId = Annotated[str, says("under which the server's log tells more")]
Expected = Annotated[int, says("of `out_of_sequence`: the next number")]
LastGoodStep = Annotated[int, says("of `backend_lost` and `timeout`: how many steps were made")]
