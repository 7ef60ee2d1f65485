"""The OpenAPI document: valid, whole, and told apart from nothing that the server does."""

import json
import unittest

import msgspec
import requests
from openapi_spec_validator import OpenAPIV31SpecValidator

from gym_http import errors
from gym_http.web import components, openapi, refusals
from gym_http.web.routes import ROUTES
from tests.guarded import Guarded
from tests.support import ServerCase, get

DOCUMENT = openapi.document(ROUTES, has_token=True, has_read_token=True)
SCHEMAS = DOCUMENT["components"]["schemas"]
METHODS = ("get", "post")
UNDOCUMENTED = {
    "env_action_space_contains_nothing",  # only says what is missing
    "docs_file",  # what the page is made of
}


def operations(document=DOCUMENT):
    """operationId -> (method, path, operation)."""
    return {
        item[method]["operationId"]: (method, path, item[method])
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    }


class Document(unittest.TestCase):
    def test_is_valid(self):
        for tokens in ((False, False), (True, False), (True, True)):
            document = json.loads(openapi.written(tuple(ROUTES), *tokens))
            with self.subTest(tokens=tokens):
                self.assertEqual(
                    [str(e) for e in OpenAPIV31SpecValidator(document).iter_errors()], []
                )

    def test_has_every_route(self):
        found = operations()
        told = [route for route in ROUTES if route.is_documented]
        self.assertEqual(len(found), len(told))  # each with an id of its own
        self.assertEqual({r.handler.__name__ for r in ROUTES if not r.is_documented}, UNDOCUMENTED)
        for route in told:
            method, path, operation = found[openapi.operation_id(route)]
            with self.subTest(path=path):
                self.assertEqual(method.upper(), route.method)
                self.assertEqual(path.count("{"), route.path.count("<"))
                self.assertEqual("requestBody" in operation, route.body is not None)
                self.assertTrue(operation["summary"])

    def test_says_what_each_field_of_a_request_is(self):
        for route in ROUTES:
            if route.body in (None, dict):
                continue
            properties = SCHEMAS[route.body.__name__]["properties"]
            for field in msgspec.structs.fields(route.body):
                with self.subTest(body=route.body.__name__, field=field.name):
                    self.assertTrue(properties[field.name]["description"])
                    last = properties[field.name].get("anyOf", [{}])[-1]
                    optional = last == components.ABSENT or None in last.get("enum", ())
                    self.assertEqual(optional, not field.required)

    def test_asks_for_a_picture_first(self):
        """A page and generators take the first."""
        answered = operations()["env_render"][2]["responses"]["200"]
        self.assertEqual(next(iter(answered["content"])), "image/png")

    def test_leaves_generators_nothing_to_guess(self):
        """openapi-typescript takes an object without either as empty; openapi-python-client wants
        items, and enums of one type."""
        left = [DOCUMENT["components"]]
        while left:
            inner = left.pop()
            left += inner.values() if isinstance(inner, dict) else inner
            left = [value for value in left if isinstance(value, (dict, list))]
            if not isinstance(inner, dict):
                continue
            with self.subTest(schema=str(inner)[:200]):
                if inner.get("type") == "object":
                    self.assertTrue(inner.keys() & {"properties", "additionalProperties"})
                if inner.get("type") == "array":
                    self.assertIn("items", inner)
                kinds = {type(value) for value in inner.get("enum", ()) if value is not None}
                self.assertLessEqual(len(kinds), 1)

    def test_has_every_error(self):
        codes = {kind.code for kind in refusals.family(errors.GymHTTPError)}
        self.assertEqual(set(SCHEMAS["ErrorReply"]["properties"]["code"]["enum"]), codes)
        anywhere = {errors.GymHTTPError, errors.InvalidRequest, errors.ServerSide, errors.Forbidden}
        told = set().union(*(refusals.errors_of(route) for route in ROUTES))
        missing = refusals.family(errors.GymHTTPError) - anywhere - told
        self.assertEqual(missing, {errors.MethodNotAllowed})  # of methods that aren't in it

    def test_its_table_of_errors_is_of_routes(self):
        self.assertLessEqual(set(refusals.FURTHER), set(operations()))

    def test_links_lead_somewhere(self):
        found = operations()
        for _, _, operation in found.values():
            for link in operation["responses"]["200"].get("links", {}).values():
                _, path, target = found[link["operationId"]]
                for name in link.get("parameters", {}):
                    with self.subTest(source=operation["operationId"], target=path):
                        self.assertIn(f"{{{name}}}", path)
                if "requestBody" in link:
                    self.assertIn("requestBody", target)

    def test_asks_for_a_token_where_the_server_does(self):
        for name, (_, _, operation) in operations().items():
            route = next(r for r in ROUTES if openapi.operation_id(r) == name)
            both = [{"token": []}, {"readToken": []}]
            expected = [] if route.is_open else both if route.watches else both[:1]
            with self.subTest(operation=name):
                self.assertEqual(operation["security"], expected)
        without = openapi.document(ROUTES, has_token=False, has_read_token=False)
        self.assertNotIn("security", str(operations(without)))
        self.assertNotIn("securitySchemes", without["components"])


class OfAServerWithTokens(Guarded):
    def test_tells_everybody_that_it_asks_for_one(self):
        status, _, document = self.ask("nobody", "GET", "/v1/openapi.json")
        self.assertEqual((status, document["paths"]), (200, DOCUMENT["paths"]))
        self.assertEqual(set(document["components"]["securitySchemes"]), {"token", "readToken"})


class Served(ServerCase):
    def test_document(self):
        status, headers, document = get(self.server, "/v1/openapi.json")
        self.assertEqual((status, headers["x-content-type-options"]), (200, "nosniff"))
        self.assertEqual(document["openapi"], "3.1.1")
        self.assertEqual(set(document["paths"]), set(DOCUMENT["paths"]))
        again = get(self.server, "/v1/openapi.json/")[2]
        self.assertEqual(again, document)

    def test_page_lets_no_other_code_run(self):
        for path in ("/v1/docs/", "/v1/docs"):
            status, headers, page = get(self.server, path)
            self.assertEqual((status, headers["content-type"]), (200, "text/html; charset=utf-8"))
            policy = headers["content-security-policy"]
            self.assertIn("default-src 'none'; script-src 'self';", policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertEqual(headers["x-frame-options"], "DENY")
            self.assertEqual(headers["x-content-type-options"], "nosniff")
            self.assertEqual(headers["referrer-policy"], "no-referrer")
            self.assertNotIn(b"//", page)  # all of it is served from here

    def test_what_the_page_names_is_there(self):
        page = get(self.server, "/v1/docs/")[2].decode()
        named = [part.split('"')[0] for part in page.replace("src=", "href=").split('href="')[1:]]
        self.assertEqual(len(named), 6)
        for path in named:
            with self.subTest(path=path):
                reply = requests.head(self.server.url + path)
                self.assertEqual(reply.status_code, 200)
                self.assertGreater(int(reply.headers["Content-Length"]), 100)
                self.assertEqual(reply.headers["X-Content-Type-Options"], "nosniff")
                if path.startswith("/v1/docs/"):
                    self.assertIn("immutable", reply.headers["Cache-Control"])

    def test_nothing_else_is(self):
        for name in (
            "index.html",
            "..",
            "%2e%2e/__init__.py",
            "..%2f__init__.py",
            "LICENSE",
            "%00",
        ):
            with self.subTest(name=name):
                status, _, reply = get(self.server, f"/v1/docs/{name}")
                self.assertEqual((status, reply["code"]), (404, "unknown_path"))
