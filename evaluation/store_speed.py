"""Measures a real Milvus 2.3.5 for docs/capacity.md: time, memory, disk and CPU time of searches.

    python -m evaluation.store_speed            # a few minutes; writes evaluation/store_speed.json

Vectors are random ones of unit length, as long as the released embedder's, which no index can exploit; the store is
asked as search asks it, for the nearest 100. The file keeps a thousand quantiles of the times, for the simulator of
evaluation.capacity.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
from pymilvus import MilvusClient

from evaluation.milvus_server import MilvusServer, running_milvus
from services.search.milvus import MilvusStore
from services.search.milvus_connection import MilvusConnection
from services.search.milvus_schema import collection_name
from services.search.shards import Shard
from services.search.store import Record

FILE = Path(__file__).with_name("store_speed.json")
DIMENSION = 512
MODEL = "embedder-lite0@1"
_BATCH = 4000
_PATIENCE = 600.0


async def measure(home: Path, sizes: list[int], searches: int) -> dict[str, object]:
    """What is printed and kept."""
    with running_milvus(home) as server:
        place = Shard(name="measured", categories=("shoes",), endpoint=server.uri)
        rng = np.random.default_rng(0)
        memory, disk, stored, results = _resident(server), 0, 0, list[dict[str, object]]()
        for size in sizes:
            store = MilvusStore(place, MilvusConnection(server.uri, address=server.uri, seconds=60.0))
            start, before = time.perf_counter(), stored
            while stored < size:
                count = min(_BATCH, size - stored)
                await store.upsert(MODEL, _records(rng, stored, count))
                stored += count
            writing = time.perf_counter() - start
            await asyncio.to_thread(_settle, server, place)
            await store.close()
            # What writing left in memory is not what serving needs.
            server.kill()
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(_settle, server, place)
            store = MilvusStore(place, MilvusConnection(server.uri, address=server.uri, seconds=60.0))
            found = await _search(store, server, rng, size, searches)
            # Of the pictures that came since the size before, so that what a server needs anyway is not among it.
            more_memory, more_disk = _resident(server) - memory, _on_disk(home) - disk
            memory, disk = memory + more_memory, disk + more_disk
            found |= {
                "upserts_per_second": round((stored - before) / writing),
                "memory_bytes_per_picture": round(more_memory / (stored - before)),
                "disk_bytes_per_picture": round(more_disk / (stored - before)),
            }
            await store.close()
            results.append(found)
            print({key: value for key, value in found.items() if key != "quantiles_ms"}, flush=True)
    return {
        "date": date.today().isoformat(),  # noqa: DTZ011 (a day is enough)
        "machine": f"{os.cpu_count()} shared {platform.machine()} cores",
        "milvus": "2.3.5 standalone, HNSW M 16, efConstruction 200, ef 128",
        "dimension": DIMENSION,
        "top_k": 100,
        "sizes": results,
    }


async def _search(
    store: MilvusStore, server: MilvusServer, rng: np.random.Generator, size: int, searches: int
) -> dict[str, object]:
    queries = _units(rng, searches + 100)
    for query in queries[:100]:
        await store.search(MODEL, query, limit=100)
    times, cpu = [], _cpu_seconds(server)
    for query in queries[100:]:
        start = time.perf_counter()
        await store.search(MODEL, query, limit=100)
        times.append(1000 * (time.perf_counter() - start))
    cpu = _cpu_seconds(server) - cpu
    return {
        "pictures": size,
        "searches": searches,
        "p50_ms": round(float(np.quantile(times, 0.5)), 2),
        "p95_ms": round(float(np.quantile(times, 0.95)), 2),
        "p99_ms": round(float(np.quantile(times, 0.99)), 2),
        "cpu_ms_per_search": round(1000 * cpu / searches, 2),
        "quantiles_ms": [round(float(each), 2) for each in np.quantile(times, np.linspace(0, 1, 1001))],
    }


def _units(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.standard_normal((count, DIMENSION), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _records(rng: np.random.Generator, first: int, count: int) -> list[Record]:
    return [
        Record(
            f"image-{first + i:032d}", f"product-{first + i:030d}", f"style-{(first + i) // 4:032d}", "shoes", vector
        )
        for i, vector in enumerate(_units(rng, count))
    ]


def _settle(server: MilvusServer, place: Shard) -> None:
    """Returns when everything is flushed and indexed: before, searches look through rows one by one."""
    client, collection = MilvusClient(server.uri), collection_name(place.name, MODEL)
    client.flush(collection)
    deadline, quiet = time.monotonic() + _PATIENCE, 0
    while quiet < 5:
        if time.monotonic() > deadline:
            msg = f"not indexed after {_PATIENCE:.0f} s"
            raise RuntimeError(msg)
        quiet = 0 if client.describe_index(collection, "vector")["pending_index_rows"] else quiet + 1
        time.sleep(2.0)
    client.close()


def _resident(server: MilvusServer) -> int:
    pages = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _cpu_seconds(server: MilvusServer) -> float:
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _on_disk(home: Path) -> int:
    """Of segments and indexes; the write-ahead log comes and goes."""
    folders = (home / "data/insert_log", home / "data/index_files", home / "data/stats_log")
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 40_000])
    parser.add_argument("--searches", type=int, default=3000)
    parser.add_argument("--file", type=Path, default=FILE)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        result = asyncio.run(measure(Path(home), given.sizes, given.searches))
    given.file.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
