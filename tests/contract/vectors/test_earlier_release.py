"""What an earlier release has stored is served on, and that release reads what is stored since."""

from __future__ import annotations

import asyncio
import base64

from pymilvus import DataType, MilvusClient

from services.search.milvus_schema import collection_name
from tests.contract.vectors.conftest import MilvusBackend
from tests.contract.vectors.pictures import DIMENSION, IDS, MODEL, Close, fresh_name, records


async def test_rows_that_have_their_vector_twice(persistent: MilvusBackend, closing: Close) -> None:
    shard = fresh_name()
    collection = collection_name(shard, MODEL)
    await asyncio.to_thread(_make, persistent.endpoint, collection)
    store = closing(persistent.open(shard))
    gallery = records(IDS[:5])
    await store.upsert(MODEL, gallery)
    page = await store.page(MODEL, after="", limit=5)
    assert [each.vector.tobytes() for each in page.records] == [each.vector.tobytes() for each in gallery]
    (hit,) = await store.search(MODEL, gallery[2].vector, limit=1, include_vectors=True)
    assert (hit.image_id, hit.vector) == (IDS[2], gallery[2].vector.tobytes())
    copies = await asyncio.to_thread(_copies, persistent.endpoint, collection)
    assert copies == {each.image_id: each.vector.tobytes() for each in gallery}


def _make(endpoint: str, collection: str) -> None:
    client = MilvusClient(endpoint)
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("image_id", DataType.VARCHAR, is_primary=True, max_length=512)
    for name, length in (("product_id", 512), ("style_id", 512), ("category", 64), ("vector_base64", 256)):
        schema.add_field(name, DataType.VARCHAR, max_length=length)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSION)
    client.create_collection(collection, schema=schema)
    client.close()


def _copies(endpoint: str, collection: str) -> dict[str, bytes]:
    client = MilvusClient(endpoint)
    rows = client.query(collection, filter='image_id != ""', output_fields=["image_id", "vector_base64"])
    client.close()
    return {row["image_id"]: base64.b64decode(row["vector_base64"]) for row in rows}
