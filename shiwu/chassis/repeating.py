"""Work that is done again and again beside what is served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from shiwu.chassis.errors import ServiceError

_log = structlog.get_logger()


@asynccontextmanager
async def repeating(work: Callable[[], Awaitable[None]], seconds: float, name: str) -> AsyncIterator[None]:
    """Does `work` now, and again so many seconds after it has ended, meanwhile.

    When it raises that is logged under `name`, and it is done again all the same.
    """
    task = asyncio.create_task(_repeat(work, seconds, name), name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _repeat(work: Callable[[], Awaitable[None]], seconds: float, name: str) -> None:
    while True:
        try:
            await work()
        except ServiceError as error:
            _log.info("cannot be done now", work=name, error=str(error))
        except Exception:
            _log.exception("failed", work=name)
        await asyncio.sleep(seconds)
