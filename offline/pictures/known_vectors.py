"""The vectors that jobs have made: SQLite or PostgreSQL, so that no job embeds what another one did.

Kept by the digest of the file, not by its address: feeds rename their pictures.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Final, NamedTuple, Self

from sqlalchemy import Column, Float, Integer, LargeBinary, MetaData, String, Table, create_engine, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.schema import CreateTable

from shiwu.vision.local_features import is_current

_VECTORS: Final = Table(
    "vectors_and_features",
    MetaData(),
    Column("sha256", String(64), primary_key=True),
    Column("category", String(500), primary_key=True),
    Column("model", String(200), primary_key=True),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("seen", String(500), nullable=False),
    Column("seen_score", Float, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("local_features", LargeBinary, nullable=False),
)


class Key(NamedTuple):
    """What a vector depends on."""

    sha256: str
    """Of the file."""
    category: str
    """That of the product, which decides what in the picture is cropped."""
    model: str
    """The embedder's name@version."""


class Known(NamedTuple):
    """What is known of a picture."""

    width: int
    height: int
    seen: str
    """The detector's most likely category, or empty."""
    seen_score: float
    vector: bytes
    """Little-endian float32."""
    local_features: bytes
    """Of the crop, packed as in shiwu/vision/local_features.py."""


class KnownVectors:
    """Any number of processes may use one at the same time. Use as a context manager."""

    def __init__(self, url: str) -> None:
        """url: of SQLAlchemy, such as sqlite:///vectors.sqlite or postgresql+psycopg://..."""
        self._engine = create_engine(url)
        with self._engine.begin() as connection:
            connection.execute(CreateTable(_VECTORS, if_not_exists=True))  # two tasks may begin at once

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.dispose()

    def find(self, keys: Collection[Key]) -> dict[Key, Known]:
        """Those of these that are known, with local features of this release; some hundred at a time."""
        files = {key.sha256 for key in keys}
        with self._engine.connect() as connection:
            rows = connection.execute(select(_VECTORS).where(_VECTORS.c.sha256.in_(files))).all()
        found = {Key(*row[:3]): Known(*row[3:]) for row in rows if is_current(row.local_features)}
        return {key: found[key] for key in keys if key in found}

    def add(self, made: Mapping[Key, Known]) -> None:
        """Keeps these, instead of what is there by their keys."""
        if not made:
            return
        insert = postgresql_insert if self._engine.dialect.name == "postgresql" else sqlite_insert
        rows = [{**key._asdict(), **known._asdict()} for key, known in made.items()]
        with self._engine.begin() as connection:
            adding = insert(_VECTORS)
            replacing = {name: adding.excluded[name] for name in Known._fields}
            connection.execute(adding.on_conflict_do_update(index_elements=Key._fields, set_=replacing), rows)
