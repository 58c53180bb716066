"""kill -9 in the middle of writing: what was acknowledged is found afterwards, and writing goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from evaluation.milvus_server import MilvusServer, running_milvus
from services.search.index import ShardedIndex
from services.search.milvus import MilvusStore
from services.search.milvus_connection import MilvusConnection
from services.search.shards import Shard
from services.search.store import Record
from shiwu.chassis.errors import ServiceError

MODEL = "embedder-lite0@0.1"
DIMENSION = 64
BATCH = 20


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """A server of this module's own, to be killed."""
    with running_milvus(tmp_path_factory.mktemp("mortal")) as server:
        yield server


def batch(number: int) -> list[Record]:
    vectors = np.random.default_rng(number).normal(size=(BATCH, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        Record(f"image-{number}-{i}", f"product-{number}", "", ("shoes", "food")[i % 2], vector)
        for i, vector in enumerate(vectors)
    ]


def sharded(endpoint: str, search_seconds: float = 4.0) -> ShardedIndex:
    connection = MilvusConnection(endpoint, address=endpoint)
    shards = [Shard(name=category, categories=(category,), endpoint=endpoint) for category in ("shoes", "food")]
    return ShardedIndex(
        [(shard, MilvusStore(shard, connection)) for shard in shards], search_seconds=search_seconds, probe_seconds=1.0
    )


async def write(index: ShardedIndex, acknowledged: list[int], numbers: Iterator[int]) -> None:
    """Writes batch after batch; one that fails is repeated until it succeeds, as an import does."""
    for number in numbers:
        while True:
            try:
                await index.upsert(MODEL, batch(number))
            except ServiceError:
                await asyncio.sleep(0.2)
            else:
                acknowledged.append(number)
                break


async def until(condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def assert_found(index: ShardedIndex, numbers: list[int]) -> None:
    for number in numbers:
        records = batch(number)
        assert await index.find_missing(MODEL, [record.image_id for record in records]) == []
    for number in numbers[-5:]:
        for record in batch(number):
            answers = await index.search(MODEL, record.vector, top_k=1, categories=[record.category])
            assert [hit.image_id for answer in answers for hit in answer.hits] == [record.image_id]


@pytest.mark.slow
async def test_a_killed_server_loses_nothing_acknowledged(mortal: MilvusServer) -> None:
    index, acknowledged, numbers = sharded(mortal.uri), [], count()

    async def written(batches: int) -> bool:
        return len(acknowledged) >= batches

    async with index.watching():
        writers = [asyncio.create_task(write(index, acknowledged, numbers)) for _ in range(3)]
        await until(lambda: written(10), 60)
        before = len(acknowledged)
        mortal.kill()
        query = batch(0)[0].vector
        with pytest.raises(ServiceError, match="no shard answers"):
            await index.search(MODEL, query, top_k=1)
        start = time.monotonic()
        with pytest.raises(ServiceError, match="no shard answers"):
            await index.search(MODEL, query, top_k=1)
        assert time.monotonic() - start < 0.5, "a lost shard costs no search any time"
        assert not await index.ready()
        late = sharded(mortal.uri)
        async with late.watching():
            await asyncio.sleep(1.0)
            assert not await late.ready()
            with pytest.raises(ServiceError, match="no shard answers"):
                await late.search(MODEL, query, top_k=1)
            await asyncio.to_thread(mortal.start)
            await until(late.ready, 30)

            async def whole() -> bool:
                answers = await late.search(MODEL, query, top_k=1)
                assert all(answer.hits for answer in answers if answer.error is None), "empty, and no error says why"
                return all(answer.error is None for answer in answers)

            await until(whole, 60)  # ready means that one shard answers; the others come back one by one
        await until(lambda: written(before + 10), 60)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        await assert_found(index, acknowledged)
        assert await index.ready()


async def test_a_frozen_server_is_left_out_until_it_answers(mortal: MilvusServer) -> None:
    index = sharded(mortal.uri, search_seconds=2.0)
    async with index.watching():
        await index.upsert(MODEL, batch(10**6))
        record = batch(10**6)[0]
        os.kill(mortal.pid, signal.SIGSTOP)
        try:
            with pytest.raises(ServiceError, match=r"did not answer within 2 s|does not answer"):
                await index.search(MODEL, record.vector, top_k=1)
        finally:
            os.kill(mortal.pid, signal.SIGCONT)
        await until(index.ready, 20)
        answers = await index.search(MODEL, record.vector, top_k=1)
        assert record.image_id in [hit.image_id for answer in answers for hit in answer.hits]


LITE_WRITER = """
import asyncio, sys
from itertools import count
sys.path.insert(0, sys.argv[2])
from tests.contract.vectors.test_kill import MODEL, batch, sharded

async def main():
    index = sharded(sys.argv[1])
    for number in count():
        await index.upsert(MODEL, batch(number))
        print(number, flush=True)

asyncio.run(main())
"""

LITE_READER = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from tests.contract.vectors.test_kill import assert_found, sharded

async def main():
    index = sharded(sys.argv[1])
    async with index.watching():
        await assert_found(index, [int(number) for number in sys.argv[3:]])

asyncio.run(main())
"""


async def test_a_killed_lite_process_loses_nothing_acknowledged(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    place = (str(tmp_path / "vectors.db"), str(root))
    acknowledged: list[int] = []
    for rounds in (1, 2):
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", LITE_WRITER, *place, stdout=subprocess.PIPE, cwd=root
        )
        assert writer.stdout is not None
        lines = [await writer.stdout.readline() for _ in range(15 * rounds)]
        writer.kill()
        lines += (await writer.stdout.read()).splitlines()
        await writer.wait()
        acknowledged = sorted({*acknowledged, *map(int, lines)})
    reader = [sys.executable, "-c", LITE_READER, *place, *map(str, acknowledged)]
    found = await asyncio.to_thread(subprocess.run, reader, cwd=root, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
