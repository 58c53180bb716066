"""Stores for tests: exact ones in memory that can be made to fail, and shards of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from services.search.index import ShardedIndex
from services.search.memory import MemoryStore
from services.search.shards import Shard
from services.search.store import Hit, ModelIndex, Record, Vector
from shiwu.categories import CATEGORIES
from shiwu.chassis.errors import UnavailableError

MODEL = "embedder-lite0@0.1"
DIMENSION = 16
SHARDS = {"fashion": CATEGORIES[:4], "home": CATEGORIES[4:8], "media": CATEGORIES[8:]}


class MortalStore(MemoryStore):
    """A store that can be down ("down"), or hang ("silent")."""

    state = "up"

    async def probe(self) -> None:
        await self._live()

    async def indexes(self) -> Sequence[ModelIndex]:
        await self._live()
        return await super().indexes()

    async def search(
        self, model: str, vector: Vector, *, limit: int, categories: Sequence[str] = (), include_vectors: bool = False
    ) -> list[Hit]:
        await self._live()
        return await super().search(model, vector, limit=limit, categories=categories, include_vectors=include_vectors)

    async def upsert(self, model: str, records: Sequence[Record]) -> None:
        await self._live()
        await super().upsert(model, records)

    async def delete(self, image_ids: Sequence[str], model: str | None = None) -> None:
        await self._live()
        await super().delete(image_ids, model)

    async def find(self, model: str, image_ids: Sequence[str]) -> dict[str, str]:
        await self._live()
        return await super().find(model, image_ids)

    async def _live(self) -> None:
        if self.state == "silent":
            await asyncio.sleep(3600)
        if self.state == "down":
            msg = f"vector store {self._shard} is down"
            raise UnavailableError(msg)
        await asyncio.sleep(0)


def mortal_index(**seconds: float) -> tuple[ShardedIndex, dict[str, MortalStore]]:
    stores = {name: MortalStore(name) for name in SHARDS}
    shards = [
        (Shard(name=name, categories=categories, endpoint="http://u:p@milvus:19530"), stores[name])
        for name, categories in SHARDS.items()
    ]
    return ShardedIndex(shards, **seconds), stores


def unit(seed: int, dimension: int = DIMENSION) -> Vector:
    vector = np.random.default_rng(seed).normal(size=dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def record(number: int, category: str | None = None, dimension: int = DIMENSION) -> Record:
    return Record(
        f"image-{number}",
        f"product-{number // 2}",
        "",
        category or CATEGORIES[number % len(CATEGORIES)],
        unit(number, dimension),
    )
