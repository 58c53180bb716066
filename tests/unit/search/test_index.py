from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from services.search.store import OtherModelError
from shiwu.categories import CATEGORIES
from shiwu.chassis.errors import InvalidInputError, PreconditionError, UnavailableError

from .stores import MODEL, SHARDS, mortal_index, record, unit

NEXT = "embedder-lite0@0.2"
RECORDS = [record(number) for number in range(44)]


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + 10
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_an_empty_catalogue_is_no_error() -> None:
    index, _ = mortal_index()
    answers = await index.search(MODEL, unit(0), top_k=5)
    assert [(answer.shard, answer.hits, answer.error) for answer in answers] == [(name, [], None) for name in SHARDS]
    assert await index.dimension(MODEL) is None
    assert await index.find_missing(MODEL, ["a", "b"]) == ["a", "b"]
    await index.delete(["a"])


async def test_each_picture_is_in_its_categorys_shard() -> None:
    index, stores = mortal_index()
    assert await index.upsert(MODEL, RECORDS)
    for name, categories in SHARDS.items():
        mine = [each.image_id for each in RECORDS if each.category in categories]
        assert set(await stores[name].find(MODEL, [each.image_id for each in RECORDS])) == set(mine)
    assert await index.dimension(MODEL) == RECORDS[0].vector.size


async def test_every_shard_answers_with_its_own_nearest() -> None:
    index, stores = mortal_index()
    await index.upsert(MODEL, RECORDS)
    answers = await index.search(MODEL, RECORDS[7].vector, top_k=3, include_vectors=True)
    for answer in answers:
        wanted = await stores[answer.shard].search(MODEL, RECORDS[7].vector, limit=3, include_vectors=True)
        assert answer.hits == wanted
        assert answer.error is None
        assert answer.seconds > 0


async def test_only_the_shards_and_categories_asked_for() -> None:
    index, _ = mortal_index()
    await index.upsert(MODEL, RECORDS)
    answers = await index.search(MODEL, unit(0), top_k=50, categories=["shoes", "other"])
    assert {answer.shard: {hit.category for hit in answer.hits} for answer in answers} == {
        "fashion": {"shoes"},
        "media": {"other"},
    }
    (whole,) = await index.search(MODEL, unit(0), top_k=50, categories=CATEGORIES[:4])
    assert {hit.category for hit in whole.hits} == set(CATEGORIES[:4])


async def test_one_hit_a_product() -> None:
    index, _ = mortal_index()
    await index.upsert(MODEL, [replace(each, category="shoes") for each in RECORDS])
    pictures = (await index.search(MODEL, unit(1), top_k=44))[0].hits
    products = (await index.search(MODEL, unit(1), top_k=22, group_by_product=True))[0].hits
    assert len({hit.product_id for hit in products}) == len(products) == 22
    best = {hit.product_id: hit for hit in reversed(pictures)}
    assert all(best[hit.product_id] == hit for hit in products)


async def test_a_picture_that_changes_category_moves() -> None:
    index, stores = mortal_index()
    moved = record(0, "shoes")
    await index.upsert(MODEL, [moved, record(1, "shoes")])
    await index.upsert(MODEL, [replace(moved, category="other"), record(2, "shoes")])
    assert set(await stores["fashion"].find(MODEL, ["image-0", "image-1", "image-2"])) == {"image-1", "image-2"}
    assert set(await stores["media"].find(MODEL, ["image-0", "image-1"])) == {"image-0"}
    assert await index.find_missing(MODEL, ["image-0", "image-1", "image-9"]) == ["image-9"]


async def test_moves_at_the_same_time_lose_nothing() -> None:
    index, stores = mortal_index()
    moved = record(0, "shoes")
    for _ in range(20):
        await asyncio.gather(
            *(index.upsert(MODEL, [replace(moved, category=category)]) for category in ("shoes", "other", "food"))
        )
        places = [name for name, store in stores.items() if await store.find(MODEL, ["image-0"])]
        assert len(places) == 1


async def test_deletes_everywhere() -> None:
    index, _ = mortal_index()
    await index.upsert(MODEL, RECORDS)
    await index.upsert(NEXT, RECORDS)
    await index.delete([each.image_id for each in RECORDS[:40]])
    assert [sum(count for _, count in state.indexes) for state in await index.describe()] == [0, 2, 6]


async def test_all_records_are_checked_before_any_is_written() -> None:
    index, _ = mortal_index()
    with pytest.raises(InvalidInputError, match=r"records\[2\]\.image_id: 'image-0' comes 2 times, at 0, 2"):
        await index.upsert(MODEL, [record(0), record(1), record(0, "other")])
    with pytest.raises(InvalidInputError, match=r"records\[1\]\.vector: has 17 numbers; expected 16"):
        await index.upsert(MODEL, [record(0), record(1, dimension=17)])
    assert await index.find_missing(MODEL, ["image-0", "image-1"]) == ["image-0", "image-1"]


@pytest.mark.parametrize("state", ["down", "silent"])
async def test_a_lost_shard_makes_the_answer_partial(state: str) -> None:
    index, stores = mortal_index(search_seconds=1.0)
    await index.upsert(MODEL, RECORDS)
    stores["home"].state = state
    start = time.perf_counter()
    answers = {answer.shard: answer for answer in await index.search(MODEL, unit(0), top_k=3)}
    assert time.perf_counter() - start < 5
    assert isinstance(answers["home"].error, UnavailableError)
    assert answers["home"].hits == []
    assert len(answers["fashion"].hits) == len(answers["media"].hits) == 3


async def test_a_lost_shard_costs_the_next_searches_no_time_and_comes_back() -> None:
    index, stores = mortal_index(search_seconds=4.0, probe_seconds=0.05)
    async with index.watching():
        await eventually(index.ready)
        await index.upsert(MODEL, RECORDS)
        stores["home"].state = "silent"
        await index.search(MODEL, unit(0), top_k=3)
        start = time.perf_counter()
        answers = await index.search(MODEL, unit(0), top_k=3)
        assert time.perf_counter() - start < 2
        assert [answer.error is None for answer in answers] == [True, False, True]
        assert await index.ready()
        stores["home"].state = "up"

        async def whole() -> bool:
            return not any(answer.error for answer in await index.search(MODEL, unit(0), top_k=3))

        await eventually(whole)


async def test_a_shard_that_is_down_at_the_start_does_not_keep_the_others_from_serving() -> None:
    index, stores = mortal_index(probe_seconds=0.05)
    stores["fashion"].state = "down"
    assert not await index.ready()
    async with index.watching():
        await eventually(index.ready)
        answers = await index.search(MODEL, unit(0), top_k=3)
        assert [answer.error is None for answer in answers] == [False, True, True]


async def test_not_ready_while_no_shard_answers() -> None:
    index, stores = mortal_index(probe_seconds=0.05)
    async with index.watching():
        await eventually(index.ready)
        for store in stores.values():
            store.state = "down"

        async def unready() -> bool:
            return not await index.ready()

        await eventually(unready)
        with pytest.raises(UnavailableError, match="no shard answers: vector store fashion is down"):
            await index.search(MODEL, unit(0), top_k=3)


async def test_writes_need_every_shard() -> None:
    """One that is down may hold the picture under another category."""
    index, stores = mortal_index()
    await index.upsert(MODEL, [record(0, "shoes")])
    stores["fashion"].state = "down"
    for write in (index.upsert(MODEL, [record(0, "other")]), index.delete(["image-0"])):
        with pytest.raises(UnavailableError, match="fashion is down"):
            await write
    with pytest.raises(UnavailableError, match="fashion is down"):
        await index.find_missing(MODEL, ["image-0"])
    stores["fashion"].state = "up"
    await index.upsert(MODEL, [record(0, "other")])
    assert set(await stores["fashion"].find(MODEL, ["image-0"])) == set()


async def test_another_model_is_told_by_name() -> None:
    index, _ = mortal_index()
    await index.upsert(MODEL, [record(0, "shoes")])
    with pytest.raises(OtherModelError, match=r"fashion is indexed with embedder-lite0@0\.1, not with other@3"):
        await index.search("other@3", unit(0), top_k=3)


async def test_shards_between_two_versions_make_the_answer_partial() -> None:
    index, stores = mortal_index()
    await index.upsert(MODEL, RECORDS)
    await index.upsert(NEXT, RECORDS)
    await stores["home"].serve(NEXT)
    await stores["home"].drop(MODEL)
    answers = {answer.shard: answer.error for answer in await index.search(MODEL, unit(0), top_k=3)}
    assert answers["fashion"] is answers["media"] is None
    assert isinstance(answers["home"], OtherModelError)


async def test_a_new_version_is_served_only_when_complete() -> None:
    index, _ = mortal_index()
    with pytest.raises(PreconditionError, match=r"no shard holds pictures of embedder-lite0@0\.2"):
        await index.serve(NEXT)
    assert await index.upsert(MODEL, RECORDS)
    assert not await index.upsert(NEXT, RECORDS[:40])
    with pytest.raises(PreconditionError, match=r"holds 16 pictures of embedder-lite0@0\.1, but 15 of .*@0\.2"):
        await index.serve(NEXT)
    assert not await index.upsert(NEXT, RECORDS[40:])
    await index.serve(NEXT)
    for model in (MODEL, NEXT):
        assert not any(answer.error for answer in await index.search(model, unit(0), top_k=3))
    with pytest.raises(
        PreconditionError, match=r"fashion serves embedder-lite0@0\.2; serve another version of it first"
    ):
        await index.drop(NEXT)
    await index.drop(MODEL)
    with pytest.raises(OtherModelError):
        await index.search(MODEL, unit(0), top_k=3)
    assert {entry.model for state in await index.describe() for entry, _ in state.indexes} == {NEXT}


async def test_describes_a_lost_shard_too() -> None:
    index, stores = mortal_index()
    await index.upsert(MODEL, RECORDS)
    stores["media"].state = "down"
    states = await index.describe()
    assert [len(state.indexes) for state in states] == [1, 1, 0]
    assert [state.error is None for state in states] == [True, True, False]
