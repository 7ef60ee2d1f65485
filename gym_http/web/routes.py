"""The routes: for each a declaration, and two lines from its body to the service to its reply."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import UNSET

from gym_http import wire
from gym_http.environments import Recipe
from gym_http.errors import BadValue, MissingParameter, shown
from gym_http.frames import png_of, require_pictures
from gym_http.service import Service
from gym_http.tape import Plan
from gym_http.terms import Terms
from gym_http.web import openapi, page, schema
from gym_http.web.arguments import (
    film_of,
    flag,
    integer,
    reward_of,
    same_json,
    seed_of,
    seeds_of,
    time_of,
)
from gym_http.web.exchange import Raw, Route

ROUTES: list[Route] = []

ENV = "/v1/envs/<instance_id>/"


def route(method: str, path: str, reply: Any, **declared: Any) -> Callable[[Any], Any]:
    def declare(handler: Callable[..., Any]) -> Callable[..., Any]:
        ROUTES.append(Route(method, path, handler, reply, **declared))
        return handler

    return declare


# ---- instances


@route("POST", "/v1/envs/", schema.CreateReply, body=schema.CreateBody)
def env_create(service: Service, body: schema.CreateBody) -> schema.CreateReply:
    """Make an environment, also in the state of a snapshot."""
    kept = body.snapshot_id is not None or body.snapshot is not None
    if body.env_id is None and not kept:
        raise MissingParameter("env_id")
    recipe = Recipe(
        body.env_id or "",
        body.engine,
        body.kwargs or {},
        body.render_mode,
        integer("max_episode_steps", body.max_episode_steps, 1),
        integer("num_envs", body.num_envs, -(2**53), 2**53),  # the service knows how many may be
        body.vectorization,
        body.autoreset,
    )
    if isinstance(body.resources, list) and body.resources:
        raise BadValue(f"resources: expected an object, got {shown(body.resources)}")
    terms = Terms(
        body.backend,
        dict(body.resources or {}),
        body.step_timeout_s,
        body.make_timeout_s,
        body.lease_s,
    )
    seed = seed_of(body.seed)
    if not kept:
        made = service.create(recipe, seed, terms)
    elif recipe == Recipe(""):
        made = service.create_from(body.snapshot_id, body.snapshot, seed, terms)
    else:
        raise BadValue(
            "a snapshot says what it is of: leave out env_id, engine, kwargs, render_mode, "
            "max_episode_steps, num_envs, vectorization and autoreset"
        )
    return schema.CreateReply(
        made.instance_id,
        UNSET if made.env_id == body.env_id or kept else made.env_id,
        made.warning or UNSET,
    )


@route("GET", "/v1/envs/", schema.ListReply, watches=True, at_once=True)
def env_list_all(service: Service) -> schema.ListReply:
    """List the instances, with the ids that they were asked for by."""
    instances = service.instances()
    return schema.ListReply(instances, instances)


@route("GET", ENV, schema.InstanceReply, watches=True, at_once=True)
def env_info(service: Service, instance_id: str) -> schema.InstanceReply:
    """Tell what there is to know of an instance."""
    facts = service.describe(instance_id)
    told: dict[str, Any] = {key: time_of(facts[key]) for key in ("created", "last_used")}
    told["last_episode_return"] = reward_of(facts["last_episode_return"])
    if facts["last_error"] is not None:
        error, when = facts["last_error"]
        told["last_error"] = schema.LastError(error.code, str(error), time_of(when))
    return schema.InstanceReply(**{**facts, **told})


@route("POST", ENV + "close/", schema.NothingReply)
def env_close(service: Service, instance_id: str) -> schema.NothingReply:
    """End an instance."""
    service.close(instance_id)
    return schema.NothingReply()


# ---- snapshots


@route("POST", ENV + "snapshot/", schema.SnapshotReply)
def env_snapshot(service: Service, instance_id: str) -> schema.SnapshotReply:
    """Keep the state that the environment is in."""
    taken = service.snapshot(instance_id)
    return schema.SnapshotReply(taken.snapshot_id, taken.kind)


@route("GET", ENV + "snapshot/<snapshot_id>/", schema.PortableSnapshotReply)
def env_snapshot_get(
    service: Service, instance_id: str, snapshot_id: str
) -> schema.PortableSnapshotReply:
    """Give a snapshot to keep, and to be sent back."""
    return schema.PortableSnapshotReply(**service.snapshot_form(instance_id, snapshot_id))


# ---- an environment's life


@route("POST", ENV + "reset/", schema.ResetReply, body=schema.ResetBody, hot=True)
def env_reset(service: Service, body: schema.ResetBody, instance_id: str) -> schema.ResetReply:
    """Begin an episode."""
    options = {} if body.options == [] else body.options
    if isinstance(options, list):
        raise BadValue(f"options: expected an object, got {shown(options)}")
    if options:
        try:
            wire.to_msgpack(options)  # as they are kept, to make the reset again
        except OverflowError as error:
            raise BadValue("options: an integer has 64 bits") from error
    seen = service.reset(instance_id, seeds_of(body.seed), options)
    return schema.ResetReply(
        seen.observation, seen.info, seen.info_dropped or UNSET, seen.restored or UNSET
    )


@route("POST", ENV + "step/", schema.StepReply, body=schema.StepBody, hot=True)
def env_step(service: Service, body: schema.StepBody, instance_id: str) -> schema.StepReply:
    """Advance the environment by one step."""
    try:
        seen = service.step(instance_id, body.action, flag(body.render))
    except BadValue:
        if isinstance(body.action, str) and not body.action:  # a value of some Texts only
            raise MissingParameter("action") from None
        raise
    return schema.StepReply(
        seen.observation,
        reward_of(seen.reward),
        seen.done,
        seen.info,
        seen.terminated,
        seen.truncated,
        seen.info_dropped or UNSET,
        seen.restored or UNSET,
    )


@route("POST", ENV + "rollout/", schema.RolloutReply, body=schema.RolloutBody, hot=True)
def env_rollout(
    service: Service, body: schema.RolloutBody, instance_id: str
) -> schema.RolloutReply:
    """Advance the environment by many steps."""
    sample = integer("sample", body.sample, 1)
    made = service.rollout(instance_id, Plan(body.actions, sample, body.on_done, body.fields))
    return schema.RolloutReply(
        made.steps,
        **made.fields,
        info_dropped=made.info_dropped or UNSET,
        restored=made.restored or UNSET,
    )


@route("GET", ENV + "render/", ("image/png", "text/plain"), msgpack=schema.FrameReply, watches=True)
def env_render(service: Service, instance_id: str, msgpack: bool) -> Raw | schema.FrameReply:
    """Show the present frame: a PNG, the text of a text renderer, or either in MessagePack."""
    frames = service.render(instance_id)
    if not all(isinstance(frame, str) for frame in frames):
        require_pictures(frames)
    if msgpack:
        return schema.FrameReply(frames if isinstance(frames, list) else frames[0])
    if isinstance(frames[0], str):
        text = "\n\n".join(frames)
        return Raw(text.encode("utf-8", "replace"), "text/plain; charset=utf-8")
    return Raw(png_of(frames), "image/png")


# ---- spaces


@route("GET", ENV + "action_space/", schema.SpaceReply, watches=True)
def env_action_space_info(service: Service, instance_id: str) -> schema.SpaceReply:
    """Describe the action space."""
    space = service.action_space(instance_id)
    return schema.SpaceReply(space.info, space.single or UNSET)


@route("GET", ENV + "action_space/sample/", schema.ActionReply)
def env_action_space_sample(service: Service, instance_id: str) -> schema.ActionReply:
    """Draw a random action."""
    return schema.ActionReply(service.sample(instance_id))


@route("GET", ENV + "action_space/contains/<path:x>/", schema.MemberReply, watches=True)
def env_action_space_contains(service: Service, instance_id: str, x: str) -> schema.MemberReply:
    """Tell whether the JSON value x is an action."""
    return schema.MemberReply(service.action_contains(instance_id, wire.json_text(x.rstrip("/"))))


@route("GET", ENV + "action_space/contains/", schema.MemberReply, is_documented=False, watches=True)
def env_action_space_contains_nothing(service: Service, instance_id: str) -> schema.MemberReply:
    """Lua's binding may leave x out."""
    raise MissingParameter("x")


@route("GET", ENV + "observation_space/", schema.SpaceReply, watches=True)
def env_observation_space_info(service: Service, instance_id: str) -> schema.SpaceReply:
    """Describe the observation space."""
    space = service.observation_space(instance_id)
    return schema.SpaceReply(space.info, space.single or UNSET)


@route("POST", ENV + "observation_space/contains/", schema.MemberReply, body=dict, watches=True)
def env_observation_space_contains(
    service: Service, body: dict[str, Any], instance_id: str
) -> schema.MemberReply:
    """Tell whether `value` is an observation; without one, whether the keys given are those of
    the space's description."""
    if "value" in body:
        return schema.MemberReply(service.observation_contains(instance_id, body["value"]))
    ours = wire.as_json(service.observation_space(instance_id).info)
    return schema.MemberReply(all(key in ours and same_json(ours[key], body[key]) for key in body))


# ---- recordings and scores


@route("POST", ENV + "monitor/start/", schema.NothingReply, body=schema.MonitorStartBody)
def env_monitor_start(
    service: Service, body: schema.MonitorStartBody, instance_id: str
) -> schema.NothingReply:
    """Record the episodes from the next reset on."""
    service.monitor_start(
        instance_id,
        Path(body.directory),
        film_of(body.video_callable),
        force=flag(body.force),
        resume=flag(body.resume),
    )
    return schema.NothingReply()


@route("POST", ENV + "monitor/close/", schema.NothingReply)
def env_monitor_close(service: Service, instance_id: str) -> schema.NothingReply:
    """End the recording."""
    service.monitor_close(instance_id)
    return schema.NothingReply()


@route("POST", "/v1/upload/", schema.NothingReply, body=schema.UploadBody)
def upload(service: Service, body: schema.UploadBody) -> schema.NothingReply:
    """Score the recordings in a directory and put the result on the scoreboard."""
    if any(char < " " or "\x7f" <= char < "\xa0" for char in body.algorithm_id or ""):
        raise BadValue("algorithm_id: it has control characters")  # `scores` is for terminals
    service.upload(Path(body.training_dir), body.api_key, body.algorithm_id)
    return schema.NothingReply()


@route("GET", "/v1/scoreboard/", schema.ScoreboardReply, query=schema.ScoreboardQuery, watches=True)
def scoreboard(service: Service, query: schema.ScoreboardQuery) -> schema.ScoreboardReply:
    """Show the scores of each environment, best first."""
    rows = service.scoreboard(query.env_id)
    for row in rows:
        row["uploaded"] = time_of(row["uploaded"].timestamp())
    return schema.ScoreboardReply([schema.ScoreboardEntry(**row) for row in rows])


# ---- the server


@route(
    "GET",
    "/metrics/",
    ("text/plain", "application/openmetrics-text"),
    accept=True,
    watches=True,
    at_once=True,
)
def metrics(service: Service, accept: str) -> Raw:
    """Tell Prometheus of instances, steps and errors."""
    return Raw(*service.metrics(accept))


@route("GET", "/v1/registry/", schema.RegistryReply, query=schema.RegistryQuery, watches=True)
def registry(service: Service, query: schema.RegistryQuery) -> schema.RegistryReply:
    """List the environments that can be made here."""
    known = service.registry(query.engine)
    return schema.RegistryReply(
        [
            schema.RegisteredEnv(
                env.env_id, env.engine, env.max_episode_steps, env.reward_threshold
            )
            for env in known
            if env.missing is None
        ],
        [
            schema.UnavailableEnv(env.env_id, env.engine, env.missing)
            for env in known
            if env.missing is not None
        ],
    )


@route("POST", "/v1/shutdown/", ("text/plain",), at_once=True)
def shutdown_server(service: Service) -> Raw:
    """Close every environment and end the server."""
    service.shutdown()
    return Raw(b"The server is shutting down.\n", "text/plain; charset=utf-8")


@route("GET", "/healthz/", schema.HealthReply, is_open=True, at_once=True)
@route("GET", "/v1/healthz/", schema.HealthReply, is_open=True, at_once=True)
def healthz(service: Service) -> schema.HealthReply:
    """Say that the server is there."""
    return schema.HealthReply(**service.health())


# ---- this API, for programs and for people


@route("GET", "/v1/openapi.json/", ("application/json",), is_open=True, at_once=True)
def openapi_document(service: Service) -> Raw:
    """Describe this server's API, as OpenAPI 3.1."""
    document = openapi.written(tuple(ROUTES), *service.tokens())
    return Raw(document, "application/json", page.ALWAYS)


route("GET", page.PATH, ("text/html",), is_open=True, is_page=True)(page.docs)
route("GET", page.PATH + "<file>/", page.TYPES, is_open=True, is_documented=False)(page.docs_file)
