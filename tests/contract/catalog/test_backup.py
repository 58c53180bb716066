"""Backups as docs/stores.md has them made: taken while the catalogue is written to, and whole when they are back."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from services.catalog.resources import Batch, Product
from services.catalog.sql import SqlStore
from services.catalog.sql.database import Database
from services.catalog.sql.migrating import check_revision

from .test_images import image


async def test_a_backup_has_what_was_written_before_it(store, url, dialect, tmp_path: Path, request):
    await store.write(Batch(products=(Product("p", "Boot", "shoes"),), images=(image("i", "p"),)))
    await store.add_vectors("m@2", {"i": ("0" * 64, image().vector)})

    def restored() -> str:
        if dialect == "postgres":
            return request.getfixturevalue("postgres").dump_and_restore("catalog")
        place = tmp_path / "backup.db"
        # What `sqlite3 FILE ".backup COPY"` calls.
        source = url.removeprefix("sqlite+aiosqlite:///")
        with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(place)) as copied:
            live.backup(copied)
        return f"sqlite+aiosqlite:///{place}"

    writing = asyncio.create_task(store.write(Batch(products=(Product("q", "Hat", "clothing"),))))
    copy_url = await asyncio.to_thread(restored)
    await writing
    await store.delete_image(await store.get_image("i"))
    database = Database(copy_url)
    await check_revision(database)
    copy = SqlStore(database)
    assert (await copy.get_product("p")).title == "Boot"
    assert [record.model for record in await copy.index_records(["i"])] == ["m@1", "m@2"]
    assert await copy.pending_images(after="", limit=9) == ["i"]
    await copy.close()
