"""Which versions of models a shard has in Milvus: what is known of them, made, and completed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from pymilvus import AsyncMilvusClient, MilvusClient

from services.search import milvus_schema as schema
from services.search.milvus_connection import MilvusConnection, MissingCollectionError
from services.search.shards import Shard
from services.search.store import ModelIndex
from shiwu.chassis.errors import UnavailableError

_T = TypeVar("_T")


class MilvusIndexes:
    """The collections of one shard, each for a version of a model.

    Other search services make and drop them, too. So what is known is read anew when it turns out wrong.
    """

    def __init__(self, shard: Shard, connection: MilvusConnection) -> None:
        self._shard = shard
        self._connection = connection
        self._known: dict[str, ModelIndex] | None = None
        self._refreshing = asyncio.Lock()
        self._building: dict[str, asyncio.Future[None]] = {}

    async def all(self) -> Sequence[ModelIndex]:
        """Those that are known."""
        if self._known is None:
            await self.refresh()
        return list((self._known or {}).values())

    async def get(self, model: str) -> ModelIndex | None:
        """That of a model version, if it is known."""
        await self.all()
        return (self._known or {}).get(model)

    async def create(self, model: str, dimension: int) -> ModelIndex:
        """Makes that of a model version, or finds it made."""
        await self._define(model, lambda client: schema.create(client, schema.SECONDS, self._shard, model, dimension))
        await self.refresh()
        index = await self.get(model)
        if index is None:
            msg = f"shard {self._shard.name}: the index of {model} was dropped while being made"
            raise UnavailableError(msg)
        return index

    async def refresh(self) -> None:
        """Reads what exists, and completes what is half made."""
        async with self._refreshing:  # one at a time: an older answer must not replace a newer one
            stored = await self._read()
            broken = [each for each in stored if not each.ready]
            for each in broken:
                with suppress(MissingCollectionError):  # dropped meanwhile
                    await self._complete(each.index.model)
            if broken:
                stored = await self._read()
            self._known = {each.index.model: each.index for each in stored}

    async def notice_others(self) -> None:
        """Reads anew what exists if another search service has made a collection: a delete must reach it."""
        stored = await self._connection.call(
            "names", lambda client, timeout: schema.names(client, timeout, self._shard.name)
        )
        if stored != {index.collection for index in await self.all()}:
            await self.refresh()

    async def fresh(self, do: Callable[[], Awaitable[_T]]) -> _T:
        """The result of `do`; once more, with what exists read anew, if a collection was missing."""
        try:
            return await do()
        except MissingCollectionError:
            await self.refresh()
            return await do()

    def close(self) -> None:
        """Ends what is being made."""
        for task in [*self._building.values()]:
            task.cancel()

    async def _complete(self, model: str) -> None:
        await self._define(model, lambda client: schema.complete(client, schema.SECONDS, self._shard, model))

    async def _define(self, model: str, do: Callable[[MilvusClient], None]) -> None:
        # The work goes on if this caller's time runs out, and the next one finds it done.
        task = self._building.get(model)
        if task is None:
            task = self._building[model] = asyncio.ensure_future(self._connection.define(do))
            task.add_done_callback(partial(self._built, model))
        await asyncio.shield(task)

    def _built(self, model: str, task: asyncio.Future[None]) -> None:
        del self._building[model]
        if not task.cancelled():
            task.exception()  # told to those who wait, if anybody still does

    async def _read(self) -> list[schema.Stored]:
        def read(client: AsyncMilvusClient, timeout: float) -> Awaitable[list[schema.Stored]]:
            return schema.read(client, timeout, self._shard.name)

        try:
            return await self._connection.call("read", read)
        except MissingCollectionError:  # dropped between being listed and being described
            return await self._connection.call("read", read)
