"""One import, from the claim to the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, cast

import structlog

from services.catalog.closing import Closing, names_of, refusal
from services.catalog.feed_batches import batches, image_ids
from services.catalog.feed_lines import FeedError
from services.catalog.feed_reading import FeedFormat
from services.catalog.feed_records import printable
from services.catalog.feed_survey import Survey, survey
from services.catalog.feeds import Feed
from services.catalog.import_settings import ImportSettings
from services.catalog.importing import Importer
from services.catalog.ingest import Ingest
from services.catalog.picture_sources import PictureSource, locate_feed, locate_folder
from services.catalog.resources import Batch, Operation, Progress, State
from services.catalog.row_pictures import RowPictures
from services.catalog.store import CatalogStore
from shiwu.chassis.errors import (
    DeadlineError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PreconditionError,
    UnavailableError,
)
from shiwu.vision.decode import Limits
from shiwu.wire.fetching import Fetcher

_PASSING = (UnavailableError, OverloadedError, DeadlineError)
"""What ends by itself: the import waits for it, however long."""
_AT_ONCE = 1000
_T = TypeVar("_T")
_log = structlog.get_logger()


class LeaseLostError(Exception):
    """Another process has the import now."""


class _CancelledError(Exception):
    """The import was asked to stop."""


class _FailedError(Exception):
    """The import as a whole cannot go on; the caller is told why."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What an import works with."""

    store: CatalogStore
    ingest: Ingest
    fetcher: Fetcher
    settings: ImportSettings
    limits: Limits


class ImportRun:
    """Works on one claimed import."""

    def __init__(self, operation: Operation, owner: str, tools: Tools) -> None:
        self._operation = operation
        self._id = operation.operation_id
        self._owner = owner
        self._tools = tools
        self._store = tools.store
        self._settings = tools.settings
        self._stop = asyncio.Event()
        self._log = _log.bind(operation=self._id)
        if operation.cancel_requested:
            self._stop.set()

    def cancel(self) -> None:
        """Stops after the batch at hand, or at once while it waits for something that does not answer."""
        self._stop.set()

    async def work(self) -> Operation:
        """Imports what is left of the feed; returns the finished operation. Raises LeaseLostError."""
        working = asyncio.create_task(self._work())
        keeping = asyncio.create_task(self._keep_lease())
        try:
            await asyncio.wait((working, keeping), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                await keeping  # it ends only by raising
            return await working
        finally:
            for task in (working, keeping):
                task.cancel()
            await asyncio.gather(working, keeping, return_exceptions=True)

    async def _keep_lease(self) -> None:
        lease = self._settings.lease_seconds
        clock = asyncio.get_running_loop().time
        until = clock() + lease
        while True:
            await asyncio.sleep(lease / 3)
            asked = clock()
            try:
                operation = await self._store.renew_lease(self._id, self._owner, lease)
            except _PASSING as error:
                if clock() > until:
                    raise LeaseLostError from error
                continue
            if operation is None:
                raise LeaseLostError
            until = asked + lease
            if operation.cancel_requested:
                self._stop.set()

    async def _work(self) -> Operation:
        try:
            index_time = await self._import()
        except _CancelledError:
            return await self._finish(State.CANCELLED, error="cancelled")
        except (_FailedError, FeedError, InvalidInputError, NotFoundError, OSError) as error:
            return await self._finish(State.FAILED, error=str(error))
        except PreconditionError as error:
            if await self._store.renew_lease(self._id, self._owner, self._settings.lease_seconds) is None:
                raise LeaseLostError from error
            return await self._finish(State.FAILED, error=str(error))
        except LeaseLostError:
            raise
        except Exception:
            # A bug: trying again would most likely meet it again, and for ever.
            self._log.exception("the import failed")
            return await self._finish(State.FAILED, error="internal error; the catalogue's log says more")
        return await self._finish(State.SUCCEEDED, index_time=index_time)

    async def _import(self) -> datetime:
        path = await asyncio.to_thread(locate_feed, self._operation.feed_uri, self._settings.roots)
        feed = Feed(cast(FeedFormat, self._operation.format), self._operation.default_merchant)
        found = await asyncio.to_thread(survey, path, feed)
        await self._check_unchanged(found)
        importer = self._importer(path)
        feed_rows = batches(path, feed, found, done=self._operation.rows_done, size=self._settings.batch_rows)
        async for rows in _in_thread(feed_rows):
            if self._stop.is_set():
                raise _CancelledError
            progress = Progress(self._id, self._owner, rows_done=rows.end, problems=tuple(rows.problems))
            images = await self._patiently(lambda: importer.write(rows.entries, progress))  # noqa: B023
            await self._patiently(lambda: self._tools.ingest.index(images, self._id))  # noqa: B023
        index_time = await self._verify(path, feed)
        if self._operation.complete:
            await self._close(path, feed, found)
        return index_time

    def _importer(self, path: Path) -> Importer:
        tools = self._tools
        uri = self._operation.pictures_uri
        folder = locate_folder(uri, self._settings.roots) if uri else path.parent
        source = PictureSource(folder, self._settings.roots, tools.fetcher, tools.limits.max_bytes)
        reader = RowPictures(tools.ingest, source, tools.limits, at_once=self._settings.pictures_at_once)
        return Importer(tools.store, tools.ingest, reader)

    async def _check_unchanged(self, found: Survey) -> None:
        """A resumed import counts rows from the start of the feed, so it must be the feed that it was."""
        if self._operation.feed_sha256 not in ("", found.sha256):
            msg = "the feed has changed since the import began; import it again"
            raise _FailedError(msg)
        progress = Progress(self._id, self._owner, rows_total=found.rows, feed_sha256=found.sha256)
        await self._patiently(lambda: self._store.write(Batch(), progress))

    async def _verify(self, path: Path, feed: Feed) -> datetime:
        """Looks once more whether searches find every picture of the feed.

        The index may have lost some since it acknowledged them, and an earlier process may have died between writing
        rows and indexing them.
        """
        async for ids in _in_thread(image_ids(path, feed, size=_AT_ONCE)):
            repaired = await self._patiently(lambda: self._tools.ingest.verify(ids, self._id))  # noqa: B023
            if repaired:
                self._log.info("indexed again what the index did not have", images=repaired)
        return datetime.now(UTC)

    async def _close(self, path: Path, feed: Feed, found: Survey) -> None:
        """Closes what the feed does not name. From here on the import is not cancelled but for what does not answer."""
        closing = Closing(self._store, await asyncio.to_thread(names_of, path, feed, found.sha256))
        suspicious = {} if self._operation.force else await self._patiently(closing.suspicious)
        if self._stop.is_set():
            raise _CancelledError
        before = self._operation.create_time or datetime.now(UTC)
        progress = Progress(self._id, self._owner)
        await self._patiently(lambda: closing.close(suspicious, progress, changed_before=before))
        if refused := refusal(suspicious):
            report = Progress(self._id, self._owner, closing_refused=refused)
            await self._patiently(lambda: self._store.write(Batch(), report))

    async def _patiently(self, action: Callable[[], Awaitable[_T]]) -> _T:
        """The result of `action`, repeated while something that it needs does not answer."""
        pause = 0.1
        vanished = 0
        while True:
            try:
                return await action()
            except _PASSING as error:
                self._log.warning("the import waits", seconds=pause, error=str(error))
            except NotFoundError as error:
                # A product deleted, or a model replaced, between being read and being used: look again.
                vanished += 1
                if vanished == 3:
                    raise
                self._log.warning("the import tries again", error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stop.wait()
            if self._stop.is_set():
                raise _CancelledError
            pause = min(2 * pause, self._settings.retry_seconds)

    async def _finish(self, state: State, *, error: str = "", index_time: datetime | None = None) -> Operation:
        while True:
            try:
                errors_path = await self._write_errors()
                return await self._store.finish_operation(
                    self._id,
                    self._owner,
                    state=state,
                    error=printable(error),
                    errors_path=errors_path,
                    index_time=index_time,
                )
            except PreconditionError as lost:
                raise LeaseLostError from lost
            except _PASSING as waiting:
                self._log.warning("the import's end waits", error=str(waiting))
                await asyncio.sleep(self._settings.retry_seconds)

    async def _write_errors(self) -> str:
        """Writes the rows that failed to a file; returns its path, empty if none did."""
        path = self._settings.errors / f"{self._id}.jsonl"
        last, written = 0, False
        while problems := await self._store.list_problems(self._id, after_row=last, limit=_AT_ONCE):
            lines = [json.dumps(_report(each.row, each.field, each.problem, each.content)) for each in problems]
            await asyncio.to_thread(_append, path, lines, anew=not written)
            last, written = problems[-1].row, True
        return str(path.resolve()) if written else ""


def _report(row: int, field: str, problem: str, content: str) -> dict[str, object]:
    try:
        record = json.loads(content) if content else None
    except json.JSONDecodeError:  # a line of JSON lines that is none, or cut short: as the text that it is
        record = content
    return {"row": row, "field": field, "problem": problem, "record": record}


def _append(path: Path, lines: list[str], *, anew: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w" if anew else "a", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


async def _in_thread(items: Iterator[_T]) -> AsyncIterator[_T]:
    """The items, each made in a thread: reading a file blocks."""
    while (item := await asyncio.to_thread(next, items, None)) is not None:
        yield item
