"""One shard in Milvus: a server or Milvus Lite, through the same calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
from pymilvus import AsyncMilvusClient

from services.search import milvus_consistency as consistency
from services.search import milvus_schema as schema
from services.search.hedging import Hedge
from services.search.milvus_connection import MilvusConnection
from services.search.milvus_indexes import MilvusIndexes
from services.search.milvus_rows import any_of, to_hits, to_record, to_row
from services.search.shards import Shard
from services.search.store import (
    Hit,
    ModelIndex,
    Page,
    Record,
    Vector,
    check_dimension,
    check_droppable,
    served_index,
)
from shiwu.chassis.errors import PreconditionError, UnavailableError

_T = TypeVar("_T")
_WRITE_SECONDS = 10.0
_PRUNED_AT_ONCE = 1000
_FACTS = ["product_id", "style_id", "category"]


class MilvusStore:
    """A shard in Milvus (`VectorStore`).

    One collection for each model version; an alias for each model names the version that is served. What exists is
    read from Milvus by `probe`, which its owner calls now and then, and again when a collection turns out missing,
    so several search services can share a Milvus.
    """

    def __init__(
        self, shard: Shard, connection: MilvusConnection, second: MilvusConnection | None = None, hedge: float = 0.0
    ) -> None:
        """second: another way to the same Milvus. hedge: the share of searches that may be repeated there."""
        self._shard = shard
        self._connection = connection
        self._second = second
        self._hedge = Hedge(hedge)
        self._indexes = MilvusIndexes(shard, connection)
        self._unflushed: set[str] = set()

    async def probe(self) -> None:
        async def searched() -> None:
            for index in await self._indexes.all():
                if index.searchable:
                    axis = np.eye(1, index.dimension, dtype=np.float32)[0]
                    await self._search(index, axis, limit=1, categories=(), include_vectors=False)

        await self._indexes.refresh()
        await self._indexes.fresh(searched)
        # Milvus Lite does not flush small collections itself, and takes up to four times as long to search them.
        while self._shard.is_lite and self._unflushed:
            await self._flush(self._unflushed.pop())

    async def indexes(self) -> Sequence[ModelIndex]:
        return await self._indexes.all()

    async def count(self, model: str) -> int:
        async def counted() -> int:
            index = await self._indexes.get(model)
            if index is None:
                return 0
            rows = await self._query(index.collection, "", ["count(*)"])
            return int(rows[0]["count(*)"])

        return await self._indexes.fresh(counted)

    async def search(
        self, model: str, vector: Vector, *, limit: int, categories: Sequence[str] = (), include_vectors: bool = False
    ) -> list[Hit]:
        async def found() -> list[Hit]:
            index = served_index(self._shard.name, await self._indexes.all(), model)
            if index is None:
                return []
            check_dimension(index, vector)
            return await self._search(
                index, vector, limit=limit, categories=categories, include_vectors=include_vectors
            )

        return await self._indexes.fresh(found)

    async def upsert(self, model: str, records: Sequence[Record]) -> None:
        async def stored() -> None:
            index = await self._indexes.get(model)
            if index is None:
                index = await self._indexes.create(model, records[0].vector.size)
            for record in records:
                check_dimension(index, record.vector)
            rows = [to_row(record, copied=index.copied) for record in records]
            await self._connection.call(
                "upsert",
                lambda client, timeout: client.upsert(index.collection, rows, timeout=timeout),
                seconds=_WRITE_SECONDS,
            )
            self._unflushed.add(index.collection)
            visible = await self._stored(index.collection, [record.image_id for record in records])
            if len(visible) < len(records):
                msg = (
                    f"shard {self._shard.name}: {len(records) - len(visible)} pictures were removed while being stored"
                )
                raise UnavailableError(msg)
            await consistency.reach(self._shard.replicas)

        await self._indexes.fresh(stored)

    async def delete(self, image_ids: Sequence[str], model: str | None = None) -> None:
        async def deleted() -> None:
            await self._indexes.notice_others()
            indexes = [each for each in await self._indexes.all() if model in (None, each.model)]
            await asyncio.gather(*(self._delete(index.collection, image_ids) for index in indexes))
            await consistency.reach(self._shard.replicas)

        await self._indexes.fresh(deleted)

    async def find(self, model: str, image_ids: Sequence[str]) -> dict[str, str]:
        async def found() -> dict[str, str]:
            if await self._indexes.get(model) is None:
                await self._indexes.notice_others()
            index = await self._indexes.get(model)
            return {} if index is None else await self._stored(index.collection, image_ids)

        return await self._indexes.fresh(found)

    async def page(self, model: str, *, after: str, limit: int) -> Page:
        async def found() -> Page:
            index = await self._indexes.get(model)
            if index is None:
                return Page([], "")
            chosen = f"{schema.KEY} > {json.dumps(after, ensure_ascii=False)}"
            fields = [schema.KEY, *_FACTS, schema.VECTOR]
            in_order = consistency.in_order(lite=self._shard.is_lite)
            rows = await self._query(index.collection, chosen, fields, limit=limit, **in_order)
            # Each log channel may have returned so many.
            records = sorted(map(to_record, rows), key=lambda record: record.image_id)[:limit]
            return Page(records, records[-1].image_id if records else "")

        return await self._indexes.fresh(found)

    async def prune(self, categories: Sequence[str]) -> None:
        async def pruned() -> None:
            chosen = any_of("category", categories)
            await self._indexes.notice_others()
            for index in await self._indexes.all():
                # By keys: deletion by any other field needs a newer Milvus.
                while rows := await self._query(index.collection, chosen, [schema.KEY], limit=_PRUNED_AT_ONCE):
                    await self._delete(index.collection, [row[schema.KEY] for row in rows])

        await self._indexes.fresh(pruned)

    async def serve(self, model: str) -> None:
        await self._indexes.refresh()
        if await self._indexes.get(model) is None:
            msg = f"shard {self._shard.name} holds nothing of {model}"
            raise PreconditionError(msg)
        await self._connection.define(lambda client: schema.serve(client, schema.SECONDS, self._shard.name, model))
        await self._indexes.refresh()

    async def drop(self, model: str) -> None:
        await self._indexes.refresh()
        check_droppable(self._shard.name, await self._indexes.all(), model)
        await self._connection.define(lambda client: schema.drop(client, schema.SECONDS, self._shard.name, model))
        await self._indexes.refresh()

    async def close(self) -> None:
        self._indexes.close()
        await self._connection.close()
        if self._second is not None:
            await self._second.close()

    async def _search(
        self, index: ModelIndex, vector: Vector, *, limit: int, categories: Sequence[str], include_vectors: bool
    ) -> list[Hit]:
        fields = [*_FACTS, schema.VECTOR] if include_vectors else _FACTS
        parameters = {"metric_type": schema.METRIC, "params": {"ef": max(self._shard.index.ef, limit)}}

        async def ask(client: AsyncMilvusClient, timeout: float) -> Any:  # noqa: ASYNC109 (Milvus' own)
            return await client.search(
                index.collection,
                data=[vector],
                anns_field=schema.VECTOR,
                filter=any_of("category", categories) if categories else "",
                limit=limit,
                output_fields=fields,
                search_params=parameters,
                timeout=timeout,
                **consistency.of_searches(self._shard.replicas),
            )

        connection, second = self._connection, self._second
        if second is None:
            found = await connection.call("search", ask)
        else:
            found = await self._hedge.call(
                partial(connection.call, "search", ask), partial(second.call, "search_again", ask)
            )
        return to_hits(found[0], with_vectors=include_vectors)

    async def _flush(self, collection: str) -> None:
        await self._connection.call(
            "flush", lambda client, timeout: client.flush(collection, timeout=timeout), seconds=_WRITE_SECONDS
        )

    async def _delete(self, collection: str, image_ids: Sequence[str]) -> None:
        chosen = any_of(schema.KEY, image_ids)
        await self._connection.call(
            "delete",
            lambda client, timeout: client.delete(collection, filter=chosen, timeout=timeout),
            seconds=_WRITE_SECONDS,
        )
        if left := await self._stored(collection, image_ids):
            msg = f"shard {self._shard.name}: {len(left)} pictures were stored again while being deleted"
            raise UnavailableError(msg)

    async def _stored(self, collection: str, image_ids: Sequence[str]) -> dict[str, str]:
        rows = await self._query(collection, any_of(schema.KEY, image_ids), [schema.KEY, "category"])
        return {row[schema.KEY]: row["category"] for row in rows}

    async def _query(self, collection: str, chosen: str, fields: list[str], **options: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self._connection.call(
            "query",
            lambda client, timeout: client.query(
                collection, filter=chosen, output_fields=fields, timeout=timeout, **consistency.LATEST, **options
            ),
            seconds=_WRITE_SECONDS,
        )
        return rows
