"""The clients against the OpenAPI document: a method for each operation, an argument for each
field, and nothing that no server knows."""

import inspect
import re
import unittest

import msgspec

from gym_http.web import openapi
from gym_http.web.routes import ROUTES
from gym_http_client import Client
from tests.support import ROOT
from tests.test_openapi import operations

LUA = (ROOT / "binding-lua" / "gym_http_client.lua").read_text()
FOR_MACHINES = {
    "metrics": "Prometheus reads it",
    "healthz": "for who watches the server; the clients ask it by themselves (exactly once)",
    "healthz_anywhere": "the same, where balancers look for it",
    "openapi_document": "for programs that make clients",
    "docs": "for browsers",
}
# Both clients number their calls by themselves.
BY_THEMSELVES = {"seq", "client_id"}
# What the methods have beside: what they make of a reply, and any keys of a space's description.
OWN_ARGUMENTS = {
    "env_reset": {"with_info"},
    "env_step": {"with_truncated"},
    "env_observation_space_contains": {"params"},
}
OWN_METHODS = {"close"}  # the client itself

# In Lua: the names that a method takes as options, and what it puts into a body or a query.
OPTIONS = re.compile(r'(?:options, |names = (?:\{.*?\}, )?|\.\. )"([\w ]+)"')
SENT = re.compile(r'\b(\w+) = \1\b|"(\w+)", \2\b')


def arguments():
    """operationId -> the names of its variables, query and fields; and those of them it needs."""
    for name, (_, path, _) in operations().items():
        route = next(route for route in ROUTES if openapi.operation_id(route) == name)
        kinds = [kind for kind in (route.body, route.query) if kind not in (None, dict)]
        fields = [field for kind in kinds for field in msgspec.structs.fields(kind)]
        taken = {field.name for field in fields} | set(re.findall(r"{(\w+)}", path))
        if name not in FOR_MACHINES:
            yield name, taken - BY_THEMSELVES


class Python(unittest.TestCase):
    def test_each_operation_is_a_method_with_its_arguments(self):
        for name, taken in arguments():
            with self.subTest(operation=name):
                has = set(inspect.signature(getattr(Client, name)).parameters) - {"self"}
                self.assertEqual(has - OWN_ARGUMENTS.get(name, set()), taken)

    def test_there_are_no_others(self):
        public = {
            name
            for name, _ in inspect.getmembers(Client, inspect.isfunction)
            if not name.startswith("_")
        }
        self.assertEqual(public - OWN_METHODS, {name for name, _ in arguments()})


class Lua(unittest.TestCase):
    def setUp(self):
        found = re.findall(
            r"^function Client:(\w+)\((.*?)\)( [^\n]*end|.*?\nend)$", LUA, re.M | re.S
        )
        self.methods = {name: (head, body) for name, head, body in found}

    def test_each_operation_is_a_method_with_its_arguments(self):
        for name, taken in arguments():
            head, body = self.methods[name]
            named = set(re.split(r",\s*", head)) if head else set()
            options = set(" ".join(OPTIONS.findall(body)).split())
            sent = options | {name for pair in SENT.findall(body) for name in pair if name}
            in_path = set(re.findall(r"{(\w+)}", operations()[name][1]))
            with self.subTest(operation=name):
                self.assertLessEqual(in_path, named)
                self.assertLessEqual(taken - in_path, sent)
                others = (named | options) - taken - OWN_ARGUMENTS.get(name, set())
                self.assertLessEqual(others, {"options"})

    def test_there_are_no_others(self):
        self.assertEqual(set(self.methods), {name for name, _ in arguments()})
