"""From shards' hits to candidates, and from ranked candidates to products and styles."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from services.gateway.ports import Hit, Scores, ShardHits
from services.gateway.ranking import Ranking, Vectors
from shiwu.chassis.errors import UnavailableError

# Vote shares are float32 sums: without a little slack .6 + .3 would not reach .9.
_SLACK = 1e-5


@dataclass(frozen=True, slots=True)
class ProductHit:
    """A product that was found, with its best picture: the one ranked first."""

    product_id: str
    image_id: str
    category: str
    similarity: float


@dataclass(frozen=True, slots=True)
class StyleHit:
    """Products of one design, best first. style_id is empty for a product that has no style."""

    style_id: str
    products: list[ProductHit]


def merged(shards: Sequence[ShardHits]) -> list[Hit]:
    """All shards' hits, nearest first; equal ones in the order of the shards."""
    return _ordered([hit for shard in shards for hit in shard.hits])


def united(*searches: Sequence[Hit]) -> list[Hit]:
    """The hits of searches for the same thing, each picture once and as near as it was anywhere, nearest first."""
    hits = _ordered([hit for each in searches for hit in each])
    return nearest(hits, len(hits))


def _ordered(hits: Sequence[Hit]) -> list[Hit]:
    similarities = np.fromiter((hit.similarity for hit in hits), np.float32, len(hits))
    return [hits[i] for i in np.argsort(-similarities, kind="stable").tolist()]


def nearest(hits: Sequence[Hit], limit: int, categories: Collection[str] = ()) -> list[Hit]:
    """The first `limit` of the hits, of these categories if any are named, each picture once.

    A picture that is just moving from one shard to another may be in both.
    """
    found: dict[str, Hit] = {}
    for hit in hits:
        if not categories or hit.category in categories:
            found.setdefault(hit.image_id, hit)
            if len(found) == limit:
                break
    return list(found.values())


def likely_categories(distribution: Scores, mass: float) -> list[str]:
    """The smallest set of categories that together have `mass` of the vote; scores highest first."""
    taken, total = [], 0.0
    for category, score in distribution:
        taken.append(category)
        total += score
        if total >= mass - _SLACK:
            break
    return taken


def vectors(hits: Sequence[Hit], dimension: int) -> Vectors:
    """The hits' vectors, (n, dimension). Raises UnavailableError if one is no vector of that dimension."""
    rows = [hit.vector for hit in hits]
    for hit, row in zip(hits, rows, strict=True):
        if len(row) != 4 * dimension:
            msg = f"search: the vector of {hit.image_id!r} has {len(row)} bytes; expected {4 * dimension}"
            raise UnavailableError(msg)
    table = np.frombuffer(b"".join(rows), "<f4").reshape(len(rows), dimension)
    if not np.isfinite(table).all():
        msg = "search: a stored vector is not finite"
        raise UnavailableError(msg)
    return table


def grouped(candidates: Sequence[Hit], ranking: Ranking) -> list[StyleHit]:
    """Products by their best candidate, styles by their best product; best first."""
    styles: dict[tuple[str, str], StyleHit] = {}
    seen: set[str] = set()
    for i in ranking.order.tolist():
        hit = candidates[i]
        if hit.product_id in seen:
            continue
        seen.add(hit.product_id)
        key = (hit.style_id, "") if hit.style_id else ("", hit.product_id)
        style = styles.setdefault(key, StyleHit(hit.style_id, []))
        style.products.append(ProductHit(hit.product_id, hit.image_id, hit.category, hit.similarity))
    return list(styles.values())


def product_ids(styles: Sequence[StyleHit]) -> list[str]:
    """The products of the styles, best first."""
    return [product.product_id for style in styles for product in style.products]


def lead(best: ProductHit, hits: Sequence[Hit]) -> float:
    """How much more similar the best product is than any other among the hits, nearest first.

    0 without another product: a lead that nobody knows does not count.
    """
    for hit in hits:
        if hit.product_id != best.product_id:
            return best.similarity - hit.similarity
    return 0.0
