"""The index over all shards: fan-out, partial answers, one place for each picture."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from services.search.grouping import nearest_products
from services.search.shards import Shard
from services.search.store import Hit, ModelIndex, OtherModelError, Record, Vector, VectorStore, split_model
from services.search.watch import WatchedShard
from shiwu.chassis.errors import (
    DeadlineError,
    InvalidInputError,
    PreconditionError,
    ServiceError,
    UnavailableError,
)

_T = TypeVar("_T")
_PROBE_PATIENCE = 2.5  # a probe may take so many times as long as a search, since it may have to load collections
_Job = tuple[WatchedShard, Callable[[], Awaitable[_T]]]


@dataclass(frozen=True, slots=True)
class ShardAnswer:
    """What one shard found, or why it did not answer."""

    shard: str
    hits: Sequence[Hit]
    error: ServiceError | None
    seconds: float


@dataclass(frozen=True, slots=True)
class ShardState:
    """What one shard holds, each index with its number of pictures; or why it does not answer."""

    shard: Shard
    indexes: Sequence[tuple[ModelIndex, int]]
    error: ServiceError | None


class ShardedIndex:
    """All shards as one index. Models are named name@version throughout."""

    def __init__(
        self,
        stores: Iterable[tuple[Shard, VectorStore]],
        *,
        search_seconds: float = 4.0,
        write_seconds: float = 60.0,
        probe_seconds: float = 5.0,
    ) -> None:
        """stores: each shard with what keeps it; every category is in one of them.

        search_seconds: how long a search waits for a shard. write_seconds: the same for a write, which may have to make
        a collection first. probe_seconds: between looks at a shard that answers; a lost one is looked at every second.
        Searches and writes are cut to the caller's deadline.
        """
        self._shards = [
            WatchedShard(shard, store, probe_timeout=_PROBE_PATIENCE * search_seconds, probe_seconds=probe_seconds)
            for shard, store in stores
        ]
        self._home = {category: each for each in self._shards for category in each.shard.categories}
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
            wanted = tuple(category for category in each.shard.categories if category in categories)
            only = () if len(wanted) == len(each.shard.categories) else wanted

            async def nearest_pictures(limit: int) -> list[Hit]:
                return await each.store.search(
                    model, vector, limit=limit, categories=only, include_vectors=include_vectors
                )

            return await (nearest_products(nearest_pictures, top_k) if group_by_product else nearest_pictures(top_k))

        asked = [each for each in self._shards if not categories or set(each.shard.categories) & set(categories)]
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
            batches[self._home[record.category]].append(record)

        async def put(each: WatchedShard, batch: Sequence[Record]) -> set[str]:
            await each.store.upsert(model, batch)
            return set()

        async def strays(each: WatchedShard) -> set[str]:
            elsewhere = [record.image_id for record in records if self._home[record.category] is not each]
            return await each.store.find(model, elsewhere) if elsewhere else set()

        async with self._exclusively({record.image_id for record in records}):
            jobs = [(each, partial(put, each, batch)) for each, batch in batches.items()]
            jobs += [(each, partial(strays, each)) for each in self._shards]
            found = await self._run(jobs)
            # Only now that they are in the new place: whatever happens between, a picture is somewhere.
            leaving = [(each, sorted(ids)) for (each, _), ids in zip(jobs, found, strict=True) if ids]
            await self._run([(each, partial(each.store.delete, ids, model)) for each, ids in leaving])
            indexes = [index for each in batches for index in await each.store.indexes()]
        return all(index.serving for index in indexes if index.model == model)

    async def delete(self, image_ids: Sequence[str]) -> None:
        """Removes pictures from every shard and every model's index; returns when no search finds them.

        Raises UnavailableError or DeadlineError if a shard does not answer; repeating the call completes it.
        """
        async with self._exclusively(set(image_ids)):
            await self._run([(each, partial(each.store.delete, image_ids)) for each in self._shards])

    async def find_missing(self, model: str, image_ids: Sequence[str]) -> list[str]:
        """Those of the pictures that no shard holds for the model, in their order.

        Raises UnavailableError or DeadlineError if a shard does not answer.
        """
        found = await self._run([(each, partial(each.store.find, model, image_ids)) for each in self._shards])
        stored: set[str] = set().union(*found)
        return [image_id for image_id in image_ids if image_id not in stored]

    async def serve(self, model: str) -> None:
        """Answers searches for the model from this version, and drops its other versions.

        Raises PreconditionError if this version lacks pictures that the served one has, UnavailableError or
        DeadlineError if a shard does not answer; repeating the call completes it.
        """
        holding = [each for each, count in await self._counts(model) if count is not None]
        await self._run([(each, partial(each.store.serve, model)) for each in holding])

    async def describe(self) -> list[ShardState]:
        """What every shard holds."""

        async def state(each: WatchedShard) -> ShardState:
            async def counted() -> list[tuple[ModelIndex, int]]:
                return [(index, await each.store.count(index.model)) for index in await each.store.indexes()]

            try:
                return ShardState(each.shard, await each.within(self._search_seconds, counted), None)
            except ServiceError as error:
                return ShardState(each.shard, [], error)

        return await asyncio.gather(*(state(each) for each in self._shards))

    async def _counts(self, model: str) -> list[tuple[WatchedShard, int | None]]:
        """Pictures of the model version in each shard; None in shards that hold no version of it."""
        name = split_model(model)[0]
        counts: list[tuple[WatchedShard, int | None]] = []
        for each in self._shards:
            versions = [index for index in await each.store.indexes() if split_model(index.model)[0] == name]
            count = await each.store.count(model)
            for index in versions:
                if index.serving and (served := await each.store.count(index.model)) > count:
                    msg = f"shard {each.shard.name} holds {served} pictures of {index.model}, but {count} of {model}"
                    raise PreconditionError(msg)
            counts.append((each, count if any(index.model == model for index in versions) else None))
        if all(count is None for _, count in counts):
            msg = f"no shard holds pictures of {model}"
            raise PreconditionError(msg)
        return counts

    async def _answer(self, each: WatchedShard, ask: Callable[[WatchedShard], Awaitable[list[Hit]]]) -> ShardAnswer:
        start = time.perf_counter()
        hits: list[Hit] = []
        failure: ServiceError | None = each.lost
        if failure is None:
            try:
                hits = await each.within(self._search_seconds, partial(ask, each))
            except (OtherModelError, DeadlineError) as error:
                failure = error
            except UnavailableError as error:
                failure = error
                each.lose(error)
        return ShardAnswer(each.shard.name, hits, failure, time.perf_counter() - start)

    async def _run(self, jobs: Sequence[_Job[_T]]) -> list[_T]:
        # All to their ends, so that nothing is still being written when the error is told.
        results = await asyncio.gather(
            *(each.within(self._write_seconds, do) for each, do in jobs), return_exceptions=True
        )
        done: list[_T] = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            done.append(result)
        return done

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
