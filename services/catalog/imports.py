"""Imports as long-running operations: a queue in the database, worked off by every process of the service.

An import is a row of the ledger. Whoever claims it holds a lease and keeps renewing it; if the process dies, the lease
runs out and another process, or the same one restarted, goes on after the last batch that was committed. So nothing
that was acknowledged is lost, and no two workers ever write for the same import: each write names its owner.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import Context
from typing import Final
from uuid import uuid4

import structlog

from services.catalog.feed_reading import FeedFormat
from services.catalog.feeds import Feed
from services.catalog.import_run import ImportRun, LeaseLostError, Tools
from services.catalog.import_settings import ImportSettings
from services.catalog.ingest import Ingest
from services.catalog.picture_sources import format_of, locate_feed, locate_folder
from services.catalog.resources import Operation
from services.catalog.store import CatalogStore
from shiwu.chassis.errors import InvalidInputError, ServiceError
from shiwu.vision.decode import Limits
from shiwu.wire.fetching import Fetcher

_MAX_MERCHANT: Final = 200
_log = structlog.get_logger()


class Imports:
    """Starts imports and works on them in the background."""

    def __init__(
        self,
        store: CatalogStore,
        ingest: Ingest,
        settings: ImportSettings,
        fetcher: Fetcher,
        limits: Limits,
    ) -> None:
        self._store = store
        self._settings = settings
        self._tools = Tools(store, ingest, fetcher, settings, limits)
        self._work = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []
        self._runs: dict[str, ImportRun] = {}

    async def start(
        self,
        *,
        feed_uri: str,
        format: FeedFormat | None = None,  # noqa: A002
        default_merchant: str = "",
        complete: bool = False,
        force: bool = False,
        pictures_uri: str = "",
    ) -> Operation:
        """Adds an import to the queue. format: None: by the file's name. complete, force: see closing.py.

        pictures_uri: the folder that paths of pictures are relative to; empty: the feed's.

        InvalidInputError if the feed cannot be read, or its header does not fit.
        """
        if len(default_merchant) > _MAX_MERCHANT:
            msg = f"has {len(default_merchant)} characters; at most {_MAX_MERCHANT} are allowed"
            raise InvalidInputError(msg, field="default_merchant")
        if force and not complete:
            msg = "is set, but not complete; it is about what a complete feed closes"
            raise InvalidInputError(msg, field="force")
        chosen = await asyncio.to_thread(self._check, feed_uri, format, default_merchant.strip())
        if pictures_uri:
            await asyncio.to_thread(locate_folder, pictures_uri, self._settings.roots)
        operation = await self._store.create_operation(
            Operation(
                f"import-{uuid4().hex}",
                feed_uri,
                chosen,
                default_merchant.strip(),
                complete=complete,
                force=force,
                pictures_uri=pictures_uri,
            )
        )
        self._work.set()
        return operation

    def resume_all(self) -> None:
        """Begins to work: first on what was left unfinished, then on what comes. Call once, with a running loop."""
        for _ in range(self._settings.feeds_at_once):
            # An empty context: whatever is being served now has a deadline, and this work has none.
            # Each worker is an owner of its own: two with one name would both go on when a lease has run out.
            owner = f"catalog-{uuid4().hex}"
            self._workers.append(asyncio.create_task(self._forever(owner), context=Context()))

    async def cancel(self, operation_id: str) -> Operation:
        """Asks an import to stop after the batch at hand; what it has written stays. NotFoundError."""
        operation = await self._store.cancel_operation(operation_id)
        if run := self._runs.get(operation_id):
            run.cancel()
        self._work.set()
        return operation

    async def close(self) -> None:
        """Stops working; unfinished imports go on elsewhere, or at the next start."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers.clear()

    def _check(self, feed_uri: str, feed_format: FeedFormat | None, default_merchant: str) -> FeedFormat:
        path = locate_feed(feed_uri, self._settings.roots)
        chosen = feed_format or format_of(path)
        with path.open("rb") as file:
            Feed(chosen, default_merchant).check(file)
        return chosen

    async def _forever(self, owner: str) -> None:
        while True:
            # Cleared first: what is added while the queue is being looked at must not be slept over.
            self._work.clear()
            try:
                if operation := await self._store.claim_operation(owner, self._settings.lease_seconds):
                    await self._run(operation, owner)
                    continue
            except ServiceError as error:
                _log.warning("cannot look for imports", error=str(error))
            except Exception:
                _log.exception("an import was abandoned; it goes on when its lease has run out")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.lease_seconds / 3):
                    await self._work.wait()

    async def _run(self, operation: Operation, owner: str) -> None:
        """Works on a claimed import until it is finished, cancelled, or taken away."""
        log = _log.bind(operation=operation.operation_id)
        log.info("importing", feed=operation.feed_uri, rows_done=operation.rows_done)
        run = ImportRun(operation, owner, self._tools)
        self._runs[operation.operation_id] = run
        try:
            outcome = await run.work()
        except LeaseLostError:
            log.warning("another worker has taken the import over")
            return
        except asyncio.CancelledError:
            await asyncio.shield(self._release(operation.operation_id, owner))
            raise
        finally:
            if self._runs.get(operation.operation_id) is run:  # not that of the worker which has taken it over
                del self._runs[operation.operation_id]
        log.info("import ended", state=outcome.state, error=outcome.error)

    async def _release(self, operation_id: str, owner: str) -> None:
        with contextlib.suppress(ServiceError):  # the lease runs out by itself
            await self._store.release_operation(operation_id, owner)
