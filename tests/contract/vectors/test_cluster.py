"""A real Milvus cluster, two query nodes with a replica each: the death of either costs no search."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from evaluation.milvus_cluster import MilvusCluster
from services.search.index import ShardedIndex
from services.search.milvus import MilvusStore
from services.search.milvus_connection import MilvusConnection
from services.search.shards import Shard
from services.search.store import Record
from shiwu.chassis.errors import ServiceError

from .test_kill import DIMENSION, MODEL, batch

BATCHES = 25
CATEGORIES = ("shoes", "food")


@pytest.fixture(params=[0.0, 0.05], ids=["plain", "hedged"])
async def index(request: pytest.FixtureRequest, cluster: MilvusCluster) -> AsyncIterator[ShardedIndex]:
    """As search is configured by default: 2 s for an attempt, 4 s for a search."""
    shards = [
        Shard(
            name=f"{name}{int(100 * request.param)}", categories=(name,), endpoint=cluster.uri, replicas=2, channels=2
        )
        for name in CATEGORIES
    ]
    first, second = (MilvusConnection(cluster.uri, address=cluster.uri) for _ in range(2))
    index = ShardedIndex(
        [(shard, MilvusStore(shard, first, second if request.param else None, request.param)) for shard in shards]
    )
    async with index.watching():
        for number in range(BATCHES):
            await index.upsert(MODEL, batch(number))
        yield index


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_a_killed_query_node_costs_no_search(index: ShardedIndex, cluster: MilvusCluster) -> None:
    records = [record for number in range(BATCHES) for record in batch(number)]
    assert records[0].vector.size == DIMENSION
    over, times, failures = asyncio.Event(), list[float](), list[str]()

    async def search_on(mine: list[Record]) -> None:
        for record in mine * 10_000:
            if over.is_set():
                return
            start = time.perf_counter()
            try:
                answers = await index.search(MODEL, record.vector, top_k=1, categories=[record.category])
            except ServiceError as error:
                failures.append(str(error))
                continue
            times.append(time.perf_counter() - start)
            if [hit.image_id for answer in answers for hit in answer.hits] != [record.image_id]:
                failures.append(f"{record.image_id}: {answers}")

    searchers = [asyncio.create_task(search_on(records[i::4])) for i in range(4)]
    for node in ("querynode1", "querynode2"):
        await asyncio.sleep(2.0)
        await asyncio.to_thread(cluster.kill, node)
        await asyncio.sleep(12.0)
        await asyncio.to_thread(cluster.revive, node)
        await asyncio.sleep(20.0)  # until it holds its replica again, and may be the only one
    over.set()
    await asyncio.gather(*searchers)
    times.sort()
    print(f"{len(times):,} searches, {len(failures)} failed, slowest {times[-1]:.2f} s")
    assert not failures, failures[:3]
    assert len(times) > 1000
