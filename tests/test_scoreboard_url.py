"""`--scoreboard-url`: what it may be, and a server whose scoreboard is in PostgreSQL."""

import subprocess
import sys
import unittest
from pathlib import Path
from urllib.parse import quote

from nose2.tools import params

from gym_http.errors import BadValue, GymHTTPError
from gym_http.scoreboard.store import Scoreboard
from gym_http.settings import Settings
from tests.postgresql import PASSWORD, shared_postgresql
from tests.support import ROOT, ServerProcess, create, get, post


class Urls(unittest.TestCase):
    @params(
        ("nonsense", "no database URL"),
        ("postgresql://user:s3cret@host:port/name", "no database URL"),
        ("mysql://user:s3cret@host/name", "begin with postgresql or sqlite, not mysql"),
        ("postgresql+asyncpg://user:s3cret@host/name", "asyncpg"),
        ("postgresql+nothing://user:s3cret@host/name", "no driver postgresql.nothing"),
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
    )
    def test_that_cannot_be(self, url, reason):
        with self.assertRaisesRegex(GymHTTPError, f"^--scoreboard-url: .*{reason}") as caught:
            Scoreboard(Path(), url)
        self.assertNotIn("s3cret", f"{caught.exception} {caught.exception.__cause__}")
        self.assertNotIn("s3cret", repr(Settings(scoreboard_url=url)))

    @params(("/no/such/file", "No such file"), ("/", "directory"), ("/dev/null", "it is empty"))
    def test_password_files_that_cannot_be(self, path, reason):
        with self.assertRaisesRegex(BadValue, f"^--scoreboard-password-file {path}: .*{reason}"):
            Scoreboard(Path(), "postgresql://user@host/name", Path(path))

    def test_without_the_driver(self):
        code = (
            "import sys; sys.modules['psycopg'] = None\n"
            "from pathlib import Path\n"
            "from gym_http.errors import DependencyMissing\n"
            "from gym_http.scoreboard.store import Scoreboard\n"
            "try: Scoreboard(Path(), 'postgresql://u@h/n')\n"
            "except DependencyMissing as error: print(error.message)\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
        )
        self.assertIn("pip install '.[postgres]'", ended.stdout, ended.stderr)


class AServerOnPostgreSQL(unittest.TestCase):
    """The password comes by the environment, which libpq reads as well."""

    @classmethod
    def setUpClass(cls):
        cls.postgresql = shared_postgresql()
        cls.url = cls.postgresql.url(cls.postgresql.new_database())
        cls.server = ServerProcess(environ={"GYM_HTTP_SCOREBOARD_URL": cls.url})
        cls.addClassCleanup(cls.server.stop)

    def test_upload_and_scores(self):
        directory = str(self.server.home / "recording")
        env = create(self.server)
        post(self.server, f"{env}/monitor/start/", {"directory": directory})
        post(self.server, f"{env}/reset/", {"seed": 1})
        post(self.server, f"{env}/rollout/", {"sample": 200})
        post(self.server, f"{env}/close/")
        upload = {"training_dir": directory, "api_key": "me", "algorithm_id": "random"}
        self.assertEqual(post(self.server, "/v1/upload/", upload)[2], {})
        _, _, told = get(self.server, "/v1/scoreboard/?env_id=CartPole-v1")
        self.assertEqual([row["algorithm_id"] for row in told["entries"]], ["random"])
        self.assertEqual(get(self.server, "/v1/scoreboard/?env_id=%00")[2], {"entries": []})
        self.assertFalse((self.server.home / "data").exists())
        printed = self.command("scores", "--scoreboard-url", self.url)
        self.assertRegex(printed.stdout, r"^CartPole-v1  -  \d+ episodes  random  ")

        self.postgresql.stop()
        try:
            for status, _, reply in (
                get(self.server, "/v1/scoreboard/"),
                post(self.server, "/v1/upload/", upload),
            ):
                self.assertEqual((status, reply["code"]), (500, "storage_failed"))
        finally:
            self.postgresql.start()
        self.assertEqual(get(self.server, "/v1/scoreboard/")[0], 200)
        self.assertNotIn(PASSWORD, self.server.log())
        self.assertNotIn(quote(PASSWORD, safe=""), self.server.log())

    def test_what_cannot_be_is_said_at_the_start(self):
        for flags, reason in (
            (["--scoreboard-url", "mysql://u:s3cret@h/n"], "postgresql or sqlite, not mysql"),
            (["--scoreboard-url", self.url, "--scoreboard-password-file", "/none"], "No such file"),
        ):
            ended = self.command("serve", "-p", "0", *flags)
            self.assertEqual(ended.returncode, 2)
            self.assertIn(reason, ended.stderr)
            self.assertNotIn("s3cret", ended.stderr)

    def command(self, *arguments):
        return subprocess.run(
            [sys.executable, "-m", "gym_http", *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=60,
        )
