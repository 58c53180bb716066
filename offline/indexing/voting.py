"""The category of products that come without one: the mesh's own vote over their pictures."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from itertools import groupby, islice
from typing import Any, Final

import pyarrow as pa

from offline.jobs.settings import JobSettings
from shiwu.chassis.channel import connect, foreign_errors
from shiwu.v1 import classifier_pb2, search_pb2, vision_pb2
from shiwu.v1.classifier_pb2_grpc import ClassifierServiceStub
from shiwu.v1.search_pb2_grpc import SearchServiceStub

CATEGORIES: Final = pa.schema([("product_id", pa.string()), ("category", pa.string()), ("share", pa.float64())])
"""share: of the votes."""
_NEIGHBOURS: Final = 20
_PICTURES: Final = 5
"""Of a product that vote: more would hardly change it."""
_TIMEOUT: Final = 20.0


def voted(vectors: pa.Table, settings: JobSettings, listed: Callable[[set[str]], set[str]]) -> pa.Table:
    """A row of `CATEGORIES` for each product of rows of `VECTORS` that are sorted by product.

    Each picture votes as a scan does, by the detector's category and its nearest neighbours in the catalogue; the votes
    of a product's pictures are added up. listed: which of some products are the feed's own. These are no neighbours:
    how many of them the catalogue has depends on how far the job is. Raises UnavailableError and the like while a
    service does not answer.
    """
    rows = [row for row in vectors.to_pylist() if not row["problem"] and row["product_id"]]
    return asyncio.run(_voted(rows, settings, listed)) if rows else pa.Table.from_pylist([], CATEGORIES)


async def _voted(rows: list[dict[str, Any]], settings: JobSettings, listed: Callable[[set[str]], set[str]]) -> pa.Table:
    of_products = groupby(rows, key=lambda row: row["product_id"])
    voters = [row for _, pictures in of_products for row in islice(pictures, _PICTURES)]
    async with connect(settings.search) as to_search, connect(settings.classifier) as to_classifier:
        search, classifier = SearchServiceStub(to_search), ClassifierServiceStub(to_classifier)
        hits = [await _nearest(row, search) for row in voters]
        own = listed({hit.product_id for each in hits for hit in each})
        others = [[hit for hit in each if hit.product_id not in own] for each in hits]
        votes_of: dict[str, list[dict[str, float]]] = defaultdict(list)
        for row, neighbours in zip(voters, others, strict=True):
            votes_of[row["product_id"]].append(await _vote(row, neighbours, classifier))
        found = []
        for product, votes in votes_of.items():
            total: dict[str, float] = defaultdict(float)
            for category, score in (each for vote in votes for each in vote.items()):
                total[category] += score / len(votes)
            if total:
                best = max(sorted(total), key=total.__getitem__)
                found.append({"product_id": product, "category": best, "share": total[best]})
    return pa.Table.from_pylist(found, CATEGORIES)


async def _nearest(row: dict[str, Any], search: Any) -> list[search_pb2.Hit]:
    request = search_pb2.SearchRequest(vector=row["vector"], model=row["model"], top_k=_NEIGHBOURS)
    with foreign_errors("search"):
        answer = await search.Search(request, timeout=_TIMEOUT)
    hits = sorted((hit for shard in answer.shards for hit in shard.hits), key=lambda hit: -hit.similarity)
    return hits[:_NEIGHBOURS]


async def _vote(row: dict[str, Any], hits: list[search_pb2.Hit], classifier: Any) -> dict[str, float]:
    neighbours = [
        classifier_pb2.Neighbor(image_id=hit.image_id, category=hit.category, similarity=hit.similarity) for hit in hits
    ]
    seen = [vision_pb2.CategoryScore(category=row["seen"], score=row["seen_score"])] if row["seen"] else []
    if not seen and not neighbours:
        return {}
    with foreign_errors("classifier"):
        vote = await classifier.Vote(classifier_pb2.VoteRequest(detector=seen, neighbors=neighbours), timeout=_TIMEOUT)
    return {each.category: each.score for each in vote.categories}
