"""What bulk indexing makes of the detector's and embedder's throughput.

python -m evaluation.bulk_indexing [--pictures N] [--rounds N] [--json]

On a mesh with embedded stores, in turn: the floor, which sends pictures that are decoded and cropped already to the
detector and the embedder and does nothing else, with as many calls at a time as the job has; and the whole `index` job
over the same pictures, from files to the catalogue's last acknowledgement. Pictures per second, medians
of the rounds. The pictures are simulated shots of the demo's products, twelve of each; only equal ones would be
duplicates, so that the job has as many to detect and embed as the floor.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from evaluation.demo import pixels
from evaluation.demo_catalogue import fetch
from evaluation.phone_shots import PhoneShot, shoot
from evaluation.replicas import Replicas
from evaluation.stocked import CACHE
from offline.cleaning.dedup import Near
from offline.indexing.bulk_job import INDEX, IndexOptions
from offline.jobs.desk import JobDesk
from offline.jobs.engine import Engine
from offline.jobs.settings import JobSettings
from shiwu.chassis.channel import connect
from shiwu.chassis.settings import ClientSettings
from shiwu.cli.mesh import Layout
from shiwu.vision.decode import Limits, decode
from shiwu.vision.resize import Image, shrunk
from shiwu.wire.models import GrpcDetector, GrpcEmbedder

_SHOTS: Final = 12
_SIDE: Final = 800
_BATCH, _BATCHES, _DETECTIONS = 32, 3, 4  # as offline/pictures/vectors.py has them
_PEERS: Final = ("detector", "embedder", "classifier", "search", "catalog")
_EQUAL: Final = Near(radius=0, agree=0, chroma=0)
_MILD: Final = PhoneShot(perspective=0.06, cover=(0.85, 0.95), light=0.2, cast=0.05, blur=0.8, noise=3.0)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shiwu-bulk-") as home:
        folder = Path(home) / "shop"
        pictures = _shop(folder, options.pictures)
        mesh = Replicas(Layout(Path(home), import_roots=(folder,)), {})
        with mesh.running():
            targets = {name: ClientSettings(target=mesh.target(name)) for name in _PEERS}
            settings = JobSettings.model_validate({"home": folder / "jobs", **targets})
            rounds = [
                (asyncio.run(_floor(pictures, settings)), _job(folder / f"feed-{number}.jsonl", settings, number))
                for number in range(options.rounds)
            ]
    floor = len(pictures) / statistics.median(each for each, _ in rounds)
    job = len(pictures) / statistics.median(took for _, took in rounds)
    figures = {
        "pictures": len(pictures),
        "floor, pictures/s": floor,
        "job, pictures/s": job,
        "share": job / floor,
    }
    if options.json:
        print(json.dumps(figures))
        return
    table = Table("bulk indexing", "")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.2f}")
    Console().print(table)


def _shop(folder: Path, count: int) -> list[Image]:
    """Writes pictures and, for each round, a feed of products of its own; returns the pictures."""
    folder.mkdir()
    products = sorted(fetch(CACHE), key=lambda product: product.key)
    backdrop = np.full((64, 64, 3), (150, 140, 120), np.uint8)
    rows: dict[str, list[str]] = {}
    pictures: list[Image] = []
    for i in range(count):
        product = products[i // _SHOTS % len(products)]
        shot = shoot(pixels(product.picture), backdrop, i, size=_SIDE, shot=_MILD)
        pictures.append(decode(shot, Limits()).pixels)
        (folder / f"{i:05}.jpg").write_bytes(shot)
        rows.setdefault(f"{product.key}-{i // _SHOTS}", []).append(f"{i:05}.jpg")
    for number in range(10):
        lines = [
            {"product_id": f"{key}-{number}", "title": key, "category": "other", "images": images}
            for key, images in rows.items()
        ]
        (folder / f"feed-{number}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return pictures


async def _floor(pictures: Sequence[Image], settings: JobSettings) -> float:
    """Seconds."""
    async with connect(settings.detector) as to_detector, connect(settings.embedder) as to_embedder:
        detector, embedder = GrpcDetector(to_detector), GrpcEmbedder(to_embedder)
        model = (await embedder.models())[0]
        seen = [shrunk(picture, 640) for picture in pictures]
        crops = [cv2.resize(picture, (model.input_size, model.input_size)) for picture in pictures]
        batches, detections = asyncio.Semaphore(_BATCHES), asyncio.Semaphore(_DETECTIONS)

        async def detect(picture: Image) -> None:
            async with detections:
                await detector.detect(picture)

        async def work(start: int) -> None:
            async with batches:
                await asyncio.gather(*(detect(picture) for picture in seen[start : start + _BATCH]))
                await embedder.embed([np.asarray(crop) for crop in crops[start : start + _BATCH]], model.model)

        begun = time.perf_counter()
        await asyncio.gather(*(work(start) for start in range(0, len(pictures), _BATCH)))
        return time.perf_counter() - begun


def _job(feed: Path, settings: JobSettings, number: int) -> float:
    """Seconds from being asked for to being done, in an engine that runs already."""
    jobs = {INDEX.name: INDEX}
    settings = settings.model_copy(update={"home": settings.home / f"round-{number}"})  # which knows no vector yet
    with JobDesk(settings, jobs) as desk, Engine(settings, jobs):
        begun = time.perf_counter()
        job_id = desk.submit(INDEX.name, IndexOptions(feed=feed, partition=200, near=_EQUAL), f"round-{number}")
        while (state := desk.show(job_id)[0].state) in ("waiting", "running"):
            time.sleep(0.3)  # looking costs the job time
        took = time.perf_counter() - begun
        if state != "done":
            msg = f"the job is {state}: {desk.dead(job_id)}"
            raise SystemExit(msg)
    return took


if __name__ == "__main__":
    main()
