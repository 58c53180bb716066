"""A database that is away, busy or back again; and the program's own commands, as a person runs them."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from evaluation.postgres_server import running_postgres
from services.catalog.resources import Batch, Product
from services.catalog.sql import SqlStore
from services.catalog.sql import database as database_module
from services.catalog.sql.database import Database
from services.catalog.sql.migrating import migrate
from shiwu.chassis.errors import UnavailableError


async def test_postgres_that_crashes_is_unavailable_and_comes_back():
    with running_postgres() as server:
        database = Database(server.create_database(), connections=3)
        await migrate(database)
        store = SqlStore(database)
        await store.create_product(Product("p", "t", "shoes"))
        server.kill()
        assert await store.ready() is False
        for call in (store.get_product("p"), store.describe(["p"], max_articles=1), store.write(Batch())):
            with pytest.raises(UnavailableError, match="the catalogue's database"):
                await call
        server.start()
        assert await store.ready() is True
        assert (await store.get_product("p")).title == "t"
        await store.close()


async def test_nothing_acknowledged_is_lost_when_postgres_is_killed_in_the_midst_of_writing():
    with running_postgres() as server:
        database = Database(server.create_database(), connections=4)
        await migrate(database)
        store = SqlStore(database)
        acknowledged: list[str] = []

        async def write(worker: int) -> None:
            for number in range(10_000):
                key = f"w{worker}-{number:05}"
                await store.create_product(Product(key, "t", "shoes"))
                acknowledged.append(key)

        workers = [asyncio.create_task(write(worker)) for worker in range(3)]
        while len(acknowledged) < 50:  # noqa: ASYNC110  # counted by tasks, awaited by nobody
            await asyncio.sleep(0.01)
        server.kill()
        outcomes = await asyncio.gather(*workers, return_exceptions=True)
        assert all(isinstance(outcome, UnavailableError) for outcome in outcomes)
        server.start()
        found = await store.find_products(acknowledged)
        assert set(found) == set(acknowledged)
        await store.close()


async def test_a_sqlite_file_that_another_process_keeps_locked_is_unavailable(tmp_path, monkeypatch):
    monkeypatch.setattr(database_module, "_BUSY_SECONDS", 0.2)
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/catalog.db")
    await migrate(database)
    store = SqlStore(database)
    other = sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UnavailableError, match="locked"):
        await store.create_product(Product("p", "t", "shoes"))
    assert await store.list_products(after="", limit=1) == []  # readers do not mind
    other.execute("ROLLBACK")
    other.close()
    await store.create_product(Product("p", "t", "shoes"))
    await store.close()


async def test_a_sqlite_file_that_cannot_be_opened_is_unavailable(tmp_path):
    store = SqlStore(Database(f"sqlite+aiosqlite:///{tmp_path}/none/catalog.db"))
    assert await store.ready() is False
    for call in (store.get_product("p"), store.describe(["p"], max_articles=0)):
        with pytest.raises(UnavailableError):
            await call
    await store.close()


async def test_more_readers_than_connections_wait_for_their_turn(open_store, store):
    await store.create_product(Product("p", "t", "shoes"))
    await asyncio.gather(
        *(store.get_product("p") for _ in range(60)), *(store.describe(["p"], max_articles=1) for _ in range(60))
    )


def catalog(url: str, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CATALOG_")}
    environment |= {
        "CATALOG_DATABASE_URL": url,
        "CATALOG_SERVER__PORT": "0",
        "CATALOG_OBSERVABILITY__LOG_FORMAT": "json",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    command = [sys.executable, "-m", "services.catalog", *arguments]
    return subprocess.Popen(
        command, env=environment, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_postgres_is_migrated_by_command_and_refused_before(empty_url, dialect, tmp_path):
    early = catalog(empty_url, cwd=tmp_path) if dialect == "postgres" else None
    if early is not None:
        output, _ = early.communicate(timeout=60)
        assert early.returncode == 1
        assert "python -m services.catalog migrate" in output
    for _ in range(2):
        migration = catalog(empty_url, "migrate", cwd=tmp_path)
        output, _ = migration.communicate(timeout=60)
        assert migration.returncode == 0, output
        assert "up to date" in output
    service = catalog(empty_url, cwd=tmp_path)
    try:
        port = _port(service)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            health = HealthStub(channel)
            for name in ("", "shiwu.v1.CatalogService", "google.longrunning.Operations"):
                assert health.Check(HealthCheckRequest(service=name), timeout=10).status == 1
    finally:
        service.send_signal(signal.SIGTERM)
    assert service.wait(timeout=30) == 0


def _port(service: subprocess.Popen[str]) -> int:
    import json

    until = time.monotonic() + 60
    assert service.stdout is not None
    while time.monotonic() < until and (line := service.stdout.readline()):
        if '"serving"' in line:
            return int(json.loads(line)["port"])
    msg = "the service does not start"
    raise AssertionError(msg)


@pytest.mark.parametrize(
    "url", ["mysql://x/y", "sqlite:///x.db", "nonsense", "sqlite+aiosqlite://", "sqlite+aiosqlite:///:memory:"]
)
def test_other_databases_are_refused_without_naming_passwords(url, tmp_path):
    process = catalog(url, cwd=tmp_path)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "CATALOG_DATABASE_URL: " in output
    assert "sqlite+aiosqlite:///" in output


async def test_writers_that_are_cancelled_keep_nobody_out(store):
    """Wherever they are when it happens; what they hold on to is kept here, so that no garbage collector helps."""
    ended = []
    for i in range(120):
        products = [Product(f"p{i}-{j}", "t", "shoes") for j in range(2)]
        writers = [asyncio.create_task(store.write(Batch(products=(product,)))) for product in products]
        await asyncio.sleep(i / 30_000)
        for writer in writers:
            writer.cancel()
        ended += await asyncio.gather(*writers, return_exceptions=True)
        async with asyncio.timeout(3):
            await store.write(Batch(products=(Product("last", f"{i}", "shoes"),)))
    assert any(isinstance(each, asyncio.CancelledError) for each in ended)
    assert (await store.get_product("last")).title == "119"
