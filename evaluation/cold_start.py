"""How long each service takes from nothing until it serves, and whether it then really does.

python -m evaluation.cold_start [--times N] [--page FILE] [--json]

The other services run. A service is started, asked for its health every few milliseconds, and called for real at the
moment that it says SERVING: a readiness that came too early would be an error here, or a slow first call. The model's
share is the time that opening it takes in a process that has already imported everything.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import grpc
import numpy as np
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from rich.console import Console
from rich.table import Table

from evaluation.pages import table, write_section
from evaluation.replicas import Replicas
from evaluation.stocked import CACHE, photos, stock
from shiwu.cli.mesh import SERVICES, Layout
from shiwu.inference.released import DETECTOR, EMBEDDER
from shiwu.v1 import catalog_pb2, classifier_pb2, detector_pb2, embedder_pb2, gateway_pb2, search_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.classifier_pb2_grpc import ClassifierServiceStub
from shiwu.v1.detector_pb2_grpc import DetectorServiceStub
from shiwu.v1.embedder_pb2_grpc import EmbedderServiceStub
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub
from shiwu.v1.search_pb2_grpc import SearchServiceStub
from shiwu.v1.vision_pb2 import CategoryScore, Image

_HEAD: Final = ("service", "s until it serves", "of these for its model", "without it", "first call, ms", "second, ms")
_MODELS: Final = {"detector": DETECTOR, "embedder": EMBEDDER}
_OPEN: Final = """
import sys, time
import shiwu.inference.onnx
from shiwu.inference.opening import open_model
start = time.perf_counter()
open_model(sys.argv[1])
print(time.perf_counter() - start)
"""
_DEADLINE: Final = 60.0


def main() -> None:
    """Prints a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--page", type=Path, help="page whose section is written anew")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shiwu-cold-") as home:
        mesh = Replicas(Layout(Path(home), models=options.models, import_roots=(CACHE,)), {})
        with mesh.running():
            stock(mesh.target("catalog"))
            figures = {service: _measured(mesh, service, options) for service in SERVICES}
    if options.page:
        rows = [_cells(service, row) for service, row in figures.items()]
        write_section(options.page, "cold start", table(_HEAD, rows))
    if options.json:
        print(json.dumps(figures))
    else:
        shown = Table(*_HEAD)
        for service, row in figures.items():
            shown.add_row(*_cells(service, row))
        Console(width=120).print(shown)


def _measured(mesh: Replicas, service: str, options: argparse.Namespace) -> dict[str, float]:
    (replica,) = mesh.of(service)
    address = mesh.address(replica)
    call = _call(service)
    starts, firsts, seconds = [], [], []
    for _ in range(options.times):
        mesh.kill(replica)
        began = time.perf_counter()
        mesh.start(replica)
        _wait(address)
        starts.append(time.perf_counter() - began)
        with grpc.insecure_channel(address) as channel:
            firsts.append(_timed(call, channel))
            seconds.append(_timed(call, channel))
    row = {"seconds": starts, "first_ms": firsts, "second_ms": seconds}
    if service in _MODELS:
        row["model_seconds"] = [_opening(options.models / _MODELS[service]) for _ in range(options.times)]
    return {name: round(float(np.median(values)), 3) for name, values in row.items()}


def _wait(address: str) -> None:
    """Returns as soon as the server there says that it serves."""
    deadline = time.perf_counter() + _DEADLINE
    request = health_pb2.HealthCheckRequest()
    while time.perf_counter() < deadline:
        with grpc.insecure_channel(address) as channel:  # a new one each time: it would wait after a failure
            try:
                if HealthStub(channel).Check(request, timeout=1).status == health_pb2.HealthCheckResponse.SERVING:
                    return
            except grpc.RpcError:
                pass
        time.sleep(0.01)
    msg = f"nothing serves at {address} after {_DEADLINE:.0f} s"
    raise RuntimeError(msg)


def _timed(call: Callable[[grpc.Channel], object], channel: grpc.Channel) -> float:
    HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)  # so that the channel is connected
    began = time.perf_counter()
    call(channel)
    return 1e3 * (time.perf_counter() - began)


def _opening(model: Path) -> float:
    command = [sys.executable, "-c", _OPEN, str(model)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _call(service: str) -> Callable[[grpc.Channel], object]:
    """A call for the service's real work."""
    image = Image(encoded=photos(4)[-1].data)
    vote = classifier_pb2.VoteRequest(detector=[CategoryScore(category="shoes", score=0.5)])
    calls: dict[str, Callable[[grpc.Channel], object]] = {
        "gateway": lambda to: _whole(GatewayServiceStub(to).Scan(gateway_pb2.ScanRequest(image=image), timeout=10)),
        "detector": lambda to: DetectorServiceStub(to).Detect(detector_pb2.DetectRequest(image=image), timeout=10),
        "embedder": lambda to: EmbedderServiceStub(to).Embed(embedder_pb2.EmbedRequest(images=[image]), timeout=10),
        "classifier": lambda to: ClassifierServiceStub(to).Vote(vote, timeout=10),
        "search": lambda to: SearchServiceStub(to).DescribeShards(search_pb2.DescribeShardsRequest(), timeout=10),
        "catalog": lambda to: CatalogServiceStub(to).ListProducts(catalog_pb2.ListProductsRequest(), timeout=10),
    }
    return calls[service]


def _whole(answer: gateway_pb2.ScanResponse) -> None:
    if answer.missing:
        msg = f"the gateway said that it serves, and then lacked {[each.part for each in answer.missing]}"
        raise RuntimeError(msg)


def _cells(service: str, row: dict[str, float]) -> list[str]:
    model = row.get("model_seconds")
    return [
        *(service, f"{row['seconds']:.2f}", f"{model:.2f}" if model else "", f"{row['seconds'] - (model or 0):.2f}"),
        *(f"{row['first_ms']:.0f}", f"{row['second_ms']:.0f}"),
    ]


if __name__ == "__main__":
    main()
