"""What the mesh adds to a scan: the same scan over gRPC and in one process, in turn.

python -m evaluation.overhead [--rows N] [--scans N] [--json]

Both sides run the gateway's own code on the same models, search the same Milvus server and read the same catalogue.
One side's peers are the five services, the other's are their domain code in this process. The photo is a simulated
phone shot of one megapixel; its product is in the catalogue, all other rows are random.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from evaluation.demo import pixels
from evaluation.demo_catalogue import fetch
from evaluation.metrics import percentiles
from evaluation.milvus_server import running_milvus
from evaluation.phone_shots import shoot
from evaluation.stages import Facts, LocalCatalog, LocalIndex, LocalVoter, Stages, read
from services.catalog.resources import Batch, Offer, Product
from services.catalog.sql import SqlStore
from services.catalog.sql.database import Database
from services.catalog.sql.migrating import migrate
from services.classifier.voting import DEFAULT_RULE
from services.gateway.answer import Peers, Rules
from services.gateway.models import ModelList
from services.gateway.pipeline import Scanner
from services.gateway.progress import Progress
from services.gateway.tuning import Tunings, read_tunings
from services.search.__main__ import shard_map, stores
from services.search.index import ShardedIndex
from services.search.settings import Settings as SearchSettings
from services.search.store import Record
from shiwu.categories import CATEGORIES
from shiwu.chassis.process import spare_the_collector
from shiwu.cli.mesh import Layout, Mesh, free_ports
from shiwu.inference.released import DETECTOR, EMBEDDER
from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub
from shiwu.v1.vision_pb2 import Image
from shiwu.vision.threads import use_one_thread

_CACHE = Path(".cache/demo")
_SHOWN = "basketball"
_SIDE = 1000  # pixels of the photo
_SEED = 11
_BATCH = 1000
_PICTURES = 5  # of each product
_WARM_UP = 20
_SECONDS = 10.0
_TOP_K = 10


@dataclass
class Timings:
    """Milliseconds of every scan, and of its stages."""

    totals: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)

    def add(self, total: float, stages: Iterable[tuple[str, float]]) -> None:
        self.totals.append(total)
        for name, elapsed in stages:
            self.stages.setdefault(name, []).append(elapsed)


def main() -> None:
    """Prints the two medians and where the time went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000, help="pictures in the catalogue")
    parser.add_argument("--scans", type=int, default=200, help="scans of each side")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    use_one_thread()  # as the services do
    with tempfile.TemporaryDirectory(prefix="shiwu-overhead-") as home:
        figures = uvloop.run(_measured(Path(home), options))
    if options.json:
        print(json.dumps(figures))
    else:
        _print(figures)


async def _measured(home: Path, options: argparse.Namespace) -> dict[str, Any]:
    shown = next(product for product in fetch(_CACHE) if product.key == _SHOWN)
    picture = pixels(shown.picture)
    photo = shoot(picture, picture[::-1], seed=_SEED, size=_SIDE)
    stages = Stages(options.models / DETECTOR, options.models / EMBEDDER)
    database = Database(f"sqlite+aiosqlite:///{home / 'catalog.db'}")
    await migrate(database)
    store = SqlStore(database)
    with running_milvus(home / "milvus") as milvus:
        async with _index(milvus.uri) as index:
            await _fill(store, index, stages, photo, options.rows)
            scanner = _scanner(stages, index, store, options.models)
            layout = Layout(home, free_ports(), models=options.models, extra={"SEARCH_ENDPOINT": milvus.uri})
            with Mesh(layout) as mesh:
                mesh.wait_ready()
                spare_the_collector()  # as the services do, too
                over_mesh, in_process = await _in_turn(scanner, photo, layout.target("gateway"), options.scans)
    await store.close()
    return _figures(over_mesh, in_process) | {"rows": options.rows, "scans": options.scans}


@asynccontextmanager
async def _index(endpoint: str) -> AsyncIterator[ShardedIndex]:
    settings = SearchSettings(endpoint=endpoint)
    index = ShardedIndex(stores(shard_map(settings), settings))
    async with index.watching():
        yield index


def _scanner(stages: Stages, index: ShardedIndex, store: SqlStore, models: Path) -> Scanner[Facts]:
    tuning = stages.embedder.manifest.tuning
    peers: Peers[Facts] = Peers(
        detector=stages.detector,
        embedder=stages.embedder,
        index=LocalIndex(index),
        voter=LocalVoter(tuning.vote if tuning else DEFAULT_RULE),
        catalog=LocalCatalog(store),
    )
    return Scanner(peers, ModelList(stages.embedder, max_age=60.0), Tunings(read_tunings(models)), Rules())


async def _fill(store: SqlStore, index: ShardedIndex, stages: Stages, photo: bytes, rows: int) -> None:
    """Random products around the centres of their categories, and the one in the photo."""
    random = np.random.default_rng(_SEED)
    model, dimension = stages.embedder.model.id, stages.embedder.model.dimension
    own = (await stages.see(photo)).vector
    centres = random.normal(size=(len(CATEGORIES), dimension)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    centres[0] = own  # near pictures are mostly of one category, as in a real catalogue
    for start in tqdm(range(0, rows, _BATCH), "filling the catalogue", unit="batch"):
        numbers = range(start, min(start + _BATCH, rows))
        keys = [number // _PICTURES for number in numbers]
        vectors = random.normal(scale=dimension**-0.5, size=(len(numbers), dimension)).astype(np.float32)
        vectors += 0.5 * centres[[key % len(CATEGORIES) for key in keys]]
        if start == 0:
            vectors[:_PICTURES] = own + 0.3 * vectors[:_PICTURES]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        records = [
            Record(f"image-{number}", f"product-{key}", "", CATEGORIES[key % len(CATEGORIES)], vector)
            for number, key, vector in zip(numbers, keys, vectors, strict=True)
        ]
        await store.write(_facts(sorted(set(keys))))
        await index.upsert(model, records)


def _facts(keys: Iterable[int]) -> Batch:
    products = [Product(f"product-{key}", f"Product {key}", CATEGORIES[key % len(CATEGORIES)]) for key in keys]
    offers = [
        Offer(f"{product.product_id}-{merchant}", product.product_id, merchant, Decimal("9.90"), "EUR", available=True)
        for product in products
        for merchant in ("north", "south")
    ]
    return Batch(products=tuple(products), offers=tuple(offers))


async def _in_turn(scanner: Scanner[Facts], photo: bytes, gateway: str, scans: int) -> tuple[Timings, Timings]:
    over_mesh, in_process = Timings(), Timings()
    async with grpc.aio.insecure_channel(gateway) as channel:
        stub = GatewayServiceStub(channel)
        for number in tqdm(range(_WARM_UP + scans), "scanning both ways", unit="pair"):
            mesh = await _scan_mesh(stub, photo)
            local = await _scan_local(scanner, photo)
            if number >= _WARM_UP:
                over_mesh.add(*mesh)
                in_process.add(*local)
    return over_mesh, in_process


async def _scan_mesh(stub: Any, photo: bytes) -> tuple[float, list[tuple[str, float]]]:
    began = time.perf_counter()
    answer = await stub.Scan(pb.ScanRequest(image=Image(encoded=photo), top_k=_TOP_K), timeout=_SECONDS)
    total = (time.perf_counter() - began) * 1e3
    _check(answer.outcome == pb.OUTCOME_MATCHED, len(answer.missing))
    # Evidence makes answers larger, so the stages are asked for in scans that are not timed.
    explained = await stub.Scan(
        pb.ScanRequest(image=Image(encoded=photo), top_k=_TOP_K, explain=True), timeout=_SECONDS
    )
    return total, [(stage.stage, stage.elapsed.ToMicroseconds() / 1e3) for stage in explained.evidence.stages]


async def _scan_local(scanner: Scanner[Facts], photo: bytes) -> tuple[float, list[tuple[str, float]]]:
    began = time.perf_counter()
    progress = Progress(_SECONDS)
    with progress.stage("decode"):
        picture = read(photo)
    answer = await scanner.scan(picture, progress, top_k=_TOP_K)
    total = (time.perf_counter() - began) * 1e3
    _check(answer.outcome == "matched", len(answer.missing))
    return total, [(stage.name, stage.elapsed * 1e3) for stage in progress.stages]


def _check(matched: bool, missing: int) -> None:
    """A scan that found nothing or lost a part would be compared with one that did not."""
    if not matched or missing:
        msg = f"a scan did not match its product or lost parts ({missing}); these figures would mean nothing"
        raise SystemExit(msg)


def _figures(over_mesh: Timings, in_process: Timings) -> dict[str, Any]:
    mesh, local = percentiles(over_mesh.totals), percentiles(in_process.totals)
    return {
        "mesh_p50_ms": mesh["p50"],
        "in_process_p50_ms": local["p50"],
        "ratio": round(mesh["p50"] / local["p50"], 3),
        "mesh_p95_ms": mesh["p95"],
        "in_process_p95_ms": local["p95"],
        "stages_p50_ms": {
            name: {"mesh": percentiles(times)["p50"], "in_process": percentiles(in_process.stages[name])["p50"]}
            for name, times in over_mesh.stages.items()
        },
    }


def _print(figures: dict[str, Any]) -> None:
    table = Table("p50, ms", "mesh", "in one process")
    for name, values in figures["stages_p50_ms"].items():
        table.add_row(name, f"{values['mesh']:.2f}", f"{values['in_process']:.2f}")
    table.add_row("whole scan", f"{figures['mesh_p50_ms']:.2f}", f"{figures['in_process_p50_ms']:.2f}")
    console = Console()
    console.print(table)
    console.print(f"the mesh takes {figures['ratio']:.3f} times as long; {figures['scans']} scans of each side in turn")


if __name__ == "__main__":
    main()
