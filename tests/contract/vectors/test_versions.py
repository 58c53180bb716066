"""Versions of a model, several models and several services on one store."""

from __future__ import annotations

import asyncio

import pytest
from pymilvus import MilvusClient, MilvusException

from services.search.store import OtherModelError, VectorStore
from shiwu.chassis.errors import PreconditionError, UnavailableError
from tests.contract.vectors.pictures import (
    DIMENSION,
    IDS,
    MODEL,
    NEXT,
    OTHER,
    Close,
    fresh_name,
    image_ids,
    records,
    states,
    units,
)


async def test_a_new_version_is_built_beside_the_served_one_and_swapped(fresh: VectorStore) -> None:
    await fresh.upsert(MODEL, records(IDS[:5]))
    await fresh.upsert(NEXT, records(IDS[:5], DIMENSION * 2, seed=7))
    assert {(each.model, each.dimension, each.serving) for each in await fresh.indexes()} == {
        (MODEL, DIMENSION, True),
        (NEXT, DIMENSION * 2, False),
    }
    query, new_query = units(5)[3], units(5, DIMENSION * 2, seed=7)[3]
    assert image_ids(await fresh.search(MODEL, query, limit=1)) == [IDS[3]]
    with pytest.raises(OtherModelError, match=r"indexed with embedder-lite0@0\.1, not with embedder-lite0@0\.2"):
        await fresh.search(NEXT, new_query, limit=1)
    await fresh.delete([IDS[4]])
    assert (await fresh.count(MODEL), await fresh.count(NEXT)) == (4, 4)
    for _ in range(2):
        await fresh.serve(NEXT)
        assert await states(fresh) == {(MODEL, False, True), (NEXT, True, False)}
    assert image_ids(await fresh.search(NEXT, new_query, limit=1)) == [IDS[3]]
    assert image_ids(await fresh.search(MODEL, query, limit=1)) == [IDS[3]], "who still asks for it is answered"
    with pytest.raises(PreconditionError, match=r"serves embedder-lite0@0\.2; serve another version"):
        await fresh.drop(NEXT)
    await fresh.probe()
    for _ in range(2):
        await fresh.drop(MODEL)
        assert await states(fresh) == {(NEXT, True, False)}
    with pytest.raises(OtherModelError, match=r"indexed with embedder-lite0@0\.2, not with embedder-lite0@0\.1"):
        await fresh.search(MODEL, query, limit=1)
    await fresh.probe()


async def test_a_swap_can_be_taken_back(fresh: VectorStore) -> None:
    for model in (MODEL, NEXT):
        await fresh.upsert(model, records(IDS[:3]))
    await fresh.serve(NEXT)
    await fresh.serve(MODEL)
    assert await states(fresh) == {(MODEL, True, False), (NEXT, False, True)}
    await fresh.drop(NEXT)
    assert image_ids(await fresh.search(MODEL, units(3)[1], limit=1)) == [IDS[1]]


async def test_two_models_are_served_side_by_side(fresh: VectorStore) -> None:
    await fresh.upsert(MODEL, records(IDS[:3]))
    with pytest.raises(OtherModelError, match=r"indexed with embedder-lite0@0\.1, not with embedder-shoes@1"):
        await fresh.search(OTHER, units(1)[0], limit=1)
    await fresh.upsert(OTHER, records(IDS[:2], seed=3))
    assert len(await fresh.search(MODEL, units(1)[0], limit=9)) == 3
    assert len(await fresh.search(OTHER, units(1)[0], limit=9)) == 2
    await fresh.delete([IDS[0]], OTHER)
    assert (await fresh.count(MODEL), await fresh.count(OTHER)) == (3, 1)
    await fresh.serve(OTHER)
    assert len(await fresh.search(MODEL, units(1)[0], limit=9)) == 3


async def test_everything_is_there_after_a_restart(persistent, closing: Close) -> None:
    name = fresh_name()
    store = persistent.open(name)
    gallery = records(IDS[:20])
    await store.upsert(MODEL, gallery)
    await store.upsert(NEXT, records(IDS[:3]))
    await store.delete(IDS[:2])
    await store.close()
    again = closing(persistent.open(name))
    assert set(await again.find(MODEL, IDS)) == set(IDS[2:20])
    assert image_ids(await again.search(MODEL, gallery[7].vector, limit=1)) == [IDS[7]]
    assert {(each.model, each.serving) for each in await again.indexes()} == {(MODEL, True), (NEXT, False)}
    await again.probe()


async def test_a_delete_reaches_what_another_service_has_just_made(milvus, closing: Close) -> None:
    from .conftest import MilvusBackend

    name, backend = fresh_name(), MilvusBackend(milvus.uri)
    one, two = closing(backend.open(name)), closing(backend.open(name))
    assert await one.indexes() == []
    await two.upsert(MODEL, records(IDS[:3]))
    await one.delete(IDS[:2])
    assert set(await two.find(MODEL, IDS[:3])) == {IDS[2]}
    await two.upsert(NEXT, records(IDS[:3]))
    await one.delete(IDS[:3])
    assert set(await one.find(NEXT, IDS)) == set()
    assert set(await two.find(NEXT, IDS)) == set()


async def test_two_search_services_share_a_store(milvus, closing: Close) -> None:
    """Each finds out by itself what the other made, swapped and dropped."""
    from .conftest import MilvusBackend

    name, backend = fresh_name(), MilvusBackend(milvus.uri)
    one, two = closing(backend.open(name)), closing(backend.open(name))
    gallery = records(IDS[:5])
    assert await two.search(MODEL, gallery[0].vector, limit=1) == []
    await asyncio.gather(one.upsert(MODEL, gallery), two.upsert(MODEL, gallery))
    assert await one.count(MODEL) == 5
    assert image_ids(await two.search(MODEL, gallery[0].vector, limit=1)) == IDS[:1]
    await one.upsert(NEXT, gallery)
    await one.serve(NEXT)
    await one.drop(MODEL)
    with pytest.raises(OtherModelError):
        await two.search(MODEL, gallery[0].vector, limit=1)
    assert image_ids(await two.search(NEXT, gallery[0].vector, limit=1)) == IDS[:1]


async def test_a_version_dropped_while_its_pictures_are_deleted_stays_dropped(fresh: VectorStore) -> None:
    gallery = records(IDS[:20])
    for model in (MODEL, NEXT):
        await fresh.upsert(model, gallery)
    await fresh.serve(NEXT)
    dropping = asyncio.create_task(fresh.drop(MODEL))
    for record in gallery:
        await fresh.delete([record.image_id])
        assert record.image_id not in image_ids(await fresh.search(NEXT, record.vector, limit=20))
    await dropping
    await fresh.probe()
    assert await states(fresh) == {(NEXT, True, False)}
    assert await fresh.count(NEXT) == 0


async def test_an_interrupted_drop_is_completed_by_the_next(
    persistent, closing: Close, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = closing(persistent.open(fresh_name()))
    await store.upsert(NEXT, records(IDS[:3]))
    await store.upsert(MODEL, records(IDS[:3]))
    with monkeypatch.context() as patched:
        patched.setattr(MilvusClient, "drop_collection", interrupted)
        with pytest.raises(UnavailableError, match="interrupted"):
            await store.drop(MODEL)
    await store.probe()
    assert await states(store) == {(NEXT, True, False)}
    await store.upsert(MODEL, records(IDS[:3]))
    for _ in range(2):
        await store.drop(MODEL)
        assert await states(store) == {(NEXT, True, False)}
    await store.upsert(MODEL, records(IDS[:2]))
    assert (await store.count(MODEL), await store.count(NEXT)) == (2, 3)


def interrupted(*_: object, **__: object) -> None:
    raise MilvusException(message="interrupted")
