"""The ledger of imports."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.resources import Backlog, Operation, RowProblem, State
from services.catalog.sql import tables
from services.catalog.sql.database import Database
from services.catalog.sql.rows import Rows, now
from shiwu.chassis.errors import PreconditionError

_ROWS = Rows(tables.operations, Operation, "operation_id", "import")
_IMPORTS = tables.operations


class Operations:
    """A part of `SqlStore`."""

    _database: Database

    async def create_operation(self, operation: Operation) -> Operation:
        async with self._database.write("create_operation") as connection:
            return await _ROWS.create(connection, replace(operation, lease_owner="", lease_until=None))

    async def get_operation(self, operation_id: str) -> Operation:
        async with self._database.read("get_operation") as connection:
            return await _ROWS.get(connection, operation_id)

    async def list_operations(self, *, after: str, limit: int, running: bool | None = None) -> list[Operation]:
        filters = []
        if running is not None:
            filters.append(_IMPORTS.c.state == State.RUNNING if running else _IMPORTS.c.state != State.RUNNING)
        async with self._database.read("list_operations") as connection:
            return await _ROWS.page(connection, after, limit, *filters)

    async def claim_operation(self, owner: str, lease: float, operation_id: str = "") -> Operation | None:
        moment = now()
        free = and_(
            _IMPORTS.c.state == State.RUNNING,
            or_(_IMPORTS.c.lease_until.is_(None), _IMPORTS.c.lease_until < moment),
            *([_IMPORTS.c.operation_id == operation_id] if operation_id else []),
        )
        oldest = (
            select(_IMPORTS.c.operation_id)
            .where(free)
            .order_by(_IMPORTS.c.create_time, _IMPORTS.c.operation_id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        async with self._database.write("claim_operation") as connection:
            found = (await connection.execute(oldest)).scalar_one_or_none()
            if found is None:
                return None
            return await _changed(
                connection,
                _IMPORTS.c.operation_id == found,
                {"lease_owner": owner, "lease_until": moment + timedelta(seconds=lease)},
            )

    async def renew_lease(self, operation_id: str, owner: str, lease: float) -> Operation | None:
        async with self._database.write("renew_lease") as connection:
            until = now() + timedelta(seconds=lease)
            return await _changed(connection, _held(operation_id, owner), {"lease_until": until})

    async def finish_operation(
        self,
        operation_id: str,
        owner: str,
        *,
        state: str,
        error: str = "",
        errors_path: str = "",
        index_time: datetime | None = None,
    ) -> Operation:
        changes = {
            "state": State(state),
            "error": error,
            "errors_path": errors_path,
            "index_time": index_time,
            "lease_owner": "",
            "lease_until": None,
            "update_time": now(),
        }
        async with self._database.write("finish_operation") as connection:
            operation = await _changed(connection, _held(operation_id, owner), changes)
            if operation is None:
                await _ROWS.get(connection, operation_id)
                msg = f"import {operation_id!r} is not held by {owner!r} any more"
                raise PreconditionError(msg)
            return operation

    async def release_operation(self, operation_id: str, owner: str) -> None:
        async with self._database.write("release_operation") as connection:
            await _changed(connection, _held(operation_id, owner), {"lease_owner": "", "lease_until": None})

    async def cancel_operation(self, operation_id: str) -> Operation:
        async with self._database.write("cancel_operation") as connection:
            running = and_(_IMPORTS.c.operation_id == operation_id, _IMPORTS.c.state == State.RUNNING)
            operation = await _changed(connection, running, {"cancel_requested": True, "update_time": now()})
            return operation or await _ROWS.get(connection, operation_id)

    async def delete_operation(self, operation_id: str) -> None:
        async with self._database.write("delete_operation") as connection:
            operation = await _ROWS.get(connection, operation_id, lock=True)
            if operation.state is State.RUNNING:
                msg = f"import {operation_id!r} is running: cancel it first"
                raise PreconditionError(msg)
            await _ROWS.delete(connection, operation_id)

    async def backlog(self) -> Backlog:
        pictures = tables.reference_images.c
        waiting = select(func.count(), func.min(func.coalesce(pictures.update_time, pictures.create_time))).where(
            pictures.index_time.is_(None)
        )
        ended = func.coalesce(func.sum(_IMPORTS.c.rows_done), 0), func.coalesce(func.sum(_IMPORTS.c.rows_failed), 0)
        running = func.count().filter(_IMPORTS.c.state == State.RUNNING)
        async with self._database.read("backlog") as connection:
            pending, since = (await connection.execute(waiting)).one()
            imports, done, failed = (await connection.execute(select(running, *ended).select_from(_IMPORTS))).one()
        return Backlog(pending, since, imports, int(done - failed), int(failed))

    async def list_problems(self, operation_id: str, *, after_row: int = 0, limit: int = 1000) -> list[RowProblem]:
        table = tables.problems.c
        statement = (
            select(table.row, table.field, table.problem, table.content)
            .where(table.operation_id == operation_id, table.row > after_row)
            .order_by(table.row, table.field)
            .limit(limit)
        )
        async with self._database.read("list_problems") as connection:
            return [RowProblem(*row) for row in await connection.execute(statement)]


def _held(operation_id: str, owner: str) -> ColumnElement[bool]:
    return and_(
        _IMPORTS.c.operation_id == operation_id, _IMPORTS.c.lease_owner == owner, _IMPORTS.c.state == State.RUNNING
    )


async def _changed(
    connection: AsyncConnection, which: ColumnElement[bool], changes: dict[str, Any]
) -> Operation | None:
    statement = update(_IMPORTS).where(which).values(changes).returning(*_ROWS.columns)
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else _ROWS.resource(row)
