"""Drives the Python client; with --msgpack, the one that speaks MessagePack."""

import base64
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where the client's file is
import requests

from gym_http_client import Client, ServerError

if "--msgpack" in sys.argv:
    from gym_http.remote.connection import MessagePackClient as Client

client = None


def call(name, url=None, **arguments):
    global client
    if name == "new_client":
        client = Client(url, **arguments)
        return None
    value = getattr(client, name)(**arguments)
    if name == "env_reset" and arguments.get("with_info"):
        return {"observation": value[0], "info": value[1]}
    if name == "env_reset":
        return {"observation": value}
    if name == "env_step" and arguments.get("with_truncated"):
        return dict(
            zip(["observation", "reward", "terminated", "truncated", "info"], value, strict=True)
        )
    if name == "env_step":
        return dict(zip(["observation", "reward", "done", "info"], value, strict=True))
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def answer(asked):
    if asked["call"] != "new_client" and not hasattr(Client, asked["call"]):
        return {"unsupported": True}
    try:
        return {"value": call(asked["call"], **asked["arguments"])}
    except ServerError as error:
        code = error.code or "bad_reply"
        return {"error": {"code": code, "message": str(error), "status": error.status_code}}
    except requests.Timeout as error:
        return {"error": {"code": "timeout", "message": str(error)}}
    except requests.RequestException as error:
        return {"error": {"code": "connection", "message": str(error)}}
    except (TypeError, ValueError, KeyError) as error:
        return {"error": {"code": "bad_reply", "message": repr(error)}}


for line in sys.stdin:
    said = answer(json.loads(line))
    print(json.dumps(said, default=lambda array: array.tolist()), flush=True)
