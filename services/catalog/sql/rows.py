"""What styles, products, offers and the like have in common: rows that are dataclasses under a key."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from sqlalchemy import Column, ColumnElement, Row, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.sql.database import violated
from shiwu.chassis.errors import AlreadyExistsError, NotFoundError


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


R = TypeVar("R", bound=_Dataclass)


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Rows(Generic[R]):
    """A table of dataclasses. Columns and fields share their names; fields that are not read come last.

    The errors of these methods name what is missing or taken; `refers_to` is the field that must exist elsewhere.
    """

    table: Table
    kind: type[R]
    key: str
    noun: str
    refers_to: str = ""
    hidden: tuple[str, ...] = ()
    """Fields that are written but not read."""

    @cached_property
    def columns(self) -> list[Column[Any]]:
        """What is read."""
        names = [field.name for field in fields(self.kind) if field.name not in self.hidden]
        return [self.table.c[name] for name in names if name in self.table.c]

    @cached_property
    def key_column(self) -> Column[str]:
        return self.table.c[self.key]

    def resource(self, row: Iterable[Any]) -> R:
        """Of a row of `columns`."""
        return self.kind(*row)

    def values(self, resource: R) -> dict[str, Any]:
        """The resource as a row to write, with fresh times."""
        moment = now()
        times = {"create_time": moment, "update_time": moment}
        row = {field.name: getattr(resource, field.name) for field in fields(self.kind)}
        return {name: value for name, value in (row | times).items() if name in self.table.c}

    def as_written(self, resource: R, values: Mapping[str, Any]) -> R:
        names = {field.name for field in fields(self.kind)}
        return replace(resource, **{name: value for name, value in values.items() if name in names})

    async def create(self, connection: AsyncConnection, resource: R) -> R:
        values = self.values(resource)
        with self.references_kept(values):
            await connection.execute(insert(self.table).values(values))
        return self.as_written(resource, values)

    async def get(self, connection: AsyncConnection, key: str, *, lock: bool = False) -> R:
        statement = select(*self.columns).where(self.key_column == key)
        row = (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
        if row is None:
            raise self.missing(key)
        return self.resource(row)

    async def find(self, connection: AsyncConnection, keys: Collection[str]) -> dict[str, R]:
        rows = await self.all(connection, select(*self.columns).where(self.key_column.in_(sorted(set(keys)))))
        return {getattr(resource, self.key): resource for resource in self.resources(rows)}

    async def page(self, connection: AsyncConnection, after: str, limit: int, *filters: ColumnElement[bool]) -> list[R]:
        statement = select(*self.columns).where(self.key_column > after, *filters).order_by(self.key_column)
        return self.resources(await self.all(connection, statement.limit(limit)))

    async def update(self, connection: AsyncConnection, key: str, changes: Mapping[str, object]) -> R:
        values = {**changes, "update_time": now()}
        statement = update(self.table).where(self.key_column == key).values(values).returning(*self.columns)
        with self.references_kept({self.key: key, **values}):
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            raise self.missing(key)
        return self.resource(row)

    async def delete(self, connection: AsyncConnection, key: str) -> None:
        if not (await connection.execute(delete(self.table).where(self.key_column == key))).rowcount:
            raise self.missing(key)

    async def all(self, connection: AsyncConnection, statement: Any) -> Sequence[Row[Any]]:
        return (await connection.execute(statement)).all()

    def resources(self, rows: Sequence[Row[Any]]) -> list[R]:
        return [self.resource(row) for row in rows]

    def missing(self, key: object) -> NotFoundError:
        return NotFoundError(f"{self.noun} {key!r} does not exist")

    @contextmanager
    def references_kept(self, values: Mapping[str, Any]) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            if violated(error) == "key":
                msg = f"{self.noun} {values[self.key]!r} exists"
                raise AlreadyExistsError(msg) from error
            msg = f"{self.refers_to}: {values[self.refers_to]!r} does not exist"
            raise NotFoundError(msg) from error
