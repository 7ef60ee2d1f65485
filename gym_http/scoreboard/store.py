"""Where scores are kept: one table, in SQLite or PostgreSQL, through SQLAlchemy."""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import datetime, timezone
from operator import itemgetter
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gym_http.errors import BadValue, StorageFailed, shown
from gym_http.scoreboard.database import CONNECT_S, begin_alone, database, engine_for
from gym_http.scoreboard.score import Score

log = logging.getLogger(__name__)

_metadata = sa.MetaData()

_LONGEST = {"env_id": 255, "engine": 32, "algorithm_id": 255}  # characters
_COLUMN_TYPES = {"int": sa.BigInteger, "float": sa.Float}

entries = sa.Table(
    "entries",
    _metadata,
    sa.Column("entry_id", sa.Integer, primary_key=True),
    sa.Column("env_id", sa.String(_LONGEST["env_id"]), nullable=False, index=True),
    sa.Column("engine", sa.String(_LONGEST["engine"]), nullable=False),
    sa.Column("algorithm_id", sa.String(_LONGEST["algorithm_id"])),
    sa.Column("uploader_hash", sa.String(64), nullable=False),
    sa.Column("uploaded", sa.DateTime, nullable=False),  # UTC
    *(
        sa.Column(column.name, _COLUMN_TYPES[str(column.type).split(" |")[0]])
        for column in fields(Score)
    ),
)

secret = sa.Table(
    "secret",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("salt", sa.LargeBinary(32), nullable=False),
)


class Scoreboard:
    """The scores of one database. Opens it at the first use, so that a server which is never
    asked about scores never makes a file."""

    def __init__(self, data_dir: Path, url: str = "", password_file: Path | None = None) -> None:
        """url: of a database in place of a file in `data_dir`. Raises BadValue,
        DependencyMissing."""
        self._url = database(url, data_dir, password_file)
        self._engine: sa.Engine | None = None
        self._opening = threading.Lock()

    def add(
        self, env_id: str, engine: str, algorithm_id: str | None, api_key: str, score: Score
    ) -> None:
        """Keep a score under the name that `api_key` stands for. Raises BadValue, StorageFailed."""
        told = {"env_id": env_id, "engine": engine, "algorithm_id": algorithm_id}
        for name, text in told.items():
            if text is not None and not _storable(text, _LONGEST[name]):
                raise BadValue(f"{name} {shown(text)}: too long for a scoreboard, or no text")
        with self._transaction() as connection:
            salt = _salt(connection)
            assert salt is not None, "made when the database was opened"
            connection.execute(
                entries.insert().values(
                    **told,
                    uploader_hash=_hash(api_key, salt),
                    uploaded=datetime.now(timezone.utc).replace(tzinfo=None),
                    **asdict(score),
                )
            )

    def ranked(self, env_id: str | None = None) -> list[dict[str, Any]]:
        """The entries of each environment, best first; unscored ones last. Raises StorageFailed."""
        query = entries.select().order_by(
            entries.c.mean.desc().nulls_last(),
            entries.c.episode_t_value.asc().nulls_last(),
            entries.c.entry_id,
        )
        if env_id is not None:
            if not _storable(env_id):
                return []
            query = query.where(entries.c.env_id == env_id)
        with self._transaction() as connection:
            rows = [dict(row._mapping) for row in connection.execute(query)]
        rows.sort(key=itemgetter("env_id"))  # each database has an alphabet of its own
        for row in rows:
            row["uploader"] = row.pop("uploader_hash")[:8]
            row["uploaded"] = row["uploaded"].replace(tzinfo=timezone.utc)
        return rows

    def close(self) -> None:
        with self._opening:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._opened().begin() as connection:
                yield connection
        except (sa.exc.SQLAlchemyError, OSError) as error:
            reason = str(getattr(error, "orig", None) or error).strip()
            raise StorageFailed(f"the scoreboard can't be used: {reason}") from error

    def _opened(self) -> sa.Engine:
        """Who comes while another is opening it waits for about as long as that may take, so that
        a database which doesn't answer never holds many up one after the other."""
        if not self._opening.acquire(timeout=CONNECT_S + 1):
            raise StorageFailed("the scoreboard can't be used: the database doesn't answer")
        try:
            if self._engine is None:
                self._engine = _open(self._url)
            return self._engine
        finally:
            self._opening.release()


def _open(url: sa.URL) -> sa.Engine:
    """The database, with its tables and its salt."""
    engine = engine_for(url)
    try:
        with engine.begin() as connection:
            begin_alone(connection)
            _metadata.create_all(connection)
            if _salt(connection) is None:
                connection.execute(secret.insert().values(salt=secrets.token_bytes(32)))
    except BaseException:
        engine.dispose()
        raise
    return engine


def _storable(text: str, most: int | None = None) -> bool:
    """Whether every database can hold it: no NUL, and no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text and (most is None or len(text) <= most)


def _salt(connection: sa.Connection) -> bytes | None:
    """This database's salt: the oldest, should a database have two."""
    return connection.execute(sa.select(secret.c.salt).order_by(secret.c.id)).scalar()


def _hash(api_key: str, salt: bytes) -> str:
    """A slow hash: any key is accepted, also one that a list of words holds."""
    digest = hashlib.scrypt(
        api_key.encode("utf-8", "surrogatepass"), salt=salt, n=2**14, r=8, p=1, dklen=32
    )
    return digest.hex()
