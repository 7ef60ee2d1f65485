"""A real PostgreSQL of the tests' own, in a temporary directory, on a free port."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import subprocess
import tempfile
import unittest
from functools import lru_cache
from pathlib import Path

import sqlalchemy as sa

from gym_http.web.serve import free_address

PASSWORD = "p@ss/w:rd%"
OWNER = "postgres"  # Debian's user for it; PostgreSQL doesn't run as root


def programs() -> Path | None:
    """Where initdb and postgres are: in the PATH, or where Debian puts them, the newest."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    places = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max(
        (place.parent for place in places), key=lambda at: float(at.parent.name), default=None
    )


class PostgreSQL:
    """Asks for a password, which has every character that a URL can't have as it is."""

    def __init__(self, bin: Path) -> None:
        self._bin = bin
        self._user = OWNER if os.geteuid() == 0 else None
        self.home = Path(tempfile.mkdtemp(prefix="gym-http-postgres-"))
        secret = self.home / "password"
        secret.write_text(PASSWORD)
        if self._user:
            for path in (self.home, secret):
                shutil.chown(path, self._user)
        self._run(
            "initdb", "--pgdata", str(self.home / "data"), "--username=gym", "--no-sync",
            "--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C",
        )  # fmt: skip
        _, self.port = free_address("127.0.0.1", 0)
        self._numbers = itertools.count()
        self.start()

    def start(self) -> None:
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={self.port} -c fsync=off "
            f"-c unix_socket_directories={self.home}"
        )
        self._control("start", "-o", options)

    def stop(self) -> None:
        self._control("stop", "-m", "immediate")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def url(self, database: str = "postgres", password: str | None = PASSWORD) -> str:
        made = sa.URL.create(
            "postgresql+psycopg", "gym", password, "127.0.0.1", self.port, database
        )
        return made.render_as_string(hide_password=False)

    def new_database(self, more: str = "") -> str:
        """The name of an empty one. more: of CREATE DATABASE."""
        name = f"scores_{next(self._numbers)}"
        engine = sa.create_engine(self.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} STRATEGY file_copy {more}")
        engine.dispose()
        return name

    def _control(self, verb: str, *more: str) -> None:
        log = self.home / "log"
        self._run(
            "pg_ctl", verb, "--wait", "--pgdata", str(self.home / "data"), "--log", str(log), *more
        )

    def _run(self, program: str, *arguments: str) -> None:
        ended = subprocess.run(
            [self._bin / program, *arguments],
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            cwd=self.home,
            stdout=subprocess.DEVNULL,  # the server keeps what it is started with open
            stderr=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            text=True,
        )
        if ended.returncode:
            raise RuntimeError(f"{program} failed: {ended.stderr}")


@lru_cache(maxsize=None)
def shared_postgresql() -> PostgreSQL:
    """The one that all tests share. Raises SkipTest where there is none to start."""
    bin = programs()
    if bin is None:
        raise unittest.SkipTest("PostgreSQL is not installed")
    server = PostgreSQL(bin)
    atexit.register(server.remove)
    return server
