"""Pictures for the contract of the vector stores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from uuid import uuid4

import numpy as np

from services.search.store import Hit, Record, Vector, VectorStore

DIMENSION = 32
MODEL = "embedder-lite0@0.1"
NEXT = "embedder-lite0@0.2"
OTHER = "embedder-shoes@1"
CATEGORIES = ("shoes", "bags", "clothing")
STRANGE = (
    "a'b", 'a"b', "a\\b", "a\\\\b", "识物-1", "%s", "a{b}", "$x", "\\n", "😀", "\\u0041", "x'y\"z\\", "é", "\\", "'",
    '"', "<>&;--/*", "a/b?c=d#e", "`${x}`", "[1]", "null", "a,b", "])or(1==1", "*", "x" * 128, "识" * 128,
)  # fmt: skip
IDS = [f"image-{i}" for i in range(300)]
Close = Callable[[VectorStore], VectorStore]


def units(count: int, dimension: int = DIMENSION, seed: int = 0) -> list[Vector]:
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return list(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def records(ids: Iterable[str], dimension: int = DIMENSION, seed: int = 0) -> list[Record]:
    ids = list(ids)
    return [
        Record(image_id, f"product-{i // 3}", f"style-{i // 6}" if i % 2 else "", CATEGORIES[i % 3], vector)
        for i, (image_id, vector) in enumerate(zip(ids, units(len(ids), dimension, seed), strict=True))
    ]


def image_ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.image_id for hit in hits]


async def states(store: VectorStore) -> set[tuple[str, bool, bool]]:
    return {(each.model, each.serving, each.retiring) for each in await store.indexes()}


def fresh_name() -> str:
    return f"t{uuid4().hex[:12]}"
