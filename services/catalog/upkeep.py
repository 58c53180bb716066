"""Keeps bringing the index in line with the rows, for what was interrupted, and erases what is not to be kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import structlog

from services.catalog.indexing import Indexer
from services.catalog.store import CatalogStore
from shiwu.chassis.errors import ServiceError

_log = structlog.get_logger()


@asynccontextmanager
async def upkeep(
    indexer: Indexer, store: CatalogStore, seconds: float, *, keep_scans: timedelta
) -> AsyncIterator[None]:
    """Meanwhile, every so many seconds, gives the index the pictures that wait for it, and erases old scans.

    It may find one that somebody is adding or deleting right now: that is as harmless as any two writers are.
    """
    task = asyncio.create_task(_keep_up(indexer, store, seconds, keep_scans))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _keep_up(indexer: Indexer, store: CatalogStore, seconds: float, keep_scans: timedelta) -> None:
    while True:
        try:
            if repaired := await indexer.repair():
                _log.info("indexed what was interrupted", images=repaired)
        except ServiceError as error:
            _log.info("the index cannot be brought up to date now", error=str(error))
        except Exception:
            _log.exception("the index cannot be brought up to date")
        try:
            if erased := await store.erase_scans(before=datetime.now(UTC) - keep_scans):
                _log.info("erased what scans left behind", gaps_and_feedback=erased)
        except Exception:
            _log.exception("old scans cannot be erased")
        await asyncio.sleep(seconds)
