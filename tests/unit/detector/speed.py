"""How fast the released models run beside each other: python -m tests.unit.detector.speed.

First the reading of the detector's heads. Then, as in a mesh on one machine, a detector and an embedder process that
scans visit one after the other, for several settings of ONNX Runtime's threads: milliseconds of a scan (median, 95th
percentile) and scans per second, for one client and for four.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from services.detector.detection import Detector
from shiwu.inference.manifest import DetectorManifest, read_manifest
from shiwu.inference.opening import open_model
from shiwu.inference.options import RunnerOptions
from shiwu.inference.released import DETECTOR, EMBEDDER
from shiwu.vision.resize import fit

MODELS = Path(__file__).parents[3] / "models"
SETTINGS = [
    RunnerOptions(threads=1, concurrency=1),
    RunnerOptions(threads=1, concurrency=2),
    RunnerOptions(threads=2, concurrency=1, spin=False),
    RunnerOptions(threads=2, concurrency=1, spin=True),
    RunnerOptions(threads=2, concurrency=2, spin=False),
    RunnerOptions(threads=2, concurrency=2, spin=True),
]
SECONDS = 6.0


async def serve(pipe: Connection, directory: Path, options: RunnerOptions) -> None:
    runner = open_model(directory, options)
    size = read_manifest(directory).preprocessing.size
    image = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    lock = threading.Lock()

    async def answer(number: int) -> None:
        await runner.run({"image": image})
        with lock:
            pipe.send(number)

    pipe.send(-1)
    tasks = set()
    while (number := await asyncio.to_thread(pipe.recv)) is not None:
        task = asyncio.create_task(answer(number))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await runner.close()


def child(pipe: Connection, directory: Path, options: RunnerOptions) -> None:
    asyncio.run(serve(pipe, directory, options))


class Model:
    """A process with one model."""

    def __init__(self, name: str, options: RunnerOptions) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=child, args=(other, MODELS / name, options))
        self._process.start()
        self._waiting: dict[int, threading.Event] = {}
        self._lock = threading.Lock()
        self._pipe.recv()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def run(self, number: int) -> None:
        event = self._waiting[number] = threading.Event()
        with self._lock:
            self._pipe.send(number)
        event.wait()

    def close(self) -> None:
        self._pipe.send(None)
        self._process.join()

    def _listen(self) -> None:
        try:
            while True:
                self._waiting.pop(self._pipe.recv()).set()
        except EOFError:
            return


def scans(models: list[Model], client: int, until: float) -> list[float]:
    times = []
    while (begin := time.perf_counter()) < until:
        for model in models:
            model.run(client)
        times.append((time.perf_counter() - begin) * 1e3)
    return times


def measure(options: RunnerOptions) -> None:
    models = [Model(DETECTOR, options), Model(EMBEDDER, options)]
    cells = []
    for clients in (1, 4):
        until = time.perf_counter() + SECONDS
        with ThreadPoolExecutor(clients) as pool:
            jobs = [pool.submit(scans, models, client, until) for client in range(clients)]
        times = sorted(t for job in jobs for t in job.result())
        p50, p95 = times[len(times) // 2], times[int(len(times) * 0.95)]
        cells.append(f"{p50:6.1f} {p95:6.1f} {len(times) / SECONDS:6.1f}")
    for model in models:
        model.close()
    print(f"threads {options.threads}, at once {options.concurrency}, spin {options.spin!s:5} | " + " | ".join(cells))


def report_reading() -> None:
    manifest = read_manifest(MODELS / DETECTOR)
    assert isinstance(manifest, DetectorManifest)
    runner = open_model(MODELS / DETECTOR)
    detector = Detector(manifest, runner)
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    square, placement = fit(image, manifest.preprocessing.size, "letterbox")
    heads = asyncio.run(runner.run({"image": square[None]}))
    deltas = heads["deltas"][0]
    rng = np.random.default_rng(1)
    for candidates in (0, 20, 60, 150, 300):
        scores = heads["scores"][0] * 0.1
        hot = rng.choice(len(scores), candidates, replace=False)
        scores[hot] = rng.random((candidates, scores.shape[1]), np.float32)
        times = []
        for _ in range(100):
            begin = time.thread_time()
            detector.read(scores, deltas, placement, (480, 640), min_score=0.2, max_objects=20)
            times.append((time.thread_time() - begin) * 1e3)
        print(f"reading the heads, {candidates:3} candidates: {statistics.median(times):.2f} ms CPU")
    asyncio.run(runner.close())


def main() -> None:
    report_reading()
    print("a scan: detector, then embedder           | 1 client: p50 p95 1/s | 4 clients: p50 p95 1/s")
    for options in SETTINGS:
        measure(options)


if __name__ == "__main__":
    main()
