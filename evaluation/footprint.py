"""Memory and CPU time of each service, from which the chart's requests are taken.

python -m evaluation.footprint [--scans N] [--at-once N]

The mesh runs on a real Milvus server with the demo's catalogue; simulated phone shots are scanned by callers at once.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from evaluation.demo import pixels
from evaluation.demo_catalogue import SCANNED, feed, fetch
from evaluation.milvus_server import running_milvus
from evaluation.phone_shots import shoot
from shiwu.cli.catalog import import_feed
from shiwu.cli.connection import connected
from shiwu.cli.mesh import SERVICES, Layout, Mesh, free_ports
from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub
from shiwu.v1.vision_pb2 import Image

_CACHE = Path(".cache/demo")
_SIDE = 1000  # pixels of a photo


@dataclass(frozen=True)
class Footprint:
    """What a process has used so far: MiB now, MiB at its peak, seconds of CPU time."""

    memory: float
    peak: float
    cpu: float


def footprint(pid: int) -> Footprint:
    """Of one process, as Linux counts."""
    status = Path(f"/proc/{pid}/status").read_text()
    memory, peak = (int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[index]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return Footprint(memory, peak, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))


def main() -> None:
    """Prints a table, a service a line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.footprint", description=str(__doc__).split("\n\n")[0])
    parser.add_argument("--scans", type=int, default=300)
    parser.add_argument("--at-once", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, running_milvus(Path(home) / "milvus") as milvus:
        layout = Layout(Path(home), free_ports(), import_roots=(_CACHE,), extra={"SEARCH_ENDPOINT": milvus.uri})
        with Mesh(layout) as mesh:
            mesh.wait_ready()
            idle = {service: footprint(mesh.pid(service)) for service in SERVICES}
            photos = _stock(layout)
            stocked = {service: footprint(mesh.pid(service)) for service in SERVICES}
            _scan(photos, layout, options.scans, options.at_once)
            busy = {service: footprint(mesh.pid(service)) for service in SERVICES}
    table = Table("service", "MiB at the start", "MiB at most", "CPU ms a scan", box=None)
    for service in SERVICES:
        cpu = (busy[service].cpu - stocked[service].cpu) / options.scans * 1e3
        table.add_row(service, f"{idle[service].memory:.0f}", f"{busy[service].peak:.0f}", f"{cpu:.1f}")
    Console().print(table)


def _stock(layout: Layout) -> list[bytes]:
    """Imports the demo's catalogue; photos of some of its products."""
    products = {product.key: product for product in fetch(_CACHE)}
    path = _CACHE / "feed.csv"
    path.write_text(feed(list(products.values()), _CACHE), encoding="utf-8")
    if not import_feed(path, "", layout.target("catalog")):
        msg = "the demo's own feed has bad rows"
        raise RuntimeError(msg)
    pictures = [pixels(products[key].picture) for key in SCANNED]
    return [shoot(picture, pictures[i - 1], seed=i, size=_SIDE) for i, picture in enumerate(pictures)]


def _scan(photos: list[bytes], layout: Layout, scans: int, at_once: int) -> None:
    with connected(layout.target("gateway")) as channel, ThreadPoolExecutor(at_once) as callers:
        stub = GatewayServiceStub(channel)
        requests = [pb.ScanRequest(image=Image(encoded=photos[i % len(photos)])) for i in range(scans)]
        for _ in callers.map(lambda request: stub.Scan(request, timeout=60), requests):
            pass


if __name__ == "__main__":
    main()
