"""What every vector store does: in memory, in Milvus Lite, on a real Milvus server."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from services.search.memory import MemoryStore
from services.search.store import Record, VectorStore
from shiwu.chassis.errors import InvalidInputError, PreconditionError
from tests.contract.vectors.pictures import (
    CATEGORIES,
    DIMENSION,
    IDS,
    MODEL,
    OTHER,
    STRANGE,
    Close,
    image_ids,
    records,
    units,
)


@pytest.fixture
async def store(backend, closing: Close) -> VectorStore:
    """A shard without rows; its collection is made only once, which takes a server 3 s."""
    store = closing(backend.open("shared"))
    await store.delete([*IDS, *STRANGE])
    return store


async def test_a_shard_that_was_never_written_to_is_empty(fresh: VectorStore) -> None:
    await fresh.probe()
    assert await fresh.indexes() == []
    assert await fresh.search(MODEL, units(1)[0], limit=5) == []
    assert set(await fresh.find(MODEL, ["a"])) == set()
    assert await fresh.count(MODEL) == 0
    await fresh.delete(["a"])
    with pytest.raises(PreconditionError, match=r"holds nothing of embedder-lite0@0\.1"):
        await fresh.serve(MODEL)


async def test_finds_what_the_exact_store_finds(store: VectorStore) -> None:
    exact = MemoryStore("exact")
    gallery = records(IDS)
    for each in (store, exact):
        await each.upsert(MODEL, gallery[:200])
        await each.upsert(MODEL, gallery[200:])
        await each.delete(IDS[50:60])
    for number, query in enumerate(units(12, seed=1)):
        categories = CATEGORIES[: number % 3]
        wanted = await exact.search(MODEL, query, limit=25, categories=categories, include_vectors=True)
        found = await store.search(MODEL, query, limit=25, categories=categories, include_vectors=True)
        assert [hit._replace(similarity=0.0) for hit in found] == [hit._replace(similarity=0.0) for hit in wanted]
        np.testing.assert_allclose([h.similarity for h in found], [h.similarity for h in wanted], atol=1e-5)


async def test_every_write_is_found_at_once(store: VectorStore) -> None:
    for record in records(IDS[:8]):
        await store.upsert(MODEL, [record])
        (hit,) = await store.search(MODEL, record.vector, limit=1)
        assert hit.image_id == record.image_id
        assert hit.similarity == pytest.approx(1.0, abs=1e-5)
        assert hit.vector == b""


async def test_an_upsert_replaces_every_field(store: VectorStore) -> None:
    first, second = records(IDS[:2])
    await store.upsert(MODEL, [first])
    await store.upsert(MODEL, [replace(second, image_id=first.image_id, product_id="new", category="bags")])
    (hit,) = await store.search(MODEL, first.vector, limit=5, include_vectors=True)
    assert (hit.product_id, hit.category, hit.vector) == ("new", "bags", second.vector.tobytes())
    assert await store.search(MODEL, first.vector, limit=5, categories=["shoes"]) == []
    assert await store.count(MODEL) == 1


async def test_repeating_a_write_changes_nothing(store: VectorStore) -> None:
    gallery = records(IDS[:30])
    for _ in range(3):
        await store.upsert(MODEL, gallery)
    assert await store.count(MODEL) == 30
    assert sorted(image_ids(await store.search(MODEL, gallery[0].vector, limit=100))) == sorted(IDS[:30])
    for _ in range(2):
        await store.delete(IDS[:10])
    assert await store.count(MODEL) == 20


async def test_a_deleted_picture_is_gone_at_once(store: VectorStore) -> None:
    gallery = records(IDS[:6])
    await store.upsert(MODEL, gallery)
    for i, record in enumerate(gallery):
        await store.delete([record.image_id, "never stored"])
        assert record.image_id not in image_ids(await store.search(MODEL, record.vector, limit=10))
        assert set(await store.find(MODEL, IDS[:6])) == set(IDS[i + 1 : 6])


async def test_a_deleted_picture_can_come_back(store: VectorStore) -> None:
    (record,) = records(IDS[:1])
    for _ in range(3):
        await store.upsert(MODEL, [record])
        assert set(await store.find(MODEL, [record.image_id])) == {record.image_id}
        await store.delete([record.image_id], MODEL)
        assert set(await store.find(MODEL, [record.image_id])) == set()


async def test_the_limit_limits(store: VectorStore) -> None:
    gallery = records(IDS[:20])
    await store.upsert(MODEL, gallery)
    for limit, expected in ((1, 1), (7, 7), (20, 20), (1000, 20), (16_384, 20)):
        hits = await store.search(MODEL, gallery[0].vector, limit=limit)
        assert len(hits) == expected
        assert [hit.similarity for hit in hits] == sorted((hit.similarity for hit in hits), reverse=True)


async def test_any_printable_id(store: VectorStore) -> None:
    gallery = [replace(record, product_id=record.image_id, style_id=record.image_id) for record in records(STRANGE)]
    await store.upsert(MODEL, gallery)
    assert await store.count(MODEL) == len(STRANGE)
    found = await asyncio.gather(*(store.find(MODEL, [image_id]) for image_id in STRANGE))
    assert [set(each) for each in found] == [{image_id} for image_id in STRANGE]
    for record in gallery:
        (hit,) = await store.search(MODEL, record.vector, limit=1)
        assert (hit.image_id, hit.product_id, hit.style_id) == (record.image_id,) * 3
    await asyncio.gather(*(store.delete([image_id]) for image_id in STRANGE[::2]))
    assert set(await store.find(MODEL, STRANGE)) == set(STRANGE[1::2])


async def test_a_thousand_at_once(store: VectorStore) -> None:
    ids = [f"many-{i}" for i in range(1000)]
    await store.upsert(MODEL, records(ids))
    assert set(await store.find(MODEL, [*ids, "not there"])) == set(ids)
    assert len(await store.search(MODEL, units(1)[0], limit=1000, include_vectors=True)) == 1000
    await store.delete(ids)
    assert await store.count(MODEL) == 0


async def test_writes_and_searches_at_the_same_time(store: VectorStore) -> None:
    gallery = records(IDS[:60])
    await store.upsert(MODEL, gallery[:10])
    writes = [store.upsert(MODEL, gallery[i : i + 10]) for i in range(10, 60, 10)]
    searches = [store.search(MODEL, record.vector, limit=1) for record in gallery[:10] * 5]
    found = await asyncio.gather(*searches, *writes)
    assert [hits[0].image_id for hits in found[:50] if hits] == IDS[:10] * 5
    assert set(await store.find(MODEL, IDS)) == set(IDS[:60])


async def test_a_vector_of_another_length_is_refused(store: VectorStore) -> None:
    gallery = records(IDS[:3])
    await store.upsert(MODEL, gallery)
    short = units(1, DIMENSION - 1)[0]
    with pytest.raises(InvalidInputError, match=r"vector: has 31 numbers; embedder-lite0@0\.1 has 32"):
        await store.search(MODEL, short, limit=1)
    with pytest.raises(InvalidInputError, match="vector: has 31 numbers"):
        await store.upsert(MODEL, [replace(gallery[0], vector=short)])


async def test_pages_show_every_picture_once_in_order(store: VectorStore) -> None:
    rng = np.random.default_rng(4)
    gallery = {record.image_id: record for record in records([*IDS, *STRANGE])}
    order = rng.permutation(sorted(gallery))
    for start in range(0, len(order), 60):  # several segments of a server, none in the order of the keys
        await store.upsert(MODEL, [gallery[key] for key in order[start : start + 60]])
    await store.delete(IDS[::7])
    expected = sorted(gallery.keys() - set(IDS[::7]))
    for limit in (1000, 17):
        found: list[Record] = []
        after, seen_end = "", False
        while not seen_end:
            page = await store.page(MODEL, after=after, limit=limit)
            assert len(page.records) <= limit
            found += page.records
            after, seen_end = page.after, not page.after
        assert [record.image_id for record in found] == expected
        for record in found[::40]:
            assert replace(record, vector=None) == replace(gallery[record.image_id], vector=None)  # type: ignore[arg-type]
            np.testing.assert_array_equal(record.vector, gallery[record.image_id].vector)
    assert (await store.page(OTHER, after="", limit=9)).records == []


async def test_prunes_categories(store: VectorStore) -> None:
    gallery = records(IDS)
    await store.upsert(MODEL, gallery)
    await store.prune(["shoes", "bags"])
    assert await store.find(MODEL, IDS) == {
        each.image_id: "clothing" for each in gallery if each.category == "clothing"
    }
