from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from services.catalog.sql import SqlStore, fulltext, migrating
from services.catalog.sql.database import Database
from services.catalog.sql.migrating import check_revision, migrate
from services.catalog.sql.tables import metadata
from shiwu.chassis.errors import PreconditionError


@pytest.fixture
async def database(empty_url):
    database = Database(empty_url)
    yield database
    await database.close()


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


async def test_migrating_an_empty_database_makes_exactly_the_tables_of_the_code(database):
    await migrate(database)

    def differences(connection: Connection) -> list[object]:
        def ours(name, kind, _parents):
            return not (kind == "table" and name.startswith(fulltext.TABLE))

        options = {"include_name": ours, "compare_type": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    async with database.read("test") as connection:
        present = await connection.run_sync(tables)
        assert [d for d in await connection.run_sync(differences) if "alembic_version" not in str(d)] == []
    assert set(metadata.tables) | {fulltext.TABLE, "alembic_version"} <= present


async def test_migrating_again_changes_nothing(database):
    await migrate(database)
    await migrate(database)
    await check_revision(database)


async def test_two_processes_may_migrate_at_the_same_time(database, empty_url):
    others = [Database(empty_url) for _ in range(3)]
    await asyncio.gather(*(migrate(each) for each in [database, *others]))
    await check_revision(database)
    for other in others:
        await other.close()


async def test_a_database_that_is_behind_is_refused_with_what_to_do(database):
    with pytest.raises(PreconditionError, match=r"empty.*python -m services\.catalog migrate"):
        await check_revision(database)
    await migrate(database)
    async with database.write("test") as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(PreconditionError, match=r"revision 0000.*needs 0008"):
        await check_revision(database)


async def test_migrating_down_leaves_nothing(database):
    await migrate(database)

    def down(connection: Connection) -> None:
        config = migrating._config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    async with database.write("test") as connection:
        await connection.run_sync(down)
    async with database.read("test") as connection:
        assert await connection.run_sync(tables) == {"alembic_version"}


async def test_a_migration_that_fails_leaves_nothing_behind(database, monkeypatch):
    broken = ("CREATE TABLE half (number integer)", "CREATE NONSENSE")
    monkeypatch.setattr(fulltext, "SQLITE_SCHEMA", broken)
    monkeypatch.setattr(fulltext, "POSTGRESQL_SCHEMA", broken)
    with pytest.raises(Exception, match="NONSENSE"):
        await migrate(database)
    async with database.read("test") as connection:
        assert await connection.run_sync(tables) == set()


async def test_a_database_of_the_first_release_goes_on(database):
    """Its pictures have no local features, nor a time of their last change; those that wait do so since being added.

    Its articles are found by today's words, and people have said what they are about.
    """

    def to(connection: Connection, revision: str) -> None:
        config = migrating._config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    async with database.write("test") as connection:
        await connection.run_sync(to, "0001")
        for statement in (
            "INSERT INTO gaps VALUES ('g', 'toys', 0.5, '2026-01-02 03:04:05', '', '', '', '')",
            "INSERT INTO products VALUES ('p', NULL, 't', '', 'toys', '', '', '2026-01-01', '2026-01-01')",
            "INSERT INTO articles VALUES (7, 'a', '相機', 'A body', '', '', '2026-01-02')",
            "INSERT INTO article_products (product_id, number, position) VALUES ('p', 7, 0)",
            "INSERT INTO reference_images VALUES ('i', 'p', '', '', 1, 1, 'm@1', NULL, '2026-01-02 03:04:05', 0, '')",
        ):
            await connection.execute(text(statement))
    await migrate(database)
    store = SqlStore(database)
    [gap] = await store.list_gaps(before=None, limit=9)
    assert (gap.scan_id, gap.state, gap.replay, gap.cluster_id, gap.refused_product_id) == ("g", "open", None, "", "")
    assert await store.find_local_features(["i"]) == {}
    assert [image.image_id for image in await store.images_to_describe(after="", limit=9)] == ["i"]
    backlog = await store.backlog()
    assert (backlog.images_pending, backlog.pending_since) == (1, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    (article,) = await store.search_articles("相机", offset=0, limit=5)
    assert (article.article_id, article.product_ids, article.product_scores) == ("a", ("p",), ())
