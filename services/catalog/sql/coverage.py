"""What people scan and the catalogue does not have, and what they say of the answers."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from services.catalog.resources import Feedback, Gap
from services.catalog.sql import tables
from services.catalog.sql.database import Database
from services.catalog.sql.rows import now


class Coverage:
    """A part of `SqlStore`."""

    _database: Database

    async def record_gap(self, gap: Gap) -> None:
        insert = sqlite_insert if self._database.dialect == "sqlite" else postgresql_insert
        async with self._database.write("record_gap") as connection:
            await connection.execute(insert(tables.gaps).values(asdict(gap)).on_conflict_do_nothing())

    async def erase_scans(self, *, before: datetime) -> int:
        gaps = delete(tables.gaps).where(tables.gaps.c.scan_time < before)
        feedback = delete(tables.feedback).where(tables.feedback.c.update_time < before)
        async with self._database.write("erase_scans") as connection:
            return sum([(await connection.execute(each)).rowcount for each in (gaps, feedback)])

    async def list_gaps(self, *, before: tuple[datetime, str] | None, limit: int, category: str = "") -> list[Gap]:
        gaps, feedback = tables.gaps.c, tables.feedback.c
        said = func.coalesce(func.nullif(feedback.comment, ""), gaps.comment).label("comment")
        statement = (
            select(gaps.scan_id, gaps.category, gaps.confidence, gaps.scan_time, gaps.crop, said, gaps.model)
            .select_from(tables.gaps.outerjoin(tables.feedback, feedback.scan_id == gaps.scan_id))
            .order_by(gaps.scan_time.desc(), gaps.scan_id.desc())
            .limit(limit)
        )
        if before is not None:
            statement = statement.where(tuple_(gaps.scan_time, gaps.scan_id) < tuple_(*before))
        if category:
            statement = statement.where(gaps.category == category)
        async with self._database.read("list_gaps") as connection:
            return [Gap(**row._mapping) for row in await connection.execute(statement)]  # noqa: SLF001  # public

    async def record_feedback(self, feedback: Feedback) -> None:
        insert = sqlite_insert if self._database.dialect == "sqlite" else postgresql_insert
        statement = insert(tables.feedback).values(**asdict(feedback), update_time=now())
        said = {name: statement.excluded[name] for name in ("verdict", "product_id", "comment", "update_time")}
        async with self._database.write("record_feedback") as connection:
            await connection.execute(statement.on_conflict_do_update(index_elements=["scan_id"], set_=said))
