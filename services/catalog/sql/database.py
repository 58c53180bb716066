"""Connections and transactions, and the edge where a database's errors become this project's."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, Table, create_engine, event, make_url, text
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import Pool, QueuePool

from shiwu.chassis.errors import UnavailableError
from shiwu.chassis.metrics import timed_store

T = TypeVar("T")

_BUSY_SECONDS = 5
"""How long a writer waits for another one before the caller is told to try again."""


class Database:
    """SQLite (aiosqlite) or PostgreSQL (psycopg), as the URL says."""

    def __init__(self, url: str, *, connections: int = 10) -> None:
        """connections: at most so many at a time."""
        self.engine = _engine(url, connections)
        self.dialect = self.engine.dialect.name
        self.connections = connections
        self._in_thread = _InThread(url, connections) if self.dialect == "sqlite" else None

    @asynccontextmanager
    async def read(self, operation: str) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads. operation: its name in the metrics."""
        with timed_store(operation), _translated():
            async with self.engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self, operation: str) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes; it commits unless the body raises."""
        with timed_store(operation), _translated():
            async with self.engine.connect() as connection:
                await connection.execution_options(writes=True)
                async with connection.begin():
                    yield connection

    def insert(self, table: Table) -> Any:
        """An INSERT in the database's own dialect, which knows ON CONFLICT."""
        return (sqlite_insert if self.dialect == "sqlite" else postgresql_insert)(table)

    async def query(self, operation: str, read: Callable[[Connection], T]) -> T:
        """What `read` returns, given a transaction that only reads: for the hot path.

        On SQLite all of its statements run in one visit to another thread; through `Database.read` each would take
        four, which on busy machines cost more than the statements.
        """
        if self._in_thread is not None:
            with timed_store(operation), _translated():
                return await self._in_thread.run(read)
        async with self.read(operation) as connection:
            return await connection.run_sync(read)

    @property
    def connections_used(self) -> int:
        """Of `connections`, in either pool."""
        pools = [self.engine.pool] + ([self._in_thread.pool] if self._in_thread else [])
        return max(pool.checkedout() for pool in pools if isinstance(pool, QueuePool))

    async def ready(self) -> bool:
        """Whether the database answers."""
        try:
            async with self.read("ready") as connection:
                await connection.execute(text("SELECT 1"))
        except UnavailableError:
            return False
        return True

    async def close(self) -> None:
        await self.engine.dispose()
        if self._in_thread is not None:
            self._in_thread.close()


class _InThread:
    """SQLite without an event loop, in threads."""

    def __init__(self, url: str, connections: int) -> None:
        self._engine = create_engine(
            make_url(url).set(drivername="sqlite+pysqlite"), pool_size=connections, pool_timeout=_BUSY_SECONDS
        )
        event.listen(self._engine, "connect", _prepare_sqlite)
        event.listen(self._engine, "begin", _begin_sqlite)
        self._threads = ThreadPoolExecutor(connections, "sqlite")

    @property
    def pool(self) -> Pool:
        return self._engine.pool

    async def run(self, read: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, read)

    def close(self) -> None:
        self._threads.shutdown()
        self._engine.dispose()

    def _read(self, read: Callable[[Connection], T]) -> T:
        with self._engine.connect() as connection:
            return read(connection)


def _engine(url: str, connections: int) -> AsyncEngine:
    if make_url(url).get_backend_name() == "sqlite":
        engine = create_async_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=_BUSY_SECONDS,
            connect_args={"timeout": _BUSY_SECONDS, "factory": _SqliteConnection},
        )
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    return create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=_BUSY_SECONDS,
        pool_pre_ping=True,  # a database that was restarted must not cost a request for each pooled connection
        connect_args={
            "connect_timeout": _BUSY_SECONDS,
            "tcp_user_timeout": _BUSY_SECONDS * 1000,
            "options": f"-c statement_timeout={4 * _BUSY_SECONDS}s -c lock_timeout={_BUSY_SECONDS}s -c timezone=UTC",
        },
    )


class _SqliteConnection(sqlite3.Connection):
    """Ends its transaction when it is closed.

    A statement that is cancelled closes its connection while a cursor is still held; sqlite3 then keeps the transaction
    open, and every other writer out, until the garbage collector finds the cursor.
    """

    def close(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # it is closed already
            self.rollback()
        super().close()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver must not begin transactions by itself: it would begin them as readers, and a reader that wants to
    # write while another writes fails at once instead of waiting.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", f"busy_timeout={_BUSY_SECONDS * 1000}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, InternalError, PoolTimeoutError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        msg = f"the catalogue's database does not answer: {reason}"
        raise UnavailableError(msg) from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        msg = f"the catalogue's database has gone: {error.orig}"
        raise UnavailableError(msg) from error


def violated(error: IntegrityError) -> Literal["key", "reference"]:
    """Which kind of constraint was violated: a key is taken, or what is referred to does not exist (any more)."""
    cause: Any = error.orig
    code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", "")
    match code:
        case "23505" | "SQLITE_CONSTRAINT_PRIMARYKEY" | "SQLITE_CONSTRAINT_UNIQUE":
            return "key"
        case "23503" | "SQLITE_CONSTRAINT_FOREIGNKEY":
            return "reference"
    raise error
