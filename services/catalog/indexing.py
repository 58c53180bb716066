"""Brings the search index in line with the catalogue's rows (the why of its order: image_store.py)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from services.catalog.resources import IndexRecord
from services.catalog.store import CatalogStore
from shiwu.chassis.channel import foreign_errors
from shiwu.v1 import search_pb2 as pb

if TYPE_CHECKING:  # generated for type checkers only
    from shiwu.v1.search_pb2_grpc import SearchServiceAsyncStub

T = TypeVar("T")
_MOST = 1000
"""Records of one call of search."""


class Indexer:
    """Stores reference images in the index, and removes them from it. Any number may work at the same time."""

    def __init__(self, store: CatalogStore, search: SearchServiceAsyncStub) -> None:
        self._store = store
        self._search = search

    async def index(self, image_ids: Collection[str], *, operation_id: str = "") -> datetime:
        """Makes searches find these images as their rows say, and not find those that have no row (any more).

        Returns the moment from which on they do. operation_id: an import that counts them.
        UnavailableError: search does not answer; the rows stay pending, and repeating repairs them.
        """
        index_time = datetime.now(UTC)
        for chunk in _chunks(sorted(image_ids)):
            index_time = await self._index(chunk, operation_id)
        return index_time

    async def forget(self, image_ids: Collection[str]) -> None:
        """Makes searches find these images no more."""
        for chunk in _chunks(sorted(image_ids)):
            with foreign_errors("search"):
                await self._search.Delete(pb.DeleteRequest(image_ids=chunk))

    async def repair(self, product_id: str = "") -> int:
        """Indexes what is pending of this product, or of all; returns how many images it was."""
        repaired, last = 0, ""
        while image_ids := await self._store.pending_images(after=last, limit=_MOST, product_id=product_id):
            await self.index(image_ids)
            repaired, last = repaired + len(image_ids), image_ids[-1]
        return repaired

    async def sweep(self, late: timedelta) -> int:
        """Removes once more what was deleted of late; returns how many images are remembered as such.

        late: how long after a deletion a vector that was being stored meanwhile may come.
        """
        swept, last, begun = 0, "", datetime.now(UTC)
        while image_ids := await self._store.deleted_images(after=last, limit=_MOST):
            await self.index(image_ids)
            swept, last = swept + len(image_ids), image_ids[-1]
        await self._store.erase_deletions(before=begun - late)
        return swept

    async def index_version(self, image_ids: Collection[str], model: str) -> None:
        """Stores the images' vectors by one version of their model, and leaves the others as they are."""
        for chunk in _chunks(sorted(image_ids)):
            left = frozenset(chunk)
            while left:
                records = await self._store.index_records(left)
                await self.index(await self._forgotten(left - {record.image_id for record in records}))
                mine = [record for record in records if record.model == model]
                if mine:
                    await self._upsert(mine)
                now = {record.image_id: record.revision for record in await self._store.index_records(left)}
                left = frozenset(record.image_id for record in mine if now.get(record.image_id) != record.revision)

    async def find_missing(self, image_ids: Collection[str], model: str) -> frozenset[str]:
        """Those of these images that the index of this model does not hold, whatever their rows say."""
        missing: set[str] = set()
        for chunk in _chunks(sorted(image_ids)):
            with foreign_errors("search"):
                response = await self._search.FindMissing(pb.FindMissingRequest(image_ids=chunk, model=model))
            missing.update(response.image_ids)
        return frozenset(missing)

    async def _index(self, image_ids: Collection[str], operation_id: str) -> datetime:
        index_time = datetime.now(UTC)
        left = frozenset(image_ids)
        while left:
            records = await self._store.index_records(left)
            back = await self._forgotten(left - {record.image_id for record in records})
            for group in _requests(records):
                index_time = await self._upsert(group)
            left = back | await self._store.mark_indexed(records, index_time, operation_id=operation_id)
        return index_time

    async def _forgotten(self, image_ids: frozenset[str]) -> frozenset[str]:
        """Forgets images that have no row; returns those that have one by now, whose vectors may have gone with it."""
        await self.forget(image_ids)
        return frozenset(await self._store.find_images(image_ids)) if image_ids else image_ids

    async def _upsert(self, records: Sequence[IndexRecord]) -> datetime:
        request = pb.UpsertRequest(
            records=[
                pb.VectorRecord(
                    image_id=record.image_id,
                    product_id=record.product_id,
                    style_id=record.style_id,
                    category=record.category,
                    vector=record.vector,
                )
                for record in records
            ],
            model=records[0].model,
        )
        with foreign_errors("search"):
            response = await self._search.Upsert(request)
        return response.index_time.ToDatetime(UTC)


def _requests(records: Collection[IndexRecord]) -> Iterator[list[IndexRecord]]:
    """Records in groups that one call may hold: of one model, and not too many.

    The first model first: an empty shard serves the version that it gets first.
    """
    for model in dict.fromkeys(record.model for record in records):
        yield from _chunks(record for record in records if record.model == model)


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, _MOST)):
        yield chunk
