"""The OpenAPI 3.1 document, made of the declarations that the router and the checks work by.

Source: https://spec.openapis.org/oas/v3.1.1. Its values are in `components`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import lru_cache

from gym_http import __version__, wire
from gym_http.web.components import (
    Schema,
    body_of,
    content_of,
    query_parameters,
    schemas,
)
from gym_http.web.exchange import Route
from gym_http.web.refusals import errors_of, responses
from gym_http.web.schema import CreateReply

ABOUT = """\
Reinforcement-learning environments over HTTP: make an instance, `reset` it, `step` it, `close` it.

- Every path works with and without its last slash.
- Bodies and replies are JSON, or MessagePack by `Content-Type` and `Accept` (also as
  `application/x-msgpack` and `application/vnd.msgpack`), where an array may be
  `{"dtype": "<f4", "shape": [..], "data": bin}`.
- What an `observation` or an `action` is, the instance's spaces say.
- A reply has the request's `X-Request-Id`, or one of the server's.
"""

TAGS = (  # a part of the path, and what it is about; the first that is found counts
    ("_space/", "spaces"),
    ("/snapshot/", "snapshots"),
    ("/monitor/", "recordings and scores"),
    ("/upload/", "recordings and scores"),
    ("/scoreboard/", "recordings and scores"),
    ("/reset/", "episodes"),
    ("/step/", "episodes"),
    ("/rollout/", "episodes"),
    ("/render/", "episodes"),
    ("/envs/", "instances"),
    ("", "server"),
)

PARAMETERS: dict[str, Schema] = {
    "instance_id": {
        "description": "what creating it was answered with",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{8}$"},
    },
    "snapshot_id": {
        "description": "what taking it was answered with",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    },
    "x": {"description": "a JSON value", "content": {"application/json": {"schema": {}}}},
}

# operation -> operations that go on with what it is answered, and where that is put.
INSTANCE = {"parameters": {"instance_id": "$request.path.instance_id"}}
LINKS: dict[str, dict[str, Schema]] = {
    "env_reset": {"env_step": INSTANCE, "env_rollout": INSTANCE, "env_snapshot": INSTANCE},
    "env_action_space_sample": {
        "env_step": {**INSTANCE, "requestBody": {"action": "$response.body#/action"}}
    },
    "env_snapshot": {
        "env_snapshot_get": {
            "parameters": {
                "instance_id": "$request.path.instance_id",
                "snapshot_id": "$response.body#/snapshot_id",
            }
        },
        "env_create": {"requestBody": {"snapshot_id": "$response.body#/snapshot_id"}},
    },
    "env_snapshot_get": {"env_create": {"requestBody": {"snapshot": "$response.body"}}},
}


def document(routes: Iterable[Route], has_token: bool, has_read_token: bool) -> Schema:
    """The document. A server without a token asks nobody for one."""
    shown = [route for route in routes if route.is_documented]
    paths: dict[str, Schema] = {}
    for route in shown:
        operation = _operation(route, shown)
        if has_token:
            operation["security"] = _security(route, has_read_token)
        paths.setdefault(path_of(route), {})[route.method.lower()] = operation
    components: Schema = {"schemas": schemas(shown)}
    if has_token:
        components["securitySchemes"] = _schemes(has_read_token)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "gym-http",
            "version": __version__,
            "summary": "Gymnasium's and Gym's environments over HTTP",
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(tag_of(route) for route in shown)],
        "paths": paths,
        "components": components,
    }


@lru_cache(maxsize=4)
def written(routes: tuple[Route, ...], has_token: bool, has_read_token: bool) -> bytes:
    return wire.to_json(document(routes, has_token, has_read_token)) + b"\n"


def path_of(route: Route) -> str:
    """As OpenAPI writes it; without its last slash where the last part isn't one of ours."""
    path = route.path.replace("<path:x>/", "<x>").replace("<", "{").replace(">", "}")
    return path.rstrip("/") if "." in path else path


def operation_id(route: Route) -> str:
    """The method of the clients; of a second path to the same, another name."""
    name = route.handler.__name__
    return name if route.path.startswith("/v1/") or name != "healthz" else f"{name}_anywhere"


def tag_of(route: Route) -> str:
    return next(tag for part, tag in TAGS if part in route.path)


def _operation(route: Route, routes: list[Route]) -> Schema:
    summary, _, more = (inspect.getdoc(route.handler) or "").partition("\n\n")
    told: Schema = {
        "operationId": operation_id(route),
        "tags": [tag_of(route)],
        "summary": " ".join(summary.split()).rstrip("."),
    }
    if more:
        told["description"] = more
    parameters = _parameters(route)
    if parameters:
        told["parameters"] = parameters
    body = body_of(route)
    if body is not None:
        told["requestBody"] = body
    answered: Schema = {"description": "done", "content": content_of(route)}
    links = _links(route, routes)
    if links:
        answered["links"] = links
    told["responses"] = {"200": answered, **responses(errors_of(route))}
    return told


def _parameters(route: Route) -> list[Schema]:
    named = [
        {"name": name, "in": "path", "required": True, **about}
        for name, about in PARAMETERS.items()
        if f"<{name}>" in route.path or f":{name}>" in route.path
    ]
    return named + (query_parameters(route.query) if route.query is not None else [])


def _links(route: Route, routes: list[Route]) -> Schema:
    if route.reply is CreateReply:
        of_it = {"parameters": {"instance_id": "$response.body#/instance_id"}}
        links = {
            operation_id(other): of_it
            for other in routes
            if path_of(other).count("{") == 1 and "{instance_id}" in path_of(other)
        }
    else:
        links = LINKS.get(operation_id(route), {})
    return {name: {"operationId": name, **link} for name, link in links.items()}


def _security(route: Route, has_read_token: bool) -> list[Schema]:
    if route.is_open:
        return []
    return [{"token": []}, *([{"readToken": []}] if route.watches and has_read_token else [])]


def _schemes(has_read_token: bool) -> Schema:
    token = {"type": "http", "scheme": "bearer"}
    schemes: Schema = {"token": {**token, "description": "the server's `--token`"}}
    if has_read_token:
        about = "the server's `--read-token`, for watching alone"
        schemes["readToken"] = {**token, "description": about}
    return schemes
