"""Imports run to their end, and what they have written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from services.catalog.resources import Operation, State
from tests.unit.catalog_import.assembly import Catalogue
from tests.unit.catalog_import.peers import Peers


def read_lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < end, "it took too long"
        await asyncio.sleep(0.02)


async def ended(catalogue: Catalogue, operation_id: str) -> Operation:
    async def done() -> bool:
        return (await catalogue.store.get_operation(operation_id)).state is not State.RUNNING

    await until(done)
    return await catalogue.store.get_operation(operation_id)


async def imported(catalogue: Catalogue, feed: str, **options: str) -> Operation:
    started = await catalogue.imports.start(feed_uri=feed, **options)
    catalogue.imports.resume_all()
    operation = await ended(catalogue, started.operation_id)
    await catalogue.imports.close()
    return operation


async def begun(catalogue: Catalogue, feed: str, *, rows: int) -> Operation:
    """An import that goes on, as it was started, once so many rows are done."""
    started = await catalogue.imports.start(feed_uri=feed)
    catalogue.imports.resume_all()

    async def far_enough() -> bool:
        return (await catalogue.store.get_operation(started.operation_id)).rows_done >= rows

    await until(far_enough)
    return started


async def snapshot(catalogue: Catalogue) -> object:
    """All that an import writes, with the times."""
    store = catalogue.store
    everything = {"after": "", "limit": 1000}
    return (
        await store.list_products(**everything),
        await store.list_styles(**everything),
        await store.list_offers(**everything),
        await store.list_images(**everything),
    )


async def consistent(catalogue: Catalogue, peers: Peers) -> bool:
    """Whether the index holds exactly what the rows say."""
    images = await catalogue.store.list_images(after="", limit=1000)
    records = {each.image_id: each for each in await catalogue.store.index_records([i.image_id for i in images])}
    held = {
        image_id: (model, record.vector, record.style_id) for image_id, (model, record) in peers.search.records.items()
    }
    return all(image.index_time for image in images) and held == {
        key: (record.model, record.vector, record.style_id) for key, record in records.items()
    }
