from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from services.search.grouping import best_pictures, nearest_products
from services.search.store import Hit


def hits(products: list[int]) -> list[Hit]:
    return [Hit(f"image-{i}", f"product-{each}", "", "shoes", 1.0 - i / 1000) for i, each in enumerate(products)]


@given(st.lists(st.integers(0, 20), max_size=200), st.integers(1, 30))
def test_finds_the_best_picture_of_each_of_the_nearest_products(products: list[int], top_k: int) -> None:
    gallery = hits(products)
    asked: list[int] = []

    async def nearest(limit: int) -> list[Hit]:
        asked.append(limit)
        return gallery[:limit]

    found = asyncio.run(nearest_products(nearest, top_k))
    # The slow and obvious way: look at everything.
    wanted: list[Hit] = []
    for hit in gallery:
        if hit.product_id not in [each.product_id for each in wanted]:
            wanted.append(hit)
    assert found == wanted[:top_k]
    assert asked == sorted(set(asked))


def test_asks_once_when_that_is_enough() -> None:
    asked: list[int] = []

    async def nearest(limit: int) -> list[Hit]:
        asked.append(limit)
        return hits(list(range(1000)))[:limit]

    assert len(asyncio.run(nearest_products(nearest, 100))) == 100
    assert asked == [200]


def test_gives_up_at_what_a_store_can_return() -> None:
    async def nearest(limit: int) -> list[Hit]:
        assert limit <= 16_384
        return hits([0] * limit)

    assert len(asyncio.run(nearest_products(nearest, 10))) == 1


def test_keeps_the_order() -> None:
    assert [hit.image_id for hit in best_pictures(hits([3, 3, 1, 3, 2, 1]))] == ["image-0", "image-2", "image-4"]
