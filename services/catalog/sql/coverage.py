"""What people scan and the catalogue does not have, what became of it, and what they say of the answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, Row, Select, bindparam, case, delete, func, literal, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.coverage import Coverage as CoverageRow
from services.catalog.coverage import Feedback, Gap, GapPlace, GapState, Replay, Verdict
from services.catalog.sql import tables
from services.catalog.sql.column_types import KEY, UtcTime
from services.catalog.sql.database import Database
from services.catalog.sql.rows import now

_GAPS, _REPLAYS, _FEEDBACK, _COVERAGE = tables.gaps.c, tables.replays.c, tables.feedback.c, tables.coverage.c
_OPEN = or_(_REPLAYS.scan_id.is_(None), _REPLAYS.found.is_(False), _REPLAYS.product_id.is_(None))
_CLUSTER = func.coalesce(_GAPS.cluster_id, _GAPS.scan_id)
_WITH_FACTS = tables.gaps.outerjoin(tables.feedback, _FEEDBACK.scan_id == _GAPS.scan_id).outerjoin(
    tables.replays, _REPLAYS.scan_id == _GAPS.scan_id
)


class Coverage:
    """A part of `SqlStore`."""

    _database: Database

    async def record_gap(self, gap: Gap) -> None:
        values = {column.name: getattr(gap, column.name) for column in tables.gaps.c}
        async with self._database.write("record_gap") as connection:
            await connection.execute(self._database.insert(tables.gaps).values(values).on_conflict_do_nothing())

    async def erase_scans(self, *, before: datetime) -> int:
        gaps = delete(tables.gaps).where(_GAPS.scan_time < before)
        feedback = delete(tables.feedback).where(_FEEDBACK.update_time < before)
        async with self._database.write("erase_scans") as connection:
            return sum([(await connection.execute(each)).rowcount for each in (gaps, feedback)])

    async def list_gaps(
        self,
        *,
        before: GapPlace | None,
        limit: int,
        category: str = "",
        state: GapState | None = None,
        cluster_id: str = "",
        by_demand: bool = False,
        without: Collection[str] = ("vector",),
    ) -> list[Gap]:
        statement = _listed(without, by_demand=by_demand).limit(limit)
        places: list[Any] = [_GAPS.scan_time, _GAPS.scan_id]
        if by_demand:
            places = [statement.selected_columns.demand, _CLUSTER, *places]
        statement = statement.order_by(*(place.desc() for place in places))
        if before is not None:
            statement = statement.where(tuple_(*places) < tuple_(*before[-len(places) :]))
        if category:
            statement = statement.where(_GAPS.category == category)
        if state is not None:
            statement = statement.where(_OPEN if state is GapState.OPEN else ~_OPEN)
        if cluster_id:
            statement = statement.where(_CLUSTER.in_([cluster_id]))
        async with self._database.read("list_gaps") as connection:
            return [_gap(row) for row in await connection.execute(statement)]

    async def record_feedback(self, feedback: Feedback) -> None:
        statement = self._database.insert(tables.feedback).values(**asdict(feedback), update_time=now())
        said = {name: statement.excluded[name] for name in ("verdict", "product_id", "comment", "update_time")}
        async with self._database.write("record_feedback") as connection:
            await connection.execute(statement.on_conflict_do_update(index_elements=["scan_id"], set_=said))

    async def cluster_gaps(self, clusters: Mapping[str, str]) -> None:
        changed = (
            update(tables.gaps)
            .where(_GAPS.scan_id == bindparam("key"), _GAPS.cluster_id.is_distinct_from(bindparam("cluster")))
            .values(cluster_id=bindparam("cluster"))
        )
        rows = [{"key": key, "cluster": clusters[key] or None} for key in sorted(clusters)]
        async with self._database.write("cluster_gaps") as connection:
            await connection.execute(changed, rows)

    async def record_replays(self, replay_id: str, replays: Mapping[str, Replay]) -> None:
        moment = now()
        async with self._database.write("record_replays") as connection:
            if rows := await _replayed(connection, replay_id, replays, moment):
                statement = self._database.insert(tables.replays)
                columns = {column.name: statement.excluded[column.name] for column in _REPLAYS}
                statement = statement.on_conflict_do_update(index_elements=["scan_id"], set_=columns)
                await connection.execute(statement, rows)
            counted = self._database.insert(tables.coverage).from_select(
                list(_COVERAGE.keys()), _counts(replay_id, moment)
            )
            columns = {column.name: counted.excluded[column.name] for column in _COVERAGE}
            keys = ["replay_id", "category"]
            await connection.execute(counted.on_conflict_do_update(index_elements=keys, set_=columns))

    async def list_coverage(
        self, *, before: tuple[datetime, str, str] | None, limit: int, category: str = ""
    ) -> list[CoverageRow]:
        places = (_COVERAGE.update_time, _COVERAGE.replay_id, _COVERAGE.category)
        statement = select(tables.coverage).order_by(*(place.desc() for place in places)).limit(limit)
        if before is not None:
            statement = statement.where(tuple_(*places) < tuple_(*before))
        if category:
            statement = statement.where(_COVERAGE.category == category)
        async with self._database.read("list_coverage") as connection:
            return [CoverageRow(**row._mapping) for row in await connection.execute(statement)]  # noqa: SLF001  # public


def _listed(without: Collection[str], *, by_demand: bool) -> Select[Any]:
    said = func.coalesce(func.nullif(_FEEDBACK.comment, ""), _GAPS.comment).label("comment")
    plain = [column for column in _GAPS if column.name not in {"comment", *without}]
    of_user = [_FEEDBACK.verdict, _FEEDBACK.product_id.label("said_product_id")]
    replay = [column.label(f"replay_{column.name}") for column in _REPLAYS if column.name != "closed_in"]
    if "demand" in without and not by_demand:
        return select(*plain, said, *of_user, *replay).select_from(_WITH_FACTS)
    demand = _demand()
    number = func.coalesce(demand.c.demand, 0).label("demand")
    joined = _WITH_FACTS.outerjoin(demand, demand.c.cluster == _CLUSTER)
    return select(*plain, said, number, *of_user, *replay).select_from(joined)


def _demand() -> Any:
    wanted = or_(_FEEDBACK.verdict.is_(None), _FEEDBACK.verdict != Verdict.RIGHT)
    counted = select(_CLUSTER.label("cluster"), func.count().label("demand")).select_from(_WITH_FACTS)
    return counted.where(_OPEN, wanted).group_by(_CLUSTER).subquery("demand")


def _gap(row: Row[Any]) -> Gap:
    values = dict(row._mapping)  # noqa: SLF001  # public
    replay = {name.removeprefix("replay_"): values.pop(name) for name in list(values) if name.startswith("replay_")}
    values["said_product_id"] = values["said_product_id"] or ""
    if replay.pop("scan_id") is not None:
        values["replay"] = Replay(**replay)
    return Gap(**values)


async def _replayed(
    connection: AsyncConnection, replay_id: str, replays: Mapping[str, Replay], moment: datetime
) -> list[dict[str, Any]]:
    """Rows to write."""
    # What is referred to is locked, for it must stay until this is written.
    scans = select(_GAPS.scan_id).where(_GAPS.scan_id.in_(sorted(replays))).order_by(_GAPS.scan_id)
    gaps = (await connection.scalars(scans.with_for_update(read=True, key_share=True))).all()
    named, key = {replay.product_id for replay in replays.values()}, tables.products.c.product_id
    known = select(key).where(key.in_(sorted(named))).order_by(key)
    products = set(await connection.scalars(known.with_for_update(read=True, key_share=True)))
    before = {
        row.scan_id: row for row in await connection.execute(select(tables.replays).where(_REPLAYS.scan_id.in_(gaps)))
    }
    rows = []
    for scan_id in gaps:
        replay, old = replays[scan_id], before.get(scan_id)
        product_id = replay.product_id if replay.product_id in products else ""
        found = replay.found and bool(product_id)
        if found and old is not None and old.found and old.product_id:
            rows.append({**old._mapping, "replay_id": replay_id})  # noqa: SLF001  # public
            continue
        values = asdict(replay) | {"scan_id": scan_id, "replay_id": replay_id, "replay_time": moment}
        rows.append(values | {"product_id": product_id, "found": found, "closed_in": replay_id if found else ""})
    return rows


def _counts(replay_id: str, moment: datetime) -> Select[Any]:
    """By category, in the order of the table's columns."""

    def number(condition: Any) -> Any:
        return func.sum(case((condition, 1), else_=0)).cast(Integer)

    counts = (
        func.count(),
        number(func.length(_GAPS.crop) == 0),
        number(_REPLAYS.scan_id.is_not(None)),
        number(~_OPEN),
        number(~_OPEN & (_REPLAYS.closed_in == replay_id)),
    )
    key = literal(replay_id, KEY), _GAPS.category, literal(moment, UtcTime())
    joined = tables.gaps.outerjoin(tables.replays, _REPLAYS.scan_id == _GAPS.scan_id)
    # SQLite needs a WHERE to tell a join's ON from an upsert's.
    return select(*key, *counts).select_from(joined).where(literal(value=True)).group_by(_GAPS.category)
