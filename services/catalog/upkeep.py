"""Keeps bringing the index in line with the rows, for what was interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from services.catalog.indexing import Indexer
from shiwu.chassis.errors import ServiceError

_log = structlog.get_logger()


@asynccontextmanager
async def upkeep(indexer: Indexer, seconds: float) -> AsyncIterator[None]:
    """Meanwhile, every so many seconds, gives the index the pictures that wait for it.

    It may find one that somebody is adding or deleting right now: that is as harmless as any two writers are.
    """
    task = asyncio.create_task(_keep_up(indexer, seconds))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _keep_up(indexer: Indexer, seconds: float) -> None:
    while True:
        try:
            if repaired := await indexer.repair():
                _log.info("indexed what was interrupted", images=repaired)
        except ServiceError as error:
            _log.info("the index cannot be brought up to date now", error=str(error))
        except Exception:
            _log.exception("the index cannot be brought up to date")
        await asyncio.sleep(seconds)
