"""Keeps bringing the index in line with the rows, for what was interrupted, and erases what is not to be kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import structlog

from services.catalog.indexing import Indexer
from services.catalog.store import CatalogStore
from shiwu.chassis.repeating import repeating

_LATE = timedelta(minutes=5)
"""No write is under way for longer: search gives up on each of its steps after a minute."""
_log = structlog.get_logger()


@asynccontextmanager
async def upkeep(
    indexer: Indexer, store: CatalogStore, seconds: float, *, keep_scans: timedelta
) -> AsyncIterator[None]:
    """Meanwhile, every so many seconds, brings the index in line with the rows, and erases old scans.

    Those are the pictures that wait for the index, and those that were deleted of late.

    It may find one that somebody is adding or deleting right now: that is as harmless as any two writers are.
    """

    async def repair() -> None:
        if repaired := await indexer.repair():
            _log.info("indexed what was interrupted", images=repaired)

    async def sweep() -> None:
        await indexer.sweep(_LATE)

    async def erase() -> None:
        if erased := await store.erase_scans(before=datetime.now(UTC) - keep_scans):
            _log.info("erased what scans left behind", gaps_and_feedback=erased)

    async with (
        repeating(repair, seconds, "bringing the index up to date"),
        repeating(sweep, seconds, "removing once more what was deleted"),
        repeating(erase, seconds, "erasing old scans"),
    ):
        yield
