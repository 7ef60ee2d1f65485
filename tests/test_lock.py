"""uv.lock is of what pyproject.toml asks for, and what `make audit` says of it."""

import importlib.util
import re
import sys
import unittest
from itertools import chain

from nose2.tools import params
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def toml(name):
    return tomllib.loads((ROOT / name).read_text())


def audit():
    spec = importlib.util.spec_from_file_location("audit", ROOT / "deploy" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


AUDIT = audit()
PROJECT = toml("pyproject.toml")
LOCK = toml("uv.lock")
EXTRAS = PROJECT["project"]["optional-dependencies"]
SERVED = sorted(set(EXTRAS) - set(AUDIT.NOT_SERVED))


class Lock(unittest.TestCase):
    """What isn't served may be behind: tests are run with the newest versions there are."""

    @classmethod
    def setUpClass(cls):
        cls.versions = {}
        for package in LOCK["package"]:
            cls.versions.setdefault(package["name"], set()).add(package.get("version"))
        (cls.own,) = [package for package in LOCK["package"] if package["name"] == "gym-http"]

    def check(self, requirements, locked):
        names = {entry["name"] for entry in locked}
        for text in requirements:
            requirement = Requirement(text)
            name = canonicalize_name(requirement.name)
            with self.subTest(requirement=text):
                self.assertIn(name, names, "make lock")
                for version in self.versions[name]:
                    self.assertTrue(
                        requirement.specifier.contains(version), f"{version}: make lock"
                    )

    def test_dependencies(self):
        self.check(PROJECT["project"]["dependencies"], self.own["dependencies"])
        self.assertEqual(
            len(PROJECT["project"]["dependencies"]),
            len({entry["name"] for entry in self.own["dependencies"]}),
        )

    def test_extras(self):
        self.assertIn("postgres", SERVED)
        for extra in SERVED:
            self.check(EXTRAS[extra], self.own["optional-dependencies"][extra])

    def test_what_builds(self):
        group = PROJECT["dependency-groups"]["build"]
        self.assertEqual(PROJECT["build-system"]["requires"], group)
        self.check(group, self.own["dev-dependencies"]["build"])

    def test_is_for_every_python_that_we_support(self):
        self.assertEqual(LOCK["requires-python"], PROJECT["project"]["requires-python"])

    def test_every_file_has_its_hash(self):
        for package in LOCK["package"]:
            if package is self.own:
                continue
            self.assertEqual(package["source"], {"registry": "https://pypi.org/simple"})
            files = package.get("wheels", []) + [
                package[kind] for kind in ("sdist",) if kind in package
            ]
            self.assertTrue(files, package["name"])
            for file in files:
                self.assertRegex(file["hash"], r"^sha256:[0-9a-f]{64}$")

    def test_what_installs_it_is_locked_as_well(self):
        text = (ROOT / "deploy" / "uv.txt").read_text()
        self.assertRegex(text, r"^uv==\d+\.\d+\.\d+ \\\n( +--hash=sha256:[0-9a-f]{64}( \\)?\n)+")


def entry(pin, *flaws):
    name, version = pin.split("==")
    return {"name": name, "version": version, "vulns": list(flaws)}


class Audit(unittest.TestCase):
    """pip-audit's words, and what is made of them."""

    FLAW = {"id": "PYSEC-2023-74", "fix_versions": ["2.31.0"], "aliases": [], "description": ""}

    def test_the_served_ones_are_asked_about(self):
        """As uv exports them, each version of each; tests' and benchmarks' aren't."""
        self.assertEqual(
            AUDIT.rounds(["a==1", "a==2", "b==1", "c==1", "c==2", "c==3"]),
            [["a==1", "b==1", "c==1"], ["a==2", "c==2"], ["c==3"]],
        )

    @params(
        ([entry("a==1"), entry("b==2")], AUDIT.CLEAN, "^2 packages audited$"),
        ([entry("a==1", FLAW), entry("b==2")], AUDIT.VULNERABLE, "^a 1: PYSEC.*, mended in 2.31.0"),
        ([entry("a==1"), {"name": "b", "skip_reason": "…"}], AUDIT.UNKNOWN, "of 1 of 2 .*b==2"),
        ([entry("a==1", {"id": "X", "fix_versions": []})], AUDIT.VULNERABLE, "a 1: X\n.*of 1 of 2"),
        ([], AUDIT.UNKNOWN, "NOT AUDITED: of 2 of 2"),
    )
    def test_verdict(self, told, status, text):
        got, said = AUDIT.verdict(["a==1", "b==2"], told)
        self.assertEqual(got, status)
        self.assertRegex(said, text)

    def test_a_tool_that_says_nothing(self):
        """As pip-audit, where it can't reach the registry: on standard error, that is."""
        self.assertEqual(AUDIT.ask("false", ["a==1"]), [])


class Requirements(unittest.TestCase):
    def test_bounds_are_the_same(self):
        """requirements.txt's, where pyproject.toml has the same package."""
        everywhere = chain(PROJECT["project"]["dependencies"], *EXTRAS.values())
        bounds = {}
        for text in everywhere:
            requirement = Requirement(text)
            bounds.setdefault(requirement.name, set()).add(str(requirement.specifier))
        for line in (ROOT / "requirements.txt").read_text().splitlines():
            if not re.match(r"[a-z]", line):
                continue
            requirement = Requirement(line)
            with self.subTest(requirement=line):
                self.assertIn(str(requirement.specifier), bounds[requirement.name])
