"""At most one hit a product, from a store that knows only pictures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from services.search.store import Hit

MOST_PICTURES = 16_384
"""As many as Milvus returns from one search."""


async def nearest_products(nearest: Callable[[int], Awaitable[list[Hit]]], top_k: int) -> list[Hit]:
    """The best picture of each of the `top_k` nearest products; fewer only if there are no more.

    nearest: finds a number of nearest pictures. It is asked for more, four times as many each time, until they show
    enough products, there are no more, or `MOST_PICTURES` were looked at.
    """
    limit = min(2 * top_k, MOST_PICTURES)
    while True:
        hits = await nearest(limit)
        best = best_pictures(hits)
        if len(best) >= top_k or len(hits) < limit or limit == MOST_PICTURES:
            return best[:top_k]
        limit = min(4 * limit, MOST_PICTURES)


def best_pictures(hits: Iterable[Hit]) -> list[Hit]:
    """The first hit of each product, in order."""
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(hit.product_id, hit)
    return list(best.values())
