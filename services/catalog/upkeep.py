"""Keeps bringing the index in line with the rows, for what was interrupted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from services.catalog.indexing import Indexer
from shiwu.chassis.repeating import repeating

_log = structlog.get_logger()


@asynccontextmanager
async def upkeep(indexer: Indexer, seconds: float) -> AsyncIterator[None]:
    """Meanwhile, every so many seconds, gives the index the pictures that wait for it.

    It may find one that somebody is adding or deleting right now: that is as harmless as any two writers are.
    """

    async def repair() -> None:
        if repaired := await indexer.repair():
            _log.info("indexed what was interrupted", images=repaired)

    async with repeating(repair, seconds, "bringing the index up to date"):
        yield
