"""Which database the scoreboard is in, and how it is reached: SQLite, or PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gym_http.errors import BadValue, DependencyMissing

CONNECT_S = 5
POOL_S = 10.0  # that a caller waits for one of the connections

# PostgreSQL's own ends what waits for longer; a database that is gone without a word is found out
# by TCP, where the system knows how (Linux).
_POSTGRESQL = {
    "connect_timeout": CONNECT_S,
    "client_encoding": "utf8",  # whatever the database's own is, SQL_ASCII too
    "options": "-c statement_timeout=10s -c lock_timeout=5s",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
}

# Lets one server at a time look whether there are tables, and make them.
_ALONE = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "SELECT pg_advisory_xact_lock(7016990438)",  # any number that others don't take
}


def database(url: str, data_dir: Path, password_file: Path | None = None) -> sa.URL:
    """The database that `url` names, or a file in `data_dir`; nothing is opened.

    password_file: has the password that the url lacks.
    Raises BadValue, and DependencyMissing where a driver isn't installed. No message has the url:
    it may hold a password.
    """
    if not url:
        return sa.URL.create("sqlite", database=str(data_dir / "scoreboard.sqlite3"))
    try:
        made = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise BadValue(
            "--scoreboard-url: it is no database URL, such as postgresql+psycopg://user@host/name; "
            "in a password, %40 stands for @, %2F for / and %3A for :"
        ) from None
    kind = made.get_backend_name()
    if kind not in _ALONE:
        raise BadValue(f"--scoreboard-url: it may begin with postgresql or sqlite, not {kind}")
    if kind == "sqlite" and made.database in (None, "", ":memory:"):
        raise BadValue(
            "--scoreboard-url: name a file, sqlite:////path/to/it; what is in memory is lost with "
            "the worker process"
        )
    if made.drivername == "postgresql":
        made = made.set(drivername="postgresql+psycopg")
    if password_file is not None:
        made = made.set(password=_password(password_file))
    _need_driver(made)
    return made


def _password(file: Path) -> str:
    try:
        password = file.read_text().rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadValue(f"--scoreboard-password-file {file}: {reason}") from None
    if not password:
        raise BadValue(f"--scoreboard-password-file {file}: it is empty")
    return password


def _need_driver(url: sa.URL) -> None:
    try:
        dialect = url.get_dialect()
        dialect.import_dbapi()
    except (ImportError, sa.exc.NoSuchModuleError) as error:
        if url.drivername == "postgresql+psycopg":
            raise DependencyMissing(
                "--scoreboard-url: PostgreSQL needs its driver: pip install '.[postgres]'",
                detail=str(error),
            ) from error
        raise DependencyMissing(
            f"--scoreboard-url: there is no driver {url.drivername} here; postgresql+psycopg is "
            "the one that this server is tested with",
            detail=str(error),
        ) from error
    if dialect.is_async:
        raise BadValue(
            f"--scoreboard-url: {url.drivername} is for asyncio; postgresql+psycopg isn't"
        )


def engine_for(url: sa.URL) -> sa.Engine:
    """Connections to the database, made when they are needed; one that has broken, as all do when
    the database is started anew, is found out and replaced."""
    if url.get_backend_name() == "sqlite":
        assert url.database is not None
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        return sa.create_engine(url)
    given: dict[str, Any] = {
        name: value for name, value in _POSTGRESQL.items() if name not in url.query
    }
    return sa.create_engine(url, pool_pre_ping=True, pool_timeout=POOL_S, connect_args=given)


def begin_alone(connection: sa.Connection) -> None:
    """Let no other server make tables until this connection's transaction ends."""
    connection.exec_driver_sql(_ALONE[connection.dialect.name])
