"""How well and how fast a mesh finds the products of a data set.

python -m evaluation.scan --data DIR [--products held-out] [--limit N] [--json]

DIR holds an items.jsonl (see evaluation.dataset for what becomes gallery and queries). Without --gateway a mesh of its
own is started on empty embedded stores; re-ranking is then measured in each of its modes, and so is looking at the
first region of each photo only.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import grpc
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from evaluation.catalogue import delete_products, import_gallery
from evaluation.dataset import Dataset, DatasetError, Scope, read_dataset
from evaluation.metrics import Retrieval, interval, percentiles, rank_of, retrieval
from offline.training.items import Item, ItemsError
from services.gateway.ranking import Mode
from shiwu.cli.connection import CATALOG, connected
from shiwu.cli.mesh import Layout, Mesh, MeshError, free_ports
from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub
from shiwu.v1.vision_pb2 import Image

_ABSENT_SHARE = 0.25
_DEPTH = 100
_MODES = get_args(Mode)
_RERANKING = ("search", "rerank")
"""Stages that it makes longer: candidates come with their vectors, and are ranked anew."""


@dataclass(frozen=True)
class Scanned:
    """A query and what the mesh answered."""

    item: Item
    answer: pb.ScanResponse

    @property
    def products(self) -> list[str]:
        """Products by the rank of their best picture, after re-ranking."""
        return [candidate.product_id for candidate in self.answer.evidence.candidates]

    @property
    def styles(self) -> list[str]:
        return [candidate.style_id for candidate in self.answer.evidence.candidates]

    @property
    def matched(self) -> str | None:
        """The product that the answer claims, or None."""
        if self.answer.outcome != pb.OUTCOME_MATCHED:
            return None
        return self.answer.styles[0].products[0].product.product_id


def main() -> None:
    """Prints the figures; exits with 2 when the data cannot be used and 3 when a service does not answer."""
    options = _options()
    try:
        dataset = read_dataset(options.data.resolve(), options.limit, scope=options.products)
        figures = _own_mesh(dataset) if options.gateway is None else _running_mesh(dataset, options)
    except (DatasetError, ItemsError) as error:
        _stop(str(error), 2)
    except (MeshError, grpc.RpcError) as error:
        _stop(str(error), 3)
    if options.json:
        print(json.dumps(figures))
    else:
        _print(figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with an items.jsonl")
    parser.add_argument(
        "--products",
        choices=get_args(Scope),
        default="all",
        help="held-out: those that the embedder was never trained on; held-out-among-all: scanned among all others",
    )
    parser.add_argument("--limit", type=int, help="at most so many queries")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--gateway", help="host:port of a running mesh's gateway; its catalogue is written to")
    parser.add_argument("--catalog", default=CATALOG, help="host:port of that mesh's catalog")
    return parser.parse_args()


def _own_mesh(dataset: Dataset) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="shiwu-scan-") as home, Mesh(Layout(Path(home), free_ports())) as mesh:
        mesh.wait_ready()
        catalog = mesh.layout.target("catalog")
        import_gallery(dataset.gallery, catalog)
        rounds = {}
        for mode in _MODES:
            with _gateway_setting(mesh, "GATEWAY_RERANK", mode):
                rounds[mode] = scan_all(dataset.queries, mesh.layout.target("gateway"), f"re-ranking {mode}")
        with _gateway_setting(mesh, "GATEWAY_LOOK_FURTHER", "false"):
            first_only = scan_all(dataset.queries, mesh.layout.target("gateway"), "first region only")
        scanned = scan_all(dataset.queries, mesh.layout.target("gateway"), "as released")
        figures = _figures(dataset, scanned, rounds, mesh.layout.target("gateway"), catalog)
        return figures | {"regions": _regions(scanned, first_only)}


def _running_mesh(dataset: Dataset, options: argparse.Namespace) -> dict[str, Any]:
    import_gallery(dataset.gallery, options.catalog)
    scanned = scan_all(dataset.queries, options.gateway, "scanning")
    mode = scanned[0].answer.evidence.rerank
    return _figures(dataset, scanned, {mode: scanned}, options.gateway, options.catalog)


@contextmanager
def _gateway_setting(mesh: Mesh, name: str, value: str) -> Iterator[None]:
    """The gateway with another setting, for a while."""
    mesh.restart("gateway", {name: value})
    try:
        yield
    finally:
        mesh.restart("gateway")


def scan_all(items: tuple[Item, ...], gateway: str, what: str) -> list[Scanned]:
    """Scans one photo after the other, with evidence."""
    with connected(gateway) as channel:
        stub = GatewayServiceStub(channel)

        def scan(item: Item) -> Scanned:
            image = Image(encoded=item.path.read_bytes())
            return Scanned(item, stub.Scan(pb.ScanRequest(image=image, top_k=_DEPTH, explain=True), timeout=30))

        return [scan(item) for item in tqdm(items, what, unit="photo")]


def _figures(
    dataset: Dataset, scanned: list[Scanned], rounds: dict[str, list[Scanned]], gateway: str, catalog: str
) -> dict[str, Any]:
    absent = dataset.absent_products(_ABSENT_SHARE)
    delete_products(absent, catalog)
    unknown = tuple(item for item in dataset.queries if item.product_id in absent)
    strangers = scan_all(unknown, gateway, "absent products")
    hits = [bool(s.products) and s.products[0] == s.item.product_id for s in scanned]
    stages = _stage_ms(scanned)
    totals = [_total_ms(s.answer) for s in scanned]
    return {
        "data": dataset.name,
        "gallery": len(dataset.gallery),
        "queries": len(scanned),
        "product": _by_product(scanned).as_json(),
        "product_recall@1_interval": [round(end, 4) for end in interval(hits)],
        "style": retrieval([rank_of(str(s.item.style_id), s.styles) for s in scanned if s.item.style_id]).as_json(),
        "category": _category(scanned),
        "rerank": {
            mode: _by_product(answers).as_json() | {f"{name}_ms": _median_ms(answers, name) for name in _RERANKING}
            for mode, answers in rounds.items()
        },
        "reject": _reject(scanned, strangers),
        "latency_ms": percentiles(totals) | {"stages": {name: percentiles(times) for name, times in stages.items()}},
    }


def _stage_ms(scanned: list[Scanned]) -> dict[str, list[float]]:
    stages: dict[str, list[float]] = {}
    for s in scanned:
        for stage in s.answer.evidence.stages:
            stages.setdefault(stage.stage, []).append(stage.elapsed.ToMicroseconds() / 1e3)
    return stages


def _median_ms(scanned: list[Scanned], stage: str) -> float:
    return percentiles(_stage_ms(scanned).get(stage, []))["p50"]


def _regions(scanned: list[Scanned], first_only: list[Scanned]) -> dict[str, Any]:
    """What looking at other regions brings and takes. Milliseconds are whole scans'."""
    further = [any(stage.stage == "regions" for stage in s.answer.evidence.stages) for s in scanned]
    return {
        "looked_further": _share(further),
        "taken": _share([s.answer.crop != first.answer.crop for s, first in zip(scanned, first_only, strict=True)]),
        "first_region_only": _by_product(first_only).as_json(),
        "latency_ms": percentiles([_total_ms(s.answer) for s in scanned]),
        "latency_ms_first_region_only": percentiles([_total_ms(s.answer) for s in first_only]),
        "latency_ms_looked_further": percentiles(
            [_total_ms(s.answer) for s, looked in zip(scanned, further, strict=True) if looked]
        ),
    }


def _by_product(scanned: list[Scanned]) -> Retrieval:
    return retrieval([rank_of(str(s.item.product_id), s.products) for s in scanned])


def _category(scanned: list[Scanned]) -> dict[str, float]:
    """Share of queries whose category the detector, and the vote, put first."""
    known = [s for s in scanned if s.item.category]
    detector = [bool(s.answer.objects) and s.answer.objects[0].categories[0].category == s.item.category for s in known]
    vote = [bool(s.answer.categories) and s.answer.categories[0].category == s.item.category for s in known]
    return {"detector": _share(detector), "vote": _share(vote)}


def _reject(scanned: list[Scanned], strangers: list[Scanned]) -> dict[str, float]:
    """false_accept: absent products answered with a product. false_reject: present ones answered with none.

    wrong_accept: present ones answered with another product.
    """
    return {
        "false_accept": _share([s.matched is not None for s in strangers]),
        "false_reject": _share([s.matched is None for s in scanned]),
        "wrong_accept": _share([s.matched not in (None, s.item.product_id) for s in scanned]),
    }


def _share(outcomes: list[bool]) -> float:
    return round(sum(outcomes) / len(outcomes), 4) if outcomes else float("nan")


def _total_ms(answer: pb.ScanResponse) -> float:
    return max((s.start.ToMicroseconds() + s.elapsed.ToMicroseconds()) / 1e3 for s in answer.evidence.stages)


def _print(figures: dict[str, Any]) -> None:
    console = Console()
    console.print(f"{figures['data']}: {figures['queries']} photos against {figures['gallery']} pictures")
    low, high = figures["product_recall@1_interval"]
    table = Table("", "R@1", "R@5", "R@10", "mAP", *(f"{name} ms" for name in _RERANKING))
    rows = {"product": figures["product"], "style": figures["style"]}
    rows |= {f"product, re-ranking {mode}": values for mode, values in figures["rerank"].items()}
    for name, values in rows.items():
        table.add_row(name, *(f"{value:.3f}" for value in values.values()))
    console.print(table)
    console.print(f"product R@1 lies in {low:.3f} to {high:.3f} with 95 %")
    if regions := figures.get("regions"):
        _print_regions(console, regions)
    category, reject = figures["category"], figures["reject"]
    console.print(f"category: detector alone {category['detector']:.3f}, after the vote {category['vote']:.3f}")
    console.print(
        f"absent products accepted {reject['false_accept']:.3f}; present ones rejected {reject['false_reject']:.3f}, "
        f"taken for another {reject['wrong_accept']:.3f}"
    )
    times = Table("ms", "p50", "p95", "p99")
    latency = dict(figures["latency_ms"])
    for stage, values in latency.pop("stages").items():
        times.add_row(stage, *(f"{value:.1f}" for value in values.values()))
    times.add_row("whole scan", *(f"{value:.1f}" for value in latency.values()))
    console.print(times)


def _print_regions(console: Console, regions: dict[str, Any]) -> None:
    first, before, after = (
        regions[name] for name in ("first_region_only", "latency_ms_first_region_only", "latency_ms")
    )
    further, taken = regions["looked_further"], regions["taken"]
    console.print(f"other regions: looked at in {further:.3f} of the scans, taken in {taken:.3f}")
    console.print(f"by the first region alone: R@1 {first['recall@1']:.3f}, mAP {first['map']:.3f}")
    console.print(f"looking further: {', '.join(f'{p} {before[p]:.1f} -> {after[p]:.1f} ms' for p in ('p50', 'p99'))}")


def _stop(message: str, code: int) -> None:
    print(message, file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
