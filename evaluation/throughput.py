"""What one gateway process can do, and the CPU that a scan costs beside models and index.

python -m evaluation.throughput [--seconds S] [--rounds N] [--at-once N] [--no-prints] [--json]

The gateway and the classifier are the real ones, as processes; the detector, embedder, search and catalogue behind
them answer at once with what was made before: one object, vectors of 256 numbers, 100 hits of each of four shards,
ten products with two offers each, what twenty pictures have in common with the photo. The photo is a JPEG of 640 x 480
pixels and about 100 KB. CPU is what the kernel counted for the two processes, so that what else runs on the machine
hardly matters; scans per second do depend on it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import cv2
import grpc
import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from evaluation.instant_peers import model_id
from shiwu.cli.mesh import Layout, free_ports, serving
from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub
from shiwu.v1.vision_pb2 import Image

_WARM_UP: Final = 200
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PEERS: Final = ("detector", "embedder", "search", "catalog")


def main() -> None:
    """Prints scans per second and CPU per scan, the medians of some rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=16, help="scans under way at any time")
    parser.add_argument(
        "--prints", action=argparse.BooleanOptionalAction, default=True, help="compare prints (GATEWAY_VERIFY)"
    )
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shiwu-throughput-") as home, _running(Path(home), options) as processes:
        figures = uvloop.run(_measured(processes, options))
    if options.json:
        print(json.dumps(figures))
        return
    table = Table("one gateway process", "median of rounds")
    for name, value in figures.items():
        table.add_row(name, f"{value:.2f}")
    Console().print(table)


@contextmanager
def _running(home: Path, options: argparse.Namespace) -> Iterator[dict[str, tuple[int, str]]]:
    """Process id and target of the gateway and the classifier."""
    layout = Layout(home, free_ports(), models=options.models)
    peers = subprocess.Popen(
        [sys.executable, "-m", "evaluation.instant_peers", layout.target("detector"), model_id(options.models)]
    )
    more = {f"GATEWAY_{peer.upper()}__TARGET": layout.target("detector") for peer in _PEERS}
    # The limit is meant to hold a scan's latency; here all the process can do is wanted.
    more |= {f"GATEWAY_ADMISSION__{name}": "64" for name in ("INITIAL", "MINIMUM", "MAXIMUM")}
    more["GATEWAY_VERIFY"] = str(options.prints).lower()
    more |= {f"{service}_OBSERVABILITY__LOG_LEVEL": "warning" for service in ("GATEWAY", "CLASSIFIER")}
    started = {"peers": peers}
    try:
        for service in ("classifier", "gateway"):
            environment = os.environ | layout.environment(service) | more
            own = {name: value for name, value in environment.items() if _belongs(name, service)}
            started[service] = subprocess.Popen([sys.executable, "-m", f"services.{service}"], env=own)
        targets = {service: layout.target(service) for service in ("classifier", "gateway")}
        _wait(targets)
        yield {service: (started[service].pid, target) for service, target in targets.items()}
    finally:
        for process in reversed(started.values()):  # those behind the gateway after it
            process.terminate()
            process.wait()


def _belongs(variable: str, service: str) -> bool:
    others = {"gateway": "CLASSIFIER_", "classifier": "GATEWAY_"}
    return not variable.startswith(others[service])


def _wait(targets: dict[str, str]) -> None:
    deadline = time.monotonic() + 60
    while not all(serving(target) for target in targets.values()):
        if time.monotonic() > deadline:
            msg = "the gateway or the classifier does not serve"
            raise SystemExit(msg)
        time.sleep(0.1)


async def _measured(processes: dict[str, tuple[int, str]], options: argparse.Namespace) -> dict[str, float]:
    photo = _photo()
    rounds = []
    async with grpc.aio.insecure_channel(processes["gateway"][1]) as channel:
        scan = GatewayServiceStub(channel).Scan
        await _scans(scan, photo, options.at_once, count=_WARM_UP)
        alone = [await _timed(scan, photo) for _ in range(_WARM_UP)]
        for _ in range(options.rounds):
            before = {name: _cpu(pid) for name, (pid, _) in processes.items()}
            begun = time.perf_counter()
            served = await _scans(scan, photo, options.at_once, seconds=options.seconds)
            took = time.perf_counter() - begun
            spent = {name: _cpu(pid) - before[name] for name, (pid, _) in processes.items()}
            rounds.append([served / took, *(1e3 * spent[name] / served for name in ("gateway", "classifier"))])
    rate, gateway, classifier = (statistics.median(values) for values in zip(*rounds, strict=True))
    return {
        "photo, KB": len(photo) / 1000,
        "scans per second": rate,
        "CPU of the gateway, ms a scan": gateway,
        "CPU of the classifier, ms a scan": classifier,
        "CPU of both, ms a scan": gateway + classifier,
        "p50 of one scan at a time, ms": 1e3 * statistics.median(alone),
    }


async def _scans(scan: Any, photo: bytes, at_once: int, *, count: int = 0, seconds: float = 0.0) -> int:
    """Scans `at_once` at any time, until so many are done or so long has passed; how many were."""
    done = 0
    end = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal done
        while done < count or time.perf_counter() < end:
            await _timed(scan, photo)
            done += 1

    await asyncio.gather(*(client() for _ in range(at_once)))
    return done


async def _timed(scan: Any, photo: bytes) -> float:
    begun = time.perf_counter()
    answer = await scan(pb.ScanRequest(image=Image(encoded=photo)), timeout=20)
    if answer.missing or answer.outcome != pb.OUTCOME_MATCHED:
        msg = f"a scan lost parts or found nothing: {answer}; these figures would mean nothing"
        raise SystemExit(msg)
    return time.perf_counter() - begun


def _photo() -> bytes:
    random = np.random.default_rng(5)
    coarse = random.integers(0, 255, (30, 40, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    picture += random.normal(scale=9.0, size=picture.shape)
    encoded = cv2.imencode(".jpg", np.clip(picture, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return encoded.tobytes()


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


if __name__ == "__main__":
    main()
