"""The declarations of the routes: whole, and fit to make an OpenAPI document from."""

import inspect
import unittest

import msgspec

from gym_http.errors import GymHTTPError
from gym_http.web.routes import ROUTES
from gym_http.web.schema import Body, ErrorReply


def family(cls):
    return {cls}.union(*map(family, cls.__subclasses__()))


class Declarations(unittest.TestCase):
    def test_make_json_schemas(self):
        kinds = {kind for route in ROUTES for kind in (route.body, route.query, route.reply)}
        structs = [kind for kind in kinds if inspect.isclass(kind) and kind is not dict]
        _, schemas = msgspec.json.schema_components(structs)
        self.assertEqual(schemas["MonitorStartBody"]["required"], ["directory"])
        self.assertEqual(
            set(schemas["StepReply"]["properties"]) & {"done", "reward"}, {"done", "reward"}
        )

    def test_routes_are_whole(self):
        seen = set()
        for route in ROUTES:
            with self.subTest(route=route.path):
                self.assertTrue(route.path.endswith("/"))
                self.assertTrue(route.handler.__doc__)
                self.assertNotIn((route.method, route.path), seen)
                seen.add((route.method, route.path))
                names = set(inspect.signature(route.handler).parameters)
                self.assertEqual("body" in names, route.body is not None)
                self.assertEqual("query" in names, route.query is not None)

    def test_only_known_fields_keep_an_empty_list(self):
        for body in family(Body):
            fields = {field.name for field in msgspec.structs.fields(body)}
            self.assertLessEqual(body.empty_list | body.empty_text, fields)


class Errors(unittest.TestCase):
    def test_every_class_has_a_code_of_its_own(self):
        leaves = [cls for cls in family(GymHTTPError) if not cls.__subclasses__()]
        codes = [cls.code for cls in leaves]
        self.assertEqual(len(set(codes)), len(codes), sorted(codes))
        for cls in leaves:
            self.assertRegex(cls.code, "^[a-z_]+$")
            self.assertTrue(400 <= cls.status < 600)

    def test_the_shape_is_the_declared_one(self):
        declared = {field.name for field in msgspec.structs.fields(ErrorReply)}
        body = GymHTTPError("m", detail="d", request_id="r", expected=1, last_good_step=2).body()
        self.assertEqual(set(body), declared)
