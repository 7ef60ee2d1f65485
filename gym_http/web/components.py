"""What the OpenAPI document says of values: the schemas of bodies and replies.

The schemas are msgspec's, of the Structs that check the requests. Added is what `exchange` takes
beyond a Struct: null, "" and [] for what isn't provided, and bodies that only objects matter in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gym_http.errors import GymHTTPError
from gym_http.web.exchange import Route, needs_body, required
from gym_http.web.kinds import DESCRIBED
from gym_http.web.negotiation import JSON, MSGPACK
from gym_http.web.refusals import family
from gym_http.web.schema import Body, ErrorReply, NothingReply

Schema = dict[str, Any]

TEMPLATE = "#/components/schemas/{name}"
ABSENT = {"$ref": TEMPLATE.format(name="NotProvided")}
_NOT_PROVIDED: Schema = {
    "description": "The same as leaving the field out.",
    "anyOf": [
        {"type": "null"},
        {"type": "string", "maxLength": 0},
        {"type": "array", "items": {}, "maxItems": 0},
    ],  # no enum: generators of clients make one type of that
}
_INTEGER = [{"type": "integer"}, {"type": "number"}]  # kinds.Integer, as msgspec writes it
# An empty table of Lua's is a list.
_TABLE: Schema = {"type": ["object", "array"], "items": {}, "maxItems": 0}


def schemas(routes: Iterable[Route]) -> dict[str, Schema]:
    """The components' schemas, by name."""
    bodies: set[Any] = {route.body for route in routes if _is_struct(route.body)}
    kinds = bodies | {ErrorReply}
    kinds.update(
        kind for route in routes for kind in (route.reply, route.msgpack) if _is_struct(kind)
    )
    _, made = msgspec.json.schema_components(list(kinds), ref_template=TEMPLATE)
    made = {name: _tidy(schema) for name, schema in made.items()}
    for kind in bodies:
        made[kind.__name__] = _lenient(kind, made[kind.__name__])
    codes = made["ErrorReply"]["properties"]["code"]
    codes["enum"] = sorted({kind.code for kind in family(GymHTTPError)})
    made["NotProvided"] = _NOT_PROVIDED
    return dict(sorted(made.items()))


def query_parameters(kind: type[Body]) -> list[Schema]:
    _, made = msgspec.json.schema_components([kind], ref_template=TEMPLATE)
    properties = _tidy(made[kind.__name__])["properties"]
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": schema.pop("description"),
            "schema": {"type": "string", **_without_null(schema)},
        }
        for name, schema in properties.items()
    ]


def content_of(route: Route) -> Schema:
    """What a reply that succeeds may be, by its content type."""
    content: Schema = {}
    if not isinstance(route.reply, type):  # first, for it is what pages and generators ask for
        for name in route.reply:
            schema = {"type": "string"} if name.startswith("text/") else {}
            content[name] = {"schema": schema}
    structs = [kind for kind in (route.reply, route.msgpack) if isinstance(kind, type)]
    for kind in structs:
        ref = {"schema": {"$ref": TEMPLATE.format(name=kind.__name__)}}
        if kind is route.reply:
            content[JSON] = ref
        content[MSGPACK[0]] = ref
    if route.reply is NothingReply:  # to who asks for HTML; exchange says why
        content["text/html"] = {"schema": {"const": "{}"}}
    return content


def body_of(route: Route) -> Schema | None:
    """The requestBody. A body that isn't looked into has none."""
    if route.body is None:
        return None
    if not _is_struct(route.body):
        return {"required": True, "content": _both(_TABLE)}
    kind: Any = route.body
    content = _both({"$ref": TEMPLATE.format(name=kind.__name__)})
    if kind.example:
        content[JSON]["example"] = kind.example
    if needs_body(kind):
        return {"required": True, "content": content}
    # Only old clients send anything, and none of them MessagePack.
    content[MSGPACK[0]] = {"schema": {**content[JSON]["schema"], **_TABLE}}
    about = "JSON that isn't an object, and what isn't JSON, is not looked into."
    return {"required": False, "description": about, "content": content}


def _both(schema: Schema) -> Schema:
    return {JSON: {"schema": schema}, MSGPACK[0]: {"schema": schema}}


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _lenient(kind: type[Body], schema: Schema) -> Schema:
    """A body's schema, with all that stands for a field that isn't provided."""
    needed = required(kind)
    for name, inner in schema["properties"].items():
        if name not in needed:
            described = {key: inner.pop(key) for key in DESCRIBED if key in inner}
            rest = _without_null(inner)
            options = rest["anyOf"] if rest.keys() == {"anyOf"} else [rest]
            absent = {"enum": [None, ""]} if name in kind.empty_list else ABSENT
            schema["properties"][name] = {**described, "anyOf": [*options, absent]}
    schema.update(_tidy(kind.further))
    if not needs_body(kind):
        del schema["type"]  # anything may be sent, and is nothing but where it is an object
    return schema


def _without_null(schema: Schema) -> Schema:
    if "anyOf" not in schema:
        return schema
    options = [option for option in schema["anyOf"] if option != {"type": "null"}]
    return options[0] if len(options) == 1 else {"anyOf": options}


def _tidy(schema: Any) -> Any:
    """With a description where the field is, not inside of it, integers that are only that, and
    objects and arrays that say that anything may be in them."""
    if isinstance(schema, list):
        return [_tidy(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: _tidy(inner) for key, inner in schema.items() if key != "title"}
    if schema.get("required") == []:
        del schema["required"]
    # As it is by default, but not to all generators:
    if schema.get("type") == "object" and "properties" not in schema:
        schema.setdefault("additionalProperties", True)
    if schema.get("type") == "array":
        schema.setdefault("items", {})
    if "default" in schema and schema["default"] is None:
        del schema["default"]
    options = schema.get("anyOf", [])
    if options[:2] == _INTEGER:
        options = [{"type": "integer"}, *options[2:]]
    if len(options) == 1:
        del schema["anyOf"]
        return {**schema, **options[0]}
    if options:
        for option in options:
            for key in DESCRIBED:
                if key in option:
                    schema[key] = option.pop(key)
        schema["anyOf"] = options
    return schema
