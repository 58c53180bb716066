"""An exact store in memory: the obvious implementation, which the others are tested against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.search.store import (
    Hit,
    ModelIndex,
    Page,
    Record,
    Vector,
    check_dimension,
    check_droppable,
    served_index,
    split_model,
)
from shiwu.chassis.errors import PreconditionError


class MemoryStore:
    """A shard in memory (`VectorStore`)."""

    def __init__(self, shard: str) -> None:
        self._shard = shard
        self._records: dict[str, dict[str, Record]] = {}
        self._dimensions: dict[str, int] = {}
        self._serving: dict[str, str] = {}
        self._retiring: set[str] = set()

    async def probe(self) -> None:
        return

    async def indexes(self) -> Sequence[ModelIndex]:
        return [
            ModelIndex(
                model=model,
                collection=f"{self._shard}/{model}",
                dimension=self._dimensions[model],
                serving=self._serving[split_model(model)[0]] == model,
                retiring=model in self._retiring,
            )
            for model in self._records
        ]

    async def count(self, model: str) -> int:
        return len(self._records.get(model, {}))

    async def search(
        self, model: str, vector: Vector, *, limit: int, categories: Sequence[str] = (), include_vectors: bool = False
    ) -> list[Hit]:
        index = served_index(self._shard, await self.indexes(), model)
        if index is None:
            return []
        check_dimension(index, vector)
        hits = [
            Hit(
                record.image_id,
                record.product_id,
                record.style_id,
                record.category,
                float(np.clip(record.vector @ vector, -1.0, 1.0)),
                record.vector.astype("<f4").tobytes() if include_vectors else b"",
            )
            for record in self._records[model].values()
            if not categories or record.category in categories
        ]
        return sorted(hits, key=lambda hit: (-hit.similarity, hit.image_id))[:limit]

    async def upsert(self, model: str, records: Sequence[Record]) -> None:
        self._serving.setdefault(split_model(model)[0], model)
        self._dimensions.setdefault(model, records[0].vector.size)
        stored = self._records.setdefault(model, {})
        (index,) = (each for each in await self.indexes() if each.model == model)
        for record in records:
            check_dimension(index, record.vector)
        stored.update({record.image_id: record for record in records})

    async def delete(self, image_ids: Sequence[str], model: str | None = None) -> None:
        for records in self._records.values() if model is None else [self._records.get(model, {})]:
            for image_id in image_ids:
                records.pop(image_id, None)

    async def find(self, model: str, image_ids: Sequence[str]) -> dict[str, str]:
        stored = self._records.get(model, {})
        return {image_id: stored[image_id].category for image_id in image_ids if image_id in stored}

    async def page(self, model: str, *, after: str, limit: int) -> Page:
        stored = self._records.get(model, {})
        keys = sorted(key for key in stored if key > after)
        found = [stored[key] for key in keys[:limit]]
        return Page(found, found[-1].image_id if found else "")

    async def prune(self, categories: Sequence[str]) -> None:
        for model, records in self._records.items():
            self._records[model] = {key: each for key, each in records.items() if each.category not in categories}

    async def serve(self, model: str) -> None:
        if model not in self._records:
            msg = f"shard {self._shard} holds nothing of {model}"
            raise PreconditionError(msg)
        name = split_model(model)[0]
        if self._serving[name] != model:
            self._retiring = (self._retiring | {self._serving[name]}) - {model}
            self._serving[name] = model

    async def drop(self, model: str) -> None:
        check_droppable(self._shard, await self.indexes(), model)
        self._records.pop(model, None)
        self._retiring.discard(model)

    async def close(self) -> None:
        return
