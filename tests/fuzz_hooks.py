"""What Schemathesis has to be told of this server (SCHEMATHESIS_HOOKS=tests.fuzz_hooks).

Requests are what it makes of the document. They are held to what a test may do (no files outside of
its directory, no Ray, small environments that don't fail), and often go to an instance that lives:
at one that doesn't, all would end in the same refusal.
"""

import atexit
import hashlib
import os
import random
import re
from collections import Counter
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

import msgspec
import numpy as np
import requests
import schemathesis
from requests.structures import CaseInsensitiveDict
from schemathesis.core.parameters import ParameterLocation

URL = os.environ["GYM_HTTP_FUZZ_URL"]
SCRATCH = os.environ["GYM_HTTP_FUZZ_SCRATCH"]
TOKEN = os.environ["GYM_HTTP_FUZZ_TOKEN"]
ENVS = ("CartPole-v1", "FrozenLake-v1", "Pendulum-v1", "Blackjack-v1", "Taxi-v3")
LIVING = 6
ANSWERS = "answers.json"
MSGPACK = "application/msgpack"
ACCEPTED = ("*/*", "application/json", MSGPACK, "text/html", f"{MSGPACK};q=0.2, text/plain")
PLAIN = {"kwargs", "options", "snapshot", "snapshot_id", "resources", "render_mode"}

# The server may refuse these for what they stand for, whatever their types: a space, a
# constructor, a snapshot or a file decides.
DECIDED_LATER = {"action", "actions", "options", "kwargs", "snapshot", "state", "seed"}
NEVER_OF_GOOD_REQUESTS = {"invalid_json", "invalid_msgpack", "invalid_request"}

chance = random.Random(os.environ.get("GYM_HTTP_FUZZ_SEED", "1"))
session = requests.Session()
session.headers["Authorization"] = f"Bearer {TOKEN}"
living = []
answers = Counter()


# ---- the document, stricter than for clients: no reply may have a key that it doesn't name


@schemathesis.hook
def before_load_schema(context, raw_schema):
    for name, schema in raw_schema["components"]["schemas"].items():
        if name.endswith("Reply") or name == "LastError":
            schema["additionalProperties"] = False


# ---- MessagePack


@schemathesis.serializer(MSGPACK)
def to_msgpack(context, value):
    return msgspec.msgpack.encode(packable(value))


def packable(value):
    """As it is, but integers beyond MessagePack's as floats."""
    if isinstance(value, dict):
        return {str(key): packable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [packable(inner) for inner in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return 1e300
    return value


@schemathesis.deserializer(MSGPACK)
def from_msgpack(context, response):
    return listed(msgspec.msgpack.decode(response.content))


def listed(value):
    """With lists for arrays: it is compared with a JSON Schema, and may be sent on."""
    if isinstance(value, dict):
        if value.keys() == {"dtype", "shape", "data"}:
            return np.frombuffer(value["data"], value["dtype"]).reshape(value["shape"]).tolist()
        return {key: listed(inner) for key, inner in value.items()}
    return [listed(inner) for inner in value] if isinstance(value, list) else value


# ---- what is sent


@schemathesis.hook
def before_call(context, case, kwargs):
    if "Accept" not in (case.headers or {}):
        accept = chance.choice(ACCEPTED)
        case.headers = CaseInsensitiveDict({**(case.headers or {}), "Accept": accept})
    operation = case.operation.definition.raw["operationId"]
    if isinstance(case.body, dict):
        hold(operation, case.body)
    if "instance_id" in (case.path_parameters or {}) and chance.random() < 0.8:
        of_path = case.meta and case.meta.components.get(ParameterLocation.PATH)
        is_wrong = of_path and of_path.mode.is_negative
        if not is_wrong and (case.meta is None or case.meta.phase.name != "stateful"):
            case.path_parameters["instance_id"] = one_living()
    is_step = operation == "env_step" and isinstance(case.body, dict) and "action" in case.body
    if is_step and chance.random() < 0.7:
        case.body.pop("seq", None)
        case.body["action"] = an_action(str(case.path_parameters["instance_id"]))


def hold(operation, body):
    """Change a body into one that a test may send. What is wrong with it stays wrong."""
    if operation == "env_create":
        if isinstance(body.get("env_id"), str) and chance.random() < 0.9:
            body["env_id"] = chance.choice(ENVS)
        if isinstance(body.get("num_envs"), int) and body["num_envs"] > 3:
            body["num_envs"] = 3
        if body.get("vectorization") == "async" or body.get("backend") == "ray":
            body.pop("vectorization", None)
            body.pop("backend", None)
        if body.get("backend") == "process" and chance.random() < 0.9:  # which takes its time
            body["backend"] = "local"
        for name in ("step_timeout_s", "make_timeout_s"):
            if is_number(body.get(name)) and 0 < body[name] < 60:
                body[name] += 60
        if is_number(body.get("lease_s")) and body["lease_s"] >= 0:
            body["lease_s"] = 5
        if chance.random() < 0.7:  # most would be refused for one of these
            for name in PLAIN:
                body.pop(name, None)
    elif operation == "env_rollout" and chance.random() < 0.7:
        body.pop("seq", None)
        if isinstance(body.get("sample"), int) and body["sample"] > 50:
            body["sample"] = 50
        if isinstance(body.get("actions"), list) and body["actions"]:
            body["actions"] = [0, 1] * 5
    elif operation in ("env_monitor_start", "upload"):
        for name in ("directory", "training_dir"):
            if body.get(name) and isinstance(body[name], str) and len(body[name]) <= 4096:
                place = hashlib.md5(body[name].encode()).hexdigest()[:1]
                body[name] = f"{SCRATCH}/{place}" if chance.random() < 0.7 else recorded()


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@lru_cache(maxsize=None)
def recorded():
    """A directory with a recording that can be scored."""
    made = session.post(f"{URL}/v1/envs/", json={"env_id": "CartPole-v1"}).json()
    env, directory = f"{URL}/v1/envs/{made['instance_id']}", f"{SCRATCH}/recorded"
    session.post(f"{env}/monitor/start/", json={"directory": directory})
    session.post(f"{env}/reset/", json={})
    session.post(f"{env}/rollout/", json={"sample": 60, "on_done": "reset"})
    session.post(f"{env}/close/", json={})
    return directory


def an_action(instance_id):
    path = f"{URL}/v1/envs/{quote(instance_id, safe='')}/action_space/sample"
    return session.get(path).json().get("action", 0)


def one_living():
    """The id of an instance that lives and has been reset. The few end by themselves."""
    if len(living) >= LIVING:
        instance_id = living[chance.randrange(LIVING)]
        if session.get(f"{URL}/v1/envs/").json()["all_envs"].get(instance_id):
            return instance_id
        living.remove(instance_id)
    body = {"env_id": chance.choice(ENVS), "lease_s": 30}
    if chance.random() < 0.3:
        body["num_envs"] = 2
    made = session.post(f"{URL}/v1/envs/", json=body).json()
    if "instance_id" not in made:  # too_many_instances
        return "00000000"
    living.append(made["instance_id"])
    session.post(f"{URL}/v1/envs/{living[-1]}/reset/", json={})
    return living[-1]


# ---- what is answered


@schemathesis.hook
def after_call(context, case, response):
    answers[case.operation.definition.raw["operationId"], response.status_code] += 1


@atexit.register
def report():
    """For tests/fuzz.py: how often each operation was answered with which status."""
    rows = [[*key, count] for key, count in sorted(answers.items())]
    Path(SCRATCH, ANSWERS).write_bytes(msgspec.json.encode(rows))


@schemathesis.check
def good_requests_are_taken(context, response, case):
    """positive_data_acceptance has to let 400 pass, for an instance may be unknown, or not reset.
    This lets no refusal pass that is of what the document says of a field."""
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive or response.status_code != 400:
        return
    told = decoded(response)
    field = re.match(r"(\w+)(:| must be)", told["message"])
    schema = told["code"] == "bad_value" and field and field[1] not in DECIDED_LATER
    of_the_server = "(--" in told["message"]  # its limits; the message names the option
    missing = told["code"] == "missing_parameter" and "'action'" not in told["message"]  # ""
    if (schema and not of_the_server) or missing or told["code"] in NEVER_OF_GOOD_REQUESTS:
        raise AssertionError(f"refused, though as documented: {told['message']}")


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """A reset's body may be anything at all: v1's clients send nothing, and form data."""
    operation = case.operation.definition.raw["operationId"]
    return not (operation == "env_reset" and "invalid syntax" in failure.message)


def decoded(response):
    if "msgpack" in response.headers["content-type"][0]:
        return msgspec.msgpack.decode(response.content)
    return response.json()
