"""What each request and reply is made of, declared once, as msgspec Structs.

They check requests, write replies, and give the JSON Schemas of an OpenAPI document
(`msgspec.json.schema_components`). A body's fields without a default are required. Clients of
fourteen languages have their habits, so null, "" and [] mean "not provided", an integer may come
as 1.0, and a boolean as a string.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType

Integer = int | float
Flag = bool | Literal["true", "false"]
Name = Annotated[str, msgspec.Meta(max_length=64)]  # of what there are a few of
# RFC 3339, UTC. As text: MessagePack's own timestamps are an extension that few libraries read.
Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]


class Body(msgspec.Struct):
    """A request's JSON object. Keys that aren't fields are ignored."""

    empty_list: ClassVar[frozenset[str]] = frozenset()  # fields of which [] is a value
    empty_text: ClassVar[frozenset[str]] = frozenset()  # fields of which "" is a value
    needed: ClassVar[bool] = False  # though no field is required
    arrays: ClassVar[frozenset[str]] = frozenset()  # fields that take MessagePack's arrays as such


class CreateBody(Body):
    """env_id, or one of snapshot_id and snapshot."""

    needed = True
    arrays = frozenset({"snapshot"})

    env_id: str | None = None
    seed: Integer | None = None
    engine: Name | None = None
    kwargs: dict[str, Any] | None = None
    render_mode: Name | None = None
    max_episode_steps: Integer | None = None
    num_envs: Integer | None = None
    vectorization: Name | None = None
    autoreset: Name | None = None
    backend: Name | None = None
    resources: dict[str, float] | list[Any] | None = None
    step_timeout_s: float | None = None
    make_timeout_s: float | None = None
    lease_s: float | None = None
    snapshot_id: Name | None = None
    snapshot: Any = None


class Numbered(Body, kw_only=True):
    """A call that can be told from a repetition of it (`sequence`). client_id: "" by default."""

    seq: Integer | None = None
    client_id: Name | None = None


class ResetBody(Numbered):
    empty_list = frozenset({"options"})

    seed: Integer | list[Integer | None] | None = None
    options: dict[str, Any] | list[Any] | None = None


class StepBody(Numbered):
    empty_list = frozenset({"action"})
    empty_text = frozenset({"action"})
    arrays = frozenset({"action"})

    action: Any
    render: Flag = False


class RolloutBody(Numbered):
    needed = True
    arrays = frozenset({"actions"})
    empty_list = frozenset({"actions", "fields"})

    actions: Any = None
    sample: Integer | None = None
    on_done: Name = "stop"
    fields: Annotated[list[Name], msgspec.Meta(max_length=64)] | None = None


class MonitorStartBody(Body):
    directory: Annotated[str, msgspec.Meta(max_length=4096)]
    force: Flag = False
    resume: Flag = False
    video_callable: Flag | Integer = False


class UploadBody(Body):
    training_dir: Annotated[str, msgspec.Meta(max_length=4096)]
    api_key: Annotated[str, msgspec.Meta(max_length=1024)]
    algorithm_id: Annotated[str, msgspec.Meta(max_length=255)] | None = None


class ScoreboardQuery(Body):
    env_id: Annotated[str, msgspec.Meta(max_length=255)] | None = None


class RegistryQuery(Body):
    engine: Name | None = None


class NothingReply(msgspec.Struct):
    """`{}`: done."""


class CreateReply(msgspec.Struct):
    """env_id and warning only where they say something new."""

    instance_id: str
    env_id: str | UnsetType = UNSET
    warning: str | UnsetType = UNSET


class SnapshotReply(msgspec.Struct):
    """kind: how its state is kept, "native", "copy" or "replay"."""

    snapshot_id: str
    kind: str


class PortableSnapshotReply(msgspec.Struct):
    """A snapshot as POST /v1/envs/ takes it, under `snapshot`. state is of the kind "native";
    events and digest are of "replay"."""

    format: str
    version: int
    kind: str
    recipe: dict[str, Any]
    engine_version: str
    progress: dict[str, Any]
    sampling: str
    state: str | UnsetType = UNSET
    events: list[dict[str, Any]] | UnsetType = UNSET
    digest: str | UnsetType = UNSET


class ListReply(msgspec.Struct):
    """instance_id -> environment id, under both names."""

    all_envs: dict[str, str]
    envs: dict[str, str]


class LastError(msgspec.Struct):
    code: str
    message: str
    time: Time


class InstanceReply(msgspec.Struct):
    """num_envs, vectorization and autoreset are those of a vector environment."""

    instance_id: str
    env_id: str
    engine: str
    render_mode: str | None
    render_fps: float
    max_episode_steps: int | None
    reward_threshold: float | None
    nondeterministic: bool
    num_envs: int | None
    vectorization: str | None
    autoreset: str | None
    created: Time
    last_used: Time
    steps: int
    episodes: int
    last_episode_return: float | None
    last_episode_length: int | None
    monitor: str | None
    backend: str
    step_timeout_s: float
    make_timeout_s: float
    lease_s: float | None
    last_error: LastError | None
    restored: int


class ResetReply(msgspec.Struct):
    observation: Any
    info: dict[str, Any]
    info_dropped: list[str] | UnsetType = UNSET
    restored: bool | UnsetType = UNSET


class StepReply(msgspec.Struct):
    """Of a vector environment, reward, done, terminated and truncated are arrays of num_envs."""

    observation: Any
    reward: Any  # a float, or what wire's rule makes of NaN and Infinity
    done: Any
    info: dict[str, Any]
    terminated: Any
    truncated: Any
    info_dropped: list[str] | UnsetType = UNSET
    restored: bool | UnsetType = UNSET


class RolloutReply(msgspec.Struct):
    """Of each step, in order; rewards, done, terminated and truncated are arrays of (steps,), or
    (steps, num_envs). Fields that weren't asked for are left out."""

    steps: int
    observations: Any = UNSET
    rewards: Any = UNSET
    terminated: Any = UNSET
    truncated: Any = UNSET
    done: Any = UNSET
    final_observations: Any = UNSET
    actions: Any = UNSET
    infos: list[dict[str, Any]] | UnsetType = UNSET
    info_dropped: list[str] | UnsetType = UNSET
    restored: bool | UnsetType = UNSET


class SpaceReply(msgspec.Struct):
    """info: what a step takes or gives. single: of one of a vector environment's."""

    info: dict[str, Any]
    single: dict[str, Any] | UnsetType = UNSET


class FrameReply(msgspec.Struct):
    """frame: (height, width, 3) uint8, or text; of a vector environment, a list of these."""

    frame: Any


class ActionReply(msgspec.Struct):
    action: Any


class MemberReply(msgspec.Struct):
    member: bool


class ScoreboardEntry(msgspec.Struct):
    entry_id: int
    env_id: str
    engine: str
    algorithm_id: str | None
    uploader: str
    uploaded: Time
    mean: float | None
    error: float | None
    trials: int
    reward_threshold: float | None
    number_episodes: int
    number_timesteps: int
    seconds_in_total: float | None
    episode_t_value: int | None
    timestep_t_value: int | None
    seconds_to_solve: float | None


class ScoreboardReply(msgspec.Struct):
    entries: list[ScoreboardEntry]


class RegisteredEnv(msgspec.Struct):
    env_id: str
    engine: str
    max_episode_steps: int | None
    reward_threshold: float | None


class UnavailableEnv(msgspec.Struct):
    env_id: str
    engine: str
    missing: str


class RegistryReply(msgspec.Struct):
    """envs can be made; unavailable ones need what `missing` says."""

    envs: list[RegisteredEnv]
    unavailable: list[UnavailableEnv]


class HealthReply(msgspec.Struct):
    status: str
    version: str
    instances: int
    exactly_once: bool


class ErrorReply(msgspec.Struct):
    message: str
    code: str
    retryable: bool
    detail: str | UnsetType = UNSET
    request_id: str | UnsetType = UNSET
    expected: int | UnsetType = UNSET
