"""What is done to shards as a whole: versions swapped, contents listed and counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from services.search.shards import Move, Shard
from services.search.store import ModelIndex, Page, split_model
from services.search.watch import Latency, WatchedShard
from shiwu.chassis.errors import NotFoundError, PreconditionError, ServiceError

_T = TypeVar("_T")
_Job = tuple[WatchedShard, Callable[[], Awaitable[_T]]]


@dataclass(frozen=True, slots=True)
class ShardState:
    """What one shard holds, each index with its number of pictures; or why it does not answer."""

    shard: Shard
    indexes: Sequence[tuple[ModelIndex, int]]
    error: ServiceError | None
    latency: Latency
    """Of its latest searches."""


class ShardOperations:
    """A part of `ShardedIndex`. Models are named name@version throughout."""

    moves: Sequence[Move]
    _shards: Sequence[WatchedShard]
    _search_seconds: float
    _write_seconds: float

    async def serve(self, model: str, *, max_missing: int = 0) -> None:
        """Answers searches that ask for this version from now on; the one served so far is retiring, and answers too.

        Raises PreconditionError if in a shard this version lacks more than `max_missing` of the pictures that the
        served one has, or while categories are being moved, UnavailableError or DeadlineError if a shard does not
        answer; repeating the call completes it.
        """
        if self.moves:
            msg = (
                f"{', '.join(move.category for move in self.moves)} is being moved to another shard; finish that first"
            )
            raise PreconditionError(msg)
        holding = [each for each, count in await self._counts(model, max_missing) if count is not None]
        await self._run([(each, partial(each.store.serve, model)) for each in holding])

    async def drop(self, model: str) -> None:
        """Removes a version from every shard. Raises PreconditionError if a shard serves it, and drops nothing then."""
        for each in self._shards:
            for index in await each.within(self._write_seconds, each.store.indexes):
                if index.model == model and index.serving:
                    msg = f"shard {each.shard.name} serves {model}; serve another version of it first"
                    raise PreconditionError(msg)
        await self._run([(each, partial(each.store.drop, model)) for each in self._shards])

    async def page(self, shard: str, model: str, *, after: str, limit: int) -> Page:
        """The next pictures that a shard holds for a model version. Raises NotFoundError if there is no such shard."""
        each = self._named(shard)
        return await each.within(self._write_seconds, partial(each.store.page, model, after=after, limit=limit))

    async def prune(self) -> None:
        """Removes from every shard the pictures of categories that are in another one now, and moved for good.

        What is still being moved stays. Raises UnavailableError or DeadlineError; repeating the call completes it.
        """
        jobs: list[_Job[None]] = []
        for each in self._shards:
            gone = [move.category for move in self.moves if move.phase == "clearing" and move.source == each.shard.name]
            if gone:
                jobs.append((each, partial(each.store.prune, gone)))
        await self._run(jobs)

    async def describe(self) -> list[ShardState]:
        """What every shard holds."""

        async def state(each: WatchedShard) -> ShardState:
            async def counted() -> list[tuple[ModelIndex, int]]:
                return [(index, await each.store.count(index.model)) for index in await each.store.indexes()]

            try:
                return ShardState(each.shard, await each.within(self._search_seconds, counted), None, each.latency)
            except ServiceError as error:
                return ShardState(each.shard, [], error, each.latency)

        return await asyncio.gather(*(state(each) for each in self._shards))

    async def _counts(self, model: str, max_missing: int) -> list[tuple[WatchedShard, int | None]]:
        """Pictures of the model version in each shard; None in shards that hold no version of it."""
        name = split_model(model)[0]
        counts: list[tuple[WatchedShard, int | None]] = []
        for each in self._shards:
            versions = [index for index in await each.store.indexes() if split_model(index.model)[0] == name]
            count = await each.store.count(model)
            for index in versions:
                if index.serving and (served := await each.store.count(index.model)) > count + max_missing:
                    msg = f"shard {each.shard.name} holds {served} pictures of {index.model}, but {count} of {model}"
                    raise PreconditionError(msg)
            counts.append((each, count if any(index.model == model for index in versions) else None))
        if all(count is None for _, count in counts):
            msg = f"no shard holds pictures of {model}"
            raise PreconditionError(msg)
        return counts

    def _named(self, shard: str) -> WatchedShard:
        for each in self._shards:
            if each.shard.name == shard:
                return each
        msg = f"there is no shard {shard!r}; there is {', '.join(each.shard.name for each in self._shards)}"
        raise NotFoundError(msg)

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
