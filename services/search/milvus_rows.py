"""Milvus' rows and filters, from what a store is given and to what it returns."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from services.search import milvus_schema as schema
from services.search.store import Hit, Record


def to_row(record: Record, *, copied: bool) -> dict[str, Any]:
    """A picture as a row. copied: see `ModelIndex`."""
    row: dict[str, Any] = {
        schema.KEY: record.image_id,
        "product_id": record.product_id,
        "style_id": record.style_id,
        "category": record.category,
        schema.VECTOR: record.vector,
    }
    if copied:
        row[schema.COPY] = base64.b64encode(record.vector.astype("<f4").tobytes()).decode()
    return row


def to_record(row: dict[str, Any]) -> Record:
    """A row as a picture."""
    vector = np.array(row[schema.VECTOR], np.float32)
    return Record(row[schema.KEY], row["product_id"], row["style_id"], row["category"], vector)


def to_hits(found: Any, *, with_vectors: bool) -> list[Hit]:
    """What a search found."""
    # `ids`, `distances` and `get_raw_item`, which has no vectors, spare the client's conversion of every hit into
    # objects of its own.
    hits = []
    for position, (image_id, similarity) in enumerate(zip(found.ids, found.distances, strict=True)):
        facts = found.get_raw_item(position)["entity"]
        hits.append(
            Hit(
                image_id,
                facts["product_id"],
                facts["style_id"],
                facts["category"],
                min(1.0, max(-1.0, similarity)),
                np.array(found[position]["entity"][schema.VECTOR], "<f4").tobytes() if with_vectors else b"",
            )
        )
    return hits


def any_of(field: str, values: Iterable[str]) -> str:
    """The filter for rows with one of these values."""
    # Milvus' string literals take JSON's escapes.
    return f"{field} in [{', '.join(json.dumps(value, ensure_ascii=False) for value in values)}]"
