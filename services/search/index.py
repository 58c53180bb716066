"""The index over all shards: fan-out, partial answers, one place for each picture."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from services.search.grouping import nearest_products
from services.search.operations import ShardOperations
from services.search.shards import Move, Shard
from services.search.store import Hit, OtherModelError, Record, Vector, VectorStore
from services.search.watch import WatchedShard
from shiwu.categories import CATEGORIES
from shiwu.chassis.errors import DeadlineError, InvalidInputError, ServiceError, UnavailableError

_PROBE_PATIENCE = 2.5  # a probe may take so many times as long as a search, since it may have to load collections


@dataclass(frozen=True, slots=True)
class ShardAnswer:
    """What one shard found, or why it did not answer."""

    shard: str
    hits: Sequence[Hit]
    error: ServiceError | None
    seconds: float


class ShardedIndex(ShardOperations):
    """All shards as one index. Models are named name@version throughout."""

    def __init__(
        self,
        stores: Iterable[tuple[Shard, VectorStore]],
        *,
        moves: Sequence[Move] = (),
        search_seconds: float = 4.0,
        write_seconds: float = 60.0,
        probe_seconds: float = 5.0,
    ) -> None:
        """stores: each shard with what keeps it; every category is in one of them. moves: what is being moved.

        search_seconds: how long a search waits for a shard. write_seconds: the same for a write, which may have to make
        a collection first. probe_seconds: between looks at a shard that answers; a lost one is looked at every second.
        Searches and writes are cut to the caller's deadline.
        """
        self._shards = [
            WatchedShard(shard, store, probe_timeout=_PROBE_PATIENCE * search_seconds, probe_seconds=probe_seconds)
            for shard, store in stores
        ]
        self.moves = tuple(moves)
        self._places = self._placed()
        # Shards that may hold more than is searched in them.
        self._mixed = {name for move in moves for name in (move.source, move.target)}
        self._search_seconds = search_seconds
        self._write_seconds = write_seconds
        self._writing: set[str] = set()
        self._written = asyncio.Condition()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Looks after the shards meanwhile, so that a lost one is used again once it answers; then closes them."""
        tasks = [asyncio.create_task(each.watch()) for each in self._shards]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for each in self._shards:
                await each.store.close()

    async def ready(self) -> bool:
        """Whether searches make sense: every shard has been asked once, and at least one answers.

        So a shard that is down, at the start or later, does not keep the others from being searched; its loss is told
        in every answer.
        """
        return all(each.tried for each in self._shards) and any(each.lost is None for each in self._shards)

    @property
    def lost(self) -> dict[str, ServiceError | None]:
        """The shards by name, and why each is left out of searches, if it is."""
        return {each.shard.name: each.lost for each in self._shards}

    async def dimension(self, model: str) -> int | None:
        """Numbers in the model's vectors; None if the shards that answer have none.

        Raises UnavailableError or DeadlineError if a shard stops answering.
        """
        for each in self._shards:
            if each.lost is None:
                for index in await each.within(self._write_seconds, each.store.indexes):
                    if index.model == model:
                        return index.dimension
        return None

    async def search(
        self,
        model: str,
        vector: Vector,
        *,
        top_k: int,
        categories: Collection[str] = (),
        include_vectors: bool = False,
        group_by_product: bool = False,
    ) -> list[ShardAnswer]:
        """The nearest `top_k` of every shard that has one of `categories`; of every shard if that is empty.

        Raises InvalidInputError if the vector is longer or shorter than the model's; only if no shard answers:
        UnavailableError, DeadlineError, or OtherModelError when what is indexed was made with other models.
        """

        async def nearest(each: WatchedShard) -> list[Hit]:
            own = each.shard.categories
            wanted = tuple(category for category in own if not categories or category in categories)
            only = () if len(wanted) == len(own) and each.shard.name not in self._mixed else wanted

            async def nearest_pictures(limit: int) -> list[Hit]:
                return await each.store.search(
                    model, vector, limit=limit, categories=only, include_vectors=include_vectors
                )

            return await (nearest_products(nearest_pictures, top_k) if group_by_product else nearest_pictures(top_k))

        asked = [each for each in self._shards if set(each.shard.categories) & set(categories or CATEGORIES)]
        answers = await asyncio.gather(*(self._answer(each, nearest) for each in asked))
        _check_answers(answers)
        return answers

    async def upsert(self, model: str, records: Sequence[Record]) -> bool:
        """Stores pictures, each in its category's shard only; returns when they can be found.

        Returns whether searches for the model find them: not while this version of it is built beside another.
        All are checked before any is stored. Raises UnavailableError or DeadlineError if a shard does not answer, even
        one where a picture only may have been when it had another category; repeating the call completes it.
        """
        _check_records(records, await self.dimension(model))
        batches: dict[WatchedShard, list[Record]] = defaultdict(list)
        for record in records:
            for place in self._places[record.category]:
                batches[place].append(record)

        async def put(each: WatchedShard, batch: Sequence[Record]) -> set[str]:
            await each.store.upsert(model, batch)
            return set()

        async def strays(each: WatchedShard) -> set[str]:
            elsewhere = [record.image_id for record in records if each not in self._places[record.category]]
            return set(await each.store.find(model, elsewhere)) if elsewhere else set()

        async with self._exclusively({record.image_id for record in records}):
            jobs = [(each, partial(put, each, batch)) for each, batch in batches.items()]
            jobs += [(each, partial(strays, each)) for each in self._shards]
            found = await self._run(jobs)
            # Only now that they are in the new place: whatever happens between, a picture is somewhere.
            leaving = [(each, sorted(ids)) for (each, _), ids in zip(jobs, found, strict=True) if ids]
            await self._run([(each, partial(each.store.delete, ids, model)) for each, ids in leaving])
            indexes = [index for each in batches for index in await each.store.indexes()]
        return all(index.searchable for index in indexes if index.model == model)

    async def delete(self, image_ids: Sequence[str]) -> None:
        """Removes pictures from every shard and every model's index; returns when no search finds them.

        Raises UnavailableError or DeadlineError if a shard does not answer; repeating the call completes it.
        """
        async with self._exclusively(set(image_ids)):
            await self._run([(each, partial(each.store.delete, image_ids)) for each in self._shards])

    async def find_missing(self, model: str, image_ids: Sequence[str]) -> list[str]:
        """Those of the pictures that are not in exactly the shards that their category is kept in, in their order.

        Storing them puts that right.

        Raises UnavailableError or DeadlineError if a shard does not answer.
        """
        found = await self._run([(each, partial(each.store.find, model, image_ids)) for each in self._shards])
        held: dict[str, dict[WatchedShard, str]] = defaultdict(dict)
        for each, stored in zip(self._shards, found, strict=True):
            for image_id, category in stored.items():
                held[image_id][each] = category
        return [image_id for image_id in image_ids if not self._is_in_place(held.get(image_id, {}))]

    def _placed(self) -> dict[str, list[WatchedShard]]:
        """Where each category is written: where it is searched first, and while it is moved in the other shard too."""
        places = {category: [each] for each in self._shards for category in each.shard.categories}
        return places | {move.category: [self._named(name) for name in move.places] for move in self.moves}

    def _is_in_place(self, held: Mapping[WatchedShard, str]) -> bool:
        """Whether a picture is where it belongs. held: the shards that hold it, each with the category it has there."""
        categories = set(held.values())
        return len(categories) == 1 and set(held) == set(self._places[categories.pop()])

    async def _answer(self, each: WatchedShard, ask: Callable[[WatchedShard], Awaitable[list[Hit]]]) -> ShardAnswer:
        start = time.perf_counter()
        hits: list[Hit] = []
        failure: ServiceError | None = each.lost
        if failure is None:
            try:
                hits = await each.within(self._search_seconds, partial(ask, each))
                each.latency.note(time.perf_counter() - start)
            except (OtherModelError, DeadlineError) as error:
                failure = error
            except UnavailableError as error:
                failure = error
                each.lose(error)
        return ShardAnswer(each.shard.name, hits, failure, time.perf_counter() - start)

    @asynccontextmanager
    async def _exclusively(self, image_ids: set[str]) -> AsyncIterator[None]:
        """Keeps two writes of one picture apart: moving it to two shards at once would lose it."""
        async with self._written:
            await self._written.wait_for(lambda: self._writing.isdisjoint(image_ids))
            self._writing |= image_ids
        try:
            yield
        finally:
            self._writing -= image_ids
            async with self._written:
                self._written.notify_all()


def _check_records(records: Sequence[Record], dimension: int | None) -> None:
    for image_id, times in Counter(record.image_id for record in records).items():
        if times > 1:
            positions = [str(i) for i, record in enumerate(records) if record.image_id == image_id]
            msg = f"{image_id!r} comes {times} times, at {', '.join(positions)}; expected once"
            raise InvalidInputError(msg, field=f"records[{positions[1]}].image_id")
    expected = records[0].vector.size if dimension is None else dimension
    for i, record in enumerate(records):
        if record.vector.size != expected:
            msg = f"has {record.vector.size} numbers; expected {expected}, as the others"
            raise InvalidInputError(msg, field=f"records[{i}].vector")


def _check_answers(answers: Sequence[ShardAnswer]) -> None:
    failures = [answer.error for answer in answers if answer.error is not None]
    for failure in failures:
        if isinstance(failure, OtherModelError) and not any(answer.hits for answer in answers):
            raise failure
    if len(failures) < len(answers):
        return
    for failure in failures:
        if isinstance(failure, DeadlineError):
            raise failure
    msg = "no shard answers: " + "; ".join(sorted({str(failure) for failure in failures}))
    raise UnavailableError(msg)
