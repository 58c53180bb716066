"""Many rows in one transaction, for imports."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, delete, func, insert, not_, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.resources import Batch, ImageState, Offer, Product, Progress, ReferenceImage, State
from services.catalog.sql import tables
from services.catalog.sql.database import Database, violated
from services.catalog.sql.images import IMAGES
from services.catalog.sql.products import OFFERS, PRODUCTS, STYLES, is_open, make_pending
from services.catalog.sql.rows import R, Rows, now
from shiwu.chassis.errors import NotFoundError, PreconditionError

_KEPT = frozenset({"create_time", "update_time", "index_time", "revision"})
"""Columns that do not make a row another one."""


class Batches:
    """A part of `SqlStore`."""

    _database: Database

    async def write(self, batch: Batch, progress: Progress | None = None) -> int:
        async with self._database.write("write_batch") as connection:
            await self._replace(connection, STYLES, batch.styles)
            moved = await _moved(connection, batch.products)
            written = await self._replace(connection, PRODUCTS, batch.products)
            if moved:
                await make_pending(connection, moved)
            reopened = await _closed(connection, batch.offers)
            await self._replace(connection, OFFERS, batch.offers)
            await self._replace(connection, IMAGES, batch.images)
            await _replace_other_vectors(connection, batch.images)
            await self._keep_states(connection, batch.states)
            if progress is not None:
                await self._record(connection, progress, products_written=written, offers_reopened=reopened)
        return written

    async def close_offers(self, offer_ids: Collection[str], progress: Progress, *, changed_before: datetime) -> int:
        offers, moment = tables.offers, now()
        which = and_(offers.c.offer_id.in_(sorted(offer_ids)), offers.c.update_time < changed_before, is_open())
        closed = update(offers).where(which).values(available=False, close_time=moment, update_time=moment)
        async with self._database.write("close_offers") as connection:
            count = (await connection.execute(closed)).rowcount
            await self._record(connection, progress, offers_closed=count)
        return count

    async def _replace(self, connection: AsyncConnection, rows: Rows[R], resources: Sequence[R]) -> int:
        """Adds or replaces rows; returns how many are not as they were."""
        if not resources:
            return 0
        # Each once, and in one order everywhere, or two writers would lock each other out.
        values = {getattr(resource, rows.key): rows.values(resource) for resource in resources}
        try:
            async with connection.begin_nested():  # PostgreSQL answers nothing more in a transaction that failed
                result = await connection.execute(self._upsert(rows), [values[key] for key in sorted(values)])
                return len(result.all())
        except IntegrityError as error:
            violated(error)
            raise await _dangling(connection, rows, values.values()) from error

    def _upsert(self, rows: Rows[Any]) -> Any:
        table = rows.table
        statement = self._database.insert(table)
        facts = [column.name for column in table.c if column.name not in _KEPT and column.name != rows.key]
        changes: dict[str, Any] = {name: statement.excluded[name] for name in facts}
        if "update_time" in table.c:
            changes["update_time"] = statement.excluded["update_time"]
        if "revision" in table.c:
            changes |= {"index_time": None, "revision": table.c.revision + 1}
        differs = or_(*(table.c[name].is_distinct_from(statement.excluded[name]) for name in facts))
        return statement.on_conflict_do_update(index_elements=[rows.key], set_=changes, where=differs).returning(
            rows.key_column
        )

    async def _keep_states(self, connection: AsyncConnection, states: Sequence[ImageState]) -> None:
        if not states:
            return
        table, pictures = tables.image_states, tables.reference_images.c
        names = [column.name for column in table.c]
        # The rows are locked, so that none of them is deleted before its state is there.
        same = (
            select(pictures.image_id, pictures.sha256, bindparam("etag"), bindparam("last_modified"))
            .where(pictures.image_id == bindparam("image_id"), pictures.sha256 == bindparam("sha256"))
            .with_for_update(read=True, key_share=True)
        )
        insert_ = self._database.insert(table)
        statement = insert_.from_select(names, same)
        changes = {name: statement.excluded[name] for name in names[1:]}
        await connection.execute(
            statement.on_conflict_do_update(index_elements=["image_id"], set_=changes),
            [asdict(state) for state in sorted(states, key=lambda state: state.image_id)],
        )

    async def _record(self, connection: AsyncConnection, progress: Progress, **grown: int) -> None:
        imports, problems = tables.operations, tables.problems
        if progress.problems:
            statement = self._database.insert(problems)
            rows = [{"operation_id": progress.operation_id, **asdict(problem)} for problem in progress.problems]
            await connection.execute(statement.on_conflict_do_nothing(), rows)
        failed = select(func.count(problems.c.row.distinct())).where(problems.c.operation_id == progress.operation_id)
        grown["images_unchanged"] = progress.images_unchanged
        changes: dict[str, Any] = {name: imports.c[name] + more for name, more in grown.items()}
        changes |= {"rows_failed": failed.scalar_subquery(), "update_time": now()}
        for name in ("rows_total", "rows_done", "feed_sha256", "closing_refused"):
            if (value := getattr(progress, name)) is not None:
                changes[name] = value
        held = (
            (imports.c.operation_id == progress.operation_id)
            & (imports.c.lease_owner == progress.owner)
            & (imports.c.state == State.RUNNING)
        )
        if not (await connection.execute(update(imports).where(held).values(changes))).rowcount:
            msg = f"import {progress.operation_id!r} is not held by {progress.owner!r} any more"
            raise PreconditionError(msg)


async def _closed(connection: AsyncConnection, offers: Sequence[Offer]) -> int:
    """How many of these offers are closed so far."""
    if not offers:
        return 0
    ids = sorted(offer.offer_id for offer in offers)
    statement = select(func.count()).where(tables.offers.c.offer_id.in_(ids), not_(is_open()))
    return int((await connection.execute(statement)).scalar_one())


async def _replace_other_vectors(connection: AsyncConnection, images: Sequence[ReferenceImage]) -> None:
    """Those of an earlier picture under the same key are not this one's."""
    if not images:
        return
    table, of_each = tables.version_vectors, {image.image_id: image.others for image in images}
    await connection.execute(delete(table).where(table.c.image_id.in_(sorted(of_each))))
    rows = [
        {"image_id": key, "model": model, "vector": vector} for key in sorted(of_each) for model, vector in of_each[key]
    ]
    if rows:
        await connection.execute(insert(table), rows)


async def _moved(connection: AsyncConnection, products: Sequence[Product]) -> list[str]:
    """Those of these products that are in another style or category so far."""
    after = {product.product_id: (product.style_id, product.category) for product in products}
    table = tables.products.c
    statement = (
        select(table.product_id, table.style_id, table.category)
        .where(table.product_id.in_(sorted(after)))
        .order_by(table.product_id)
        .with_for_update()
    )
    rows = await connection.execute(statement)
    return [row.product_id for row in rows if (row.style_id, row.category) != after[row.product_id]]


async def _dangling(connection: AsyncConnection, rows: Rows[Any], values: Iterable[dict[str, Any]]) -> NotFoundError:
    """Which of the rows refers to something that does not exist."""
    target = next(iter(rows.table.c[rows.refers_to].foreign_keys)).column
    wanted = sorted({value[rows.refers_to] for value in values if value[rows.refers_to]})
    known = set((await connection.execute(select(target).where(target.in_(wanted)))).scalars())
    missing = next((key for key in wanted if key not in known), "one of them")
    return NotFoundError(f"{rows.noun}: {rows.refers_to} {missing!r} does not exist")
