"""What each request and reply is made of, declared once, as msgspec Structs.

They check requests, write replies, and give the JSON Schemas of an OpenAPI document
(`msgspec.json.schema_components`). A body's fields without a default are required. Clients of
fourteen languages have their habits, so null, "" and [] mean "not provided", an integer may come
as 1.0, and a boolean as a string.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from gym_http.web import kinds


class Body(msgspec.Struct):
    """A request's JSON object. Keys that aren't fields are ignored."""

    empty_list: ClassVar[frozenset[str]] = frozenset()  # fields of which [] is a value
    empty_text: ClassVar[frozenset[str]] = frozenset()  # fields of which "" is a value
    needed: ClassVar[bool] = False  # though no field is required
    arrays: ClassVar[frozenset[str]] = frozenset()  # fields that take MessagePack's arrays as such
    example: ClassVar[dict[str, Any]] = {}  # for who reads the OpenAPI document
    further: ClassVar[dict[str, Any]] = {}  # JSON Schema of what fields have to do with each other


class CreateBody(Body):
    """env_id, or one of snapshot_id and snapshot."""

    needed = True
    arrays = frozenset({"snapshot"})
    example = {"env_id": "CartPole-v1", "seed": 42}
    further = {
        "anyOf": [
            {"required": ["env_id"], "properties": {"env_id": {"type": "string", "minLength": 1}}},
            {
                "required": ["snapshot_id"],
                "properties": {"snapshot_id": {"type": "string", "minLength": 1}},
            },
            {"required": ["snapshot"], "properties": {"snapshot": {"type": "object"}}},
        ]
    }

    env_id: kinds.EnvId | None = None
    seed: kinds.CreateSeed | None = None
    engine: kinds.Engine | None = None
    kwargs: kinds.Kwargs | None = None
    render_mode: kinds.RenderMode | None = None
    max_episode_steps: kinds.MaxEpisodeSteps | None = None
    num_envs: kinds.NumEnvs | None = None
    vectorization: kinds.Vectorization | None = None
    autoreset: kinds.Autoreset | None = None
    backend: kinds.Backend | None = None
    resources: kinds.Resources | None = None
    step_timeout_s: kinds.StepTimeout | None = None
    make_timeout_s: kinds.MakeTimeout | None = None
    lease_s: kinds.Lease | None = None
    snapshot_id: kinds.KeptSnapshotId | None = None
    snapshot: kinds.KeptSnapshot = None


class Numbered(Body, kw_only=True):
    """A call that can be told from a repetition of it (`sequence`). client_id: "" by default."""

    seq: kinds.Seq | None = None
    client_id: kinds.ClientId | None = None


class ResetBody(Numbered):
    example = {"seed": 42}
    empty_list = frozenset({"options"})

    seed: kinds.Seeds | None = None
    options: kinds.Options | None = None


class StepBody(Numbered):
    empty_list = frozenset({"action"})
    empty_text = frozenset({"action"})
    arrays = frozenset({"action"})
    example = {"action": 1}

    action: kinds.Action
    render: kinds.Render = False


class RolloutBody(Numbered):
    needed = True
    arrays = frozenset({"actions"})
    empty_list = frozenset({"actions", "fields"})
    example = {"sample": 10, "on_done": "reset"}
    further = {
        "oneOf": [
            {"required": ["actions"], "properties": {"actions": {"type": "array"}}},
            {"required": ["sample"], "properties": {"sample": {"type": "integer"}}},
        ]
    }

    actions: kinds.Actions = None
    sample: kinds.Sample | None = None
    on_done: kinds.OnDone = "stop"
    fields: kinds.Fields | None = None


class MonitorStartBody(Body):
    example = {"directory": "recordings/cartpole"}

    directory: kinds.Directory
    force: kinds.Force = False
    resume: kinds.Resume = False
    video_callable: kinds.VideoCallable = False


class UploadBody(Body):
    example = {"training_dir": "recordings/cartpole", "api_key": "sk-1"}

    training_dir: kinds.TrainingDir
    api_key: kinds.ApiKey
    algorithm_id: kinds.AlgorithmId | None = None


class ScoreboardQuery(Body):
    env_id: kinds.OfEnvId | None = None


class RegistryQuery(Body):
    engine: kinds.OfEngine | None = None


class NothingReply(msgspec.Struct):
    """`{}`: done."""


class CreateReply(msgspec.Struct):
    """env_id and warning only where they say something new."""

    instance_id: kinds.InstanceId
    env_id: kinds.ServingId | UnsetType = UNSET
    warning: kinds.Notice | UnsetType = UNSET


class SnapshotReply(msgspec.Struct):
    """kind: how its state is kept, "native", "copy" or "replay"."""

    snapshot_id: kinds.SnapshotId
    kind: kinds.Kind


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

    all_envs: kinds.Instances
    envs: kinds.Instances


class LastError(msgspec.Struct):
    code: kinds.Code
    message: kinds.Message
    time: kinds.Time


class InstanceReply(msgspec.Struct):
    """num_envs, vectorization and autoreset are those of a vector environment."""

    instance_id: kinds.InstanceId
    env_id: kinds.ServingId
    engine: str
    render_mode: str | None
    render_fps: float
    max_episode_steps: int | None
    reward_threshold: float | None
    nondeterministic: bool
    num_envs: int | None
    vectorization: str | None
    autoreset: str | None
    created: kinds.Time
    last_used: kinds.Time
    steps: kinds.Steps
    episodes: kinds.Episodes
    last_episode_return: kinds.LastReturn | None
    last_episode_length: kinds.LastLength | None
    monitor: kinds.Recorded | None
    backend: str
    step_timeout_s: float
    make_timeout_s: float
    lease_s: kinds.LeaseHeld | None
    last_error: LastError | None
    restored: kinds.Restored


class ResetReply(msgspec.Struct):
    observation: kinds.Observation
    info: kinds.Info
    info_dropped: kinds.InfoDropped | UnsetType = UNSET
    restored: kinds.HasRestored | UnsetType = UNSET


class StepReply(msgspec.Struct):
    """Of a vector environment, reward, done, terminated and truncated are arrays of num_envs."""

    observation: kinds.Observation
    reward: kinds.Reward  # a float, or what wire's rule makes of NaN and Infinity
    done: kinds.Ends
    info: kinds.Info
    terminated: kinds.Ends
    truncated: kinds.Ends
    info_dropped: kinds.InfoDropped | UnsetType = UNSET
    restored: kinds.HasRestored | UnsetType = UNSET


class RolloutReply(msgspec.Struct):
    """Of each step, in order; rewards, done, terminated and truncated are arrays of (steps,), or
    (steps, num_envs). Fields that weren't asked for are left out."""

    steps: kinds.Made
    observations: kinds.EachStep = UNSET
    rewards: kinds.EachStep = UNSET
    terminated: kinds.EachStep = UNSET
    truncated: kinds.EachStep = UNSET
    done: kinds.EachStep = UNSET
    final_observations: kinds.FinalObservations = UNSET
    actions: kinds.Played = UNSET
    infos: kinds.Infos | UnsetType = UNSET
    info_dropped: kinds.InfoDropped | UnsetType = UNSET
    restored: kinds.HasRestored | UnsetType = UNSET


class SpaceReply(msgspec.Struct):
    """info: what a step takes or gives. single: of one of a vector environment's."""

    info: kinds.Space
    single: kinds.Single | UnsetType = UNSET


class FrameReply(msgspec.Struct):
    """frame: (height, width, 3) uint8, or text; of a vector environment, a list of these."""

    frame: kinds.Frame


class ActionReply(msgspec.Struct):
    action: kinds.Played


class MemberReply(msgspec.Struct):
    member: kinds.Member


class ScoreboardEntry(msgspec.Struct):
    entry_id: int
    env_id: str
    engine: str
    algorithm_id: str | None
    uploader: str
    uploaded: kinds.Time
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
    missing: kinds.Missing


class RegistryReply(msgspec.Struct):
    """envs can be made; unavailable ones need what `missing` says."""

    envs: list[RegisteredEnv]
    unavailable: list[UnavailableEnv]


class HealthReply(msgspec.Struct):
    status: str
    version: str
    instances: int
    exactly_once: kinds.ExactlyOnce


class ErrorReply(msgspec.Struct):
    message: kinds.Message
    code: kinds.Code
    retryable: kinds.Retryable
    detail: kinds.Detail | UnsetType = UNSET
    request_id: kinds.RequestId | UnsetType = UNSET
    expected: kinds.Expected | UnsetType = UNSET
    last_good_step: kinds.LastGoodStep | UnsetType = UNSET
