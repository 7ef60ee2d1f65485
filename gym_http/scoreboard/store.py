"""Where scores are kept: one table in SQLite, through SQLAlchemy."""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gym_http.errors import StorageFailed
from gym_http.scoreboard.score import Score

log = logging.getLogger(__name__)

_metadata = sa.MetaData()

_COLUMN_TYPES = {"int": sa.Integer, "float": sa.Float}

entries = sa.Table(
    "entries",
    _metadata,
    sa.Column("entry_id", sa.Integer, primary_key=True),
    sa.Column("env_id", sa.String(255), nullable=False, index=True),
    sa.Column("engine", sa.String(32), nullable=False),
    sa.Column("algorithm_id", sa.String(255)),
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

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "scoreboard.sqlite3"
        self._engine: sa.Engine | None = None
        self._opening = threading.Lock()

    def add(
        self, env_id: str, engine: str, algorithm_id: str | None, api_key: str, score: Score
    ) -> None:
        """Keep a score under the name that `api_key` stands for. Raises StorageFailed."""
        with self._transaction() as connection:
            salt = _salt(connection)
            assert salt is not None, "made when the database was opened"
            connection.execute(
                entries.insert().values(
                    env_id=env_id,
                    engine=engine,
                    algorithm_id=algorithm_id,
                    uploader_hash=_hash(api_key, salt),
                    uploaded=datetime.now(timezone.utc).replace(tzinfo=None),
                    **asdict(score),
                )
            )

    def ranked(self, env_id: str | None = None) -> list[dict[str, Any]]:
        """The entries of each environment, best first; unscored ones last. Raises StorageFailed."""
        query = entries.select().order_by(
            entries.c.env_id,
            entries.c.mean.desc().nulls_last(),
            entries.c.episode_t_value.asc().nulls_last(),
            entries.c.entry_id,
        )
        if env_id is not None:
            query = query.where(entries.c.env_id == env_id)
        with self._transaction() as connection:
            rows = [dict(row._mapping) for row in connection.execute(query)]
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
            reason = str(getattr(error, "orig", None) or error)
            raise StorageFailed(f"the scoreboard can't be used: {reason}") from error

    def _opened(self) -> sa.Engine:
        with self._opening:
            if self._engine is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                engine = sa.create_engine(f"sqlite:///{self._path}")
                _metadata.create_all(engine)
                with engine.begin() as connection:
                    if _salt(connection) is None:
                        connection.execute(secret.insert().values(salt=secrets.token_bytes(32)))
                self._engine = engine
            return self._engine


def _salt(connection: sa.Connection) -> bytes | None:
    """This database's salt: the oldest, should two servers have made one at once."""
    return connection.execute(sa.select(secret.c.salt).order_by(secret.c.id)).scalar()


def _hash(api_key: str, salt: bytes) -> str:
    """A slow hash: any key is accepted, also one that a list of words holds."""
    digest = hashlib.scrypt(
        api_key.encode("utf-8", "surrogatepass"), salt=salt, n=2**14, r=8, p=1, dklen=32
    )
    return digest.hex()
