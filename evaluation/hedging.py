"""What second attempts are worth when one replica is slow: a real Milvus behind two real Envoys, one with faults.

    python -m evaluation.hedging [--slow 3] [--delay 0.2]

Searches go through the Envoy that delays some percent of its calls; second attempts go through the other one. The two
ways take turns, in blocks, so that whatever else the machine does meets both.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from evaluation.envoy import Envoy
from evaluation.milvus_server import running_milvus
from evaluation.store_speed import DIMENSION, MODEL
from services.search.milvus import MilvusStore
from services.search.milvus_connection import MilvusConnection
from services.search.shards import Shard
from services.search.store import Record

_PICTURES = 5000
_BLOCK = 250
_SHARE = 0.05


class _Counted(MilvusConnection):
    """Counts the calls made through it."""

    calls = 0

    async def call(self, *args: object, **options: object) -> object:  # type: ignore[override]
        self.calls += 1
        return await super().call(*args, **options)  # type: ignore[arg-type]


async def measure(home: Path, given: argparse.Namespace) -> None:
    """Prints a line for each way."""
    with ExitStack() as stack:
        server = stack.enter_context(running_milvus(home / "milvus"))
        slow, good = Envoy(), Envoy()
        for name, envoy in (("slow", slow), ("good", good)):
            stack.enter_context(envoy.running(home / name, [server.uri.removeprefix("http://")]))
        place = Shard(name="hedged", categories=("shoes",), endpoint=f"http://{slow.target}")
        first = MilvusConnection(place.endpoint, address=slow.target)
        second = _Counted(f"http://{good.target}", address=good.target)
        stores = {"without": MilvusStore(place, first), "with": MilvusStore(place, first, second, _SHARE)}
        rng = np.random.default_rng(0)
        vectors = rng.standard_normal((_PICTURES, DIMENSION), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        records = [Record(f"i{i}", f"p{i}", "", "shoes", vector) for i, vector in enumerate(vectors)]
        await stores["without"].upsert(MODEL, records)
        slow.faults(delay_seconds=given.delay, delayed=given.slow)
        times: dict[str, list[float]] = {name: [] for name in stores}
        for _ in range(given.searches // _BLOCK + 1):  # the first block of each warms up
            for name, store in stores.items():
                for vector in rng.choice(vectors, _BLOCK):
                    start = time.perf_counter()
                    await store.search(MODEL, vector, limit=100, include_vectors=True)
                    times[name].append(1000 * (time.perf_counter() - start))
        for name, all_taken in times.items():
            taken = all_taken[_BLOCK:]
            quantiles = [float(np.quantile(taken, q)) for q in (0.5, 0.95, 0.99, 0.999)]
            told = ", ".join(
                f"{q} {ms:.1f} ms" for q, ms in zip(("p50", "p95", "p99", "p99.9"), quantiles, strict=True)
            )
            again = second.calls / len(all_taken) if name == "with" else 0.0
            print(f"{name:8}{len(taken):,} searches: {told}; {again:.1%} asked again", flush=True)
        await stores["with"].close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slow", type=int, default=3, help="percent of calls that are delayed (%(default)s)")
    parser.add_argument("--delay", type=float, default=0.2, help="seconds (%(default)s)")
    parser.add_argument("--searches", type=int, default=4000, help="each way (%(default)s)")
    with tempfile.TemporaryDirectory() as home:
        asyncio.run(measure(Path(home), parser.parse_args()))


if __name__ == "__main__":
    main()
