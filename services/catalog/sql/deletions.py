"""What was deleted of late, until the index cannot get it back any more."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, delete, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.sql import tables
from services.catalog.sql.column_types import UtcTime
from services.catalog.sql.database import Database
from services.catalog.sql.rows import now

_DELETED = tables.deleted_images


class Deletions:
    """A part of `SqlStore`."""

    _database: Database

    async def deleted_images(self, *, after: str, limit: int) -> list[str]:
        keys = _DELETED.c.image_id
        statement = select(keys).where(keys > after).order_by(keys).limit(limit)
        async with self._database.read("deleted_images") as connection:
            return list((await connection.execute(statement)).scalars())

    async def erase_deletions(self, *, before: datetime) -> int:
        statement = delete(_DELETED).where(_DELETED.c.delete_time < before)
        async with self._database.write("erase_deletions") as connection:
            return (await connection.execute(statement)).rowcount


async def note_deletions(database: Database, connection: AsyncConnection, which: ColumnElement[bool]) -> None:
    """Remembers pictures that the same transaction deletes next. which: a condition on their rows."""
    going = select(tables.reference_images.c.image_id, literal(now(), UtcTime())).where(which)
    statement = database.insert(_DELETED).from_select([column.name for column in _DELETED.c], going)
    again = {"delete_time": statement.excluded["delete_time"]}
    await connection.execute(statement.on_conflict_do_update(index_elements=["image_id"], set_=again))
