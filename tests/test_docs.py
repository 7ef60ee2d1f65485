"""What the documentation says, held against the code; README's snippets, run."""

import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import msgspec

from gym_http.errors import GymHTTPError, InvalidRequest, ServerSide
from gym_http.spaces import describe
from gym_http.web import openapi
from gym_http.web.routes import ROUTES
from tests.support import ROOT, ServerProcess
from tests.test_schema import family

README = (ROOT / "README.md").read_text()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
SECURITY = (ROOT / "docs" / "security.md").read_text()


SCHEMAS = openapi.document(ROUTES, has_token=True, has_read_token=True)["components"]["schemas"]
TYPES = {  # as people call them
    "text/plain": "text",
    "text/html": "page",
    "application/json": "OpenAPI 3.1 document",
    "application/openmetrics-text": "OpenMetrics",
}


def in_order(fields):
    """Of a Struct: what its base has stands last."""
    numbered = ("seq", "client_id")
    return sorted(fields, key=lambda field: field.name in numbered)


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


class Security(unittest.TestCase):
    def test_what_is_said_to_be_shown_is(self):
        """Each row's last cell names tests: `tests.test_x.Class.test_y`, or `.Class`."""
        rows = [line for line in SECURITY.splitlines() if line.startswith("| ")][1:]
        for row in rows:
            with self.subTest(row=row[:60]):
                named = re.findall(r"`(tests\.[\w.]+)`", row.rpartition(" | ")[2] or row)
                self.assertTrue(named)
                for name in named:
                    found = unittest.defaultTestLoader.loadTestsFromName(name)
                    self.assertGreater(found.countTestCases(), 0, name)
                    self.assertNotIn("_FailedTest", repr(found))


class Protocol(unittest.TestCase):
    def test_every_error_and_its_status(self):
        rows = re.findall(r"^\| `(\w+)` \| (\dxx|\d+) \|", PROTOCOL, re.M)
        classes = family(GymHTTPError) - {GymHTTPError, ServerSide, InvalidRequest}
        expected = {(cls.code, str(cls.status)) for cls in classes} | {("invalid_request", "4xx")}
        self.assertEqual(set(rows), expected)

    def documented(self):
        """(route, its path as the pages write it, its section of the protocol)."""
        sections = dict(re.findall(r"^### ([^\n]*)\n(.*?)(?=^##|\Z)", PROTOCOL, re.M | re.S))
        for route in ROUTES:
            path = route.path.replace("<instance_id>", "ID").replace("<path:x>", "X")
            path = path.replace("<snapshot_id>", "SNAPSHOT_ID")
            if not route.is_documented:
                continue
            whole = re.compile(rf"(?<!\S){re.escape(path.rstrip('/'))}/?(?![\w/])")
            for title, section in sections.items():
                if title.startswith(route.method + " ") and whole.search(title):
                    yield route, path, title + section
                    break
            else:
                self.fail(f"docs/protocol.md has no section on {route.method} {path}")

    def test_every_route(self):
        for route, path, _ in self.documented():
            short = path.removeprefix("/v1/").removeprefix("/").rstrip("/")
            with self.subTest(route=path):
                self.assertRegex(README, rf"\| {route.method} `{re.escape(short)}/?`")

    def test_every_field_of_a_request(self):
        """In the words of the OpenAPI document, in which links lead nowhere."""
        for route, path, section in self.documented():
            if route.body not in (None, dict):
                rows = re.findall(r"^\| `(\w+)`(\??) \| [^|]+ \| (.*?) ?\|$", section, re.M)
                told = {name: (mark == "?", words) for name, mark, words in rows}
                schema = SCHEMAS[route.body.__name__]["properties"]
                fields = msgspec.structs.fields(route.body)
                self.assertEqual(list(told), [field.name for field in in_order(fields)])
                for field in fields:
                    optional, words = told[field.name]
                    with self.subTest(route=path, field=field.name):
                        self.assertEqual(optional, not field.required)
                        words = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", words)
                        self.assertEqual(words, schema[field.name]["description"])
            for field in msgspec.structs.fields(route.query) if route.query else ():
                with self.subTest(route=path, field=field.name):
                    self.assertIn(f"?{field.name}=", section)

    def test_every_field_of_a_reply(self):
        for route, path, section in self.documented():
            for kind in (route.reply, route.msgpack):
                for field in msgspec.structs.fields(kind) if isinstance(kind, type) else ():
                    if field.name == "info_dropped":
                        continue  # told once, under Values
                    with self.subTest(route=path, field=field.name):
                        self.assertIn(f"`{field.name}`", section)

    def test_every_content_type(self):
        for route, path, section in self.documented():
            for content_type in route.reply if isinstance(route.reply, tuple) else ():
                with self.subTest(route=path, content_type=content_type):
                    self.assertIn(TYPES.get(content_type, content_type), section)

    def test_readme_has_the_fields(self):
        for route, path, _ in self.documented():
            short = path.removeprefix("/v1/").removeprefix("/").rstrip("/")
            row = re.search(rf"^\| {route.method} `{re.escape(short)}/?`.*$", README, re.M)
            kinds = [kind for kind in (route.body, route.reply) if kind not in (None, dict)]
            for kind in kinds if short != "envs/ID/snapshot/SNAPSHOT_ID" else ():
                for field in msgspec.structs.fields(kind) if isinstance(kind, type) else ():
                    if field.name not in ("info_dropped", "restored"):
                        with self.subTest(route=path, field=field.name):
                            self.assertIn(f"`{field.name}`", row[0])

    def test_every_space(self):
        rows = set(re.findall(r"^\| `([A-Z]\w+)` \|", PROTOCOL, re.M))
        known = {
            cls.__name__ for cls in describe.registry if cls.__module__.startswith("gymnasium")
        }
        self.assertEqual(rows, known)


class Links(unittest.TestCase):
    def test_lead_somewhere(self):
        kit = ROOT / "conformance" / "README.md"
        for page in [ROOT / "README.md", kit, *(ROOT / "docs").glob("*.md")]:
            for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
                if not target.startswith("http"):
                    with self.subTest(page=page.name, target=target):
                        self.assertTrue((page.parent / target).exists())

    def test_architecture_names_every_module(self):
        page = (ROOT / "docs" / "architecture.md").read_text()
        for path in (ROOT / "gym_http").rglob("*.py"):
            name = path.parent.name + "/" if path.name == "__init__.py" else path.name
            if path.parent.name in PACKAGES:
                name = path.stem if path.name != "__init__.py" else name
            if name in ("gym_http/", "contract", "__main__.py"):
                continue
            with self.subTest(module=str(path.relative_to(ROOT))):
                self.assertIn(name, page)


PACKAGES = ("recording", "scoreboard", "backends", "snapshots", "spaces", "remote", "fake_server")


class Rooms(unittest.TestCase):
    def test_imports_point_downwards(self):
        """In the order of docs/architecture.md. A package counts as one room."""
        page = (ROOT / "docs" / "architecture.md").read_text()
        drawn = re.findall(r"^ {2,4}(\w+)(?:\.py|/) ", page, re.M)
        order = {room: place for place, room in enumerate(drawn)}
        for path in (ROOT / "gym_http").rglob("*.py"):
            parts = path.relative_to(ROOT / "gym_http").with_suffix("").parts
            if parts in (("__init__",), ("__main__",)):
                continue
            room = parts[-1] if parts[0] == "web" and parts[-1] != "__init__" else parts[0]
            for line in re.findall(r"from gym_http(?:\.([\w.]+))? import (.+)", path.read_text()):
                for target in rooms_of(*line):
                    with self.subTest(room=str(path.relative_to(ROOT)), imports=target):
                        self.assertLessEqual(order[room], order[target])


def rooms_of(module, names):
    """The rooms that `from gym_http.module import names` enters."""
    first, _, rest = module.partition(".")
    if first == "":
        return [name.strip() for name in names.strip("()").split(",") if "__" not in name]
    if first == "web":
        return [rest] if rest else [name.strip() for name in names.split(" as ")[0].split(",")]
    return [first]


class Snippets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ServerProcess()
        cls.addClassCleanup(cls.server.stop)

    def here(self, text):
        return text.replace("http://127.0.0.1:5000", self.server.url)

    def test_the_curl_sessions_give_what_they_say(self):
        sessions = blocks(README, "console")
        self.assertEqual(len(sessions), 3)
        for session in sessions:
            with self.subTest(session=session[:80]):
                self.check(session)

    def check(self, session):
        steps = re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", session, re.M)
        self.assertGreater(len(steps), 2)
        said = re.search(r'"instance_id":"(\w+)"', session)[1]
        real = said
        with tempfile.TemporaryDirectory() as directory:
            for command, expected in steps:
                ended = subprocess.run(
                    ["bash", "-c", self.here(command).replace(said, real)],
                    capture_output=True,
                    text=True,
                    cwd=directory,
                )
                self.assertEqual(ended.returncode, 0, ended.stderr)
                created = re.search(r'"instance_id":"(\w+)"', ended.stdout)
                real = created[1] if created else real
                got = re.sub(r"(\d\.\d{7})\d+", r"\1", ended.stdout.replace(real, said))
                self.assertEqual(got.strip(), expected.strip())
            for name in re.findall(r"-o (\w+\.png)", session):
                self.assertEqual((Path(directory) / name).read_bytes()[:4], b"\x89PNG")

    def test_python(self):
        codes = blocks(README, "python")
        self.assertEqual(len(codes), 4)
        for code in codes:
            with self.subTest(code=code):
                ended = subprocess.run(
                    [sys.executable, "-c", self.here(code)],
                    capture_output=True,
                    text=True,
                    cwd=ROOT,
                )
                self.assertEqual(ended.returncode, 0, ended.stderr)
                self.assertGreater(float(ended.stdout), 0)

    def test_lua(self):
        if shutil.which("lua5.4") is None:
            self.skipTest("lua5.4 is not installed")
        (code,) = blocks(README, "lua")
        ended = subprocess.run(
            ["lua5.4", "-e", self.here(code)],
            capture_output=True,
            text=True,
            cwd=ROOT / "binding-lua",
        )
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertGreater(float(ended.stdout), 0)

    def test_the_clients_own_docstring(self):
        import gym_http_client

        code = "\n".join(
            line[4:] for line in gym_http_client.__doc__.splitlines() if line.startswith("    ")
        )
        ended = subprocess.run(
            [sys.executable, "-c", self.here(code)], capture_output=True, text=True, cwd=ROOT
        )
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))

    def test_make_targets_that_readme_names_exist(self):
        makefile = (ROOT / "Makefile").read_text()
        for target in set(re.findall(r"^make (\w+)", README, re.M)):
            self.assertRegex(makefile, rf"(?m)^{target}:")
