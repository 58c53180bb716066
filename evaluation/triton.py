"""What a Triton server adds to a model run in process, what its dynamic batching is worth, and the bytes between.

python -m evaluation.triton [--rounds N] [--json]

Both sides run the same ONNX file on ONNX Runtime with as many threads: here on Triton's python backend on the CPU,
the only one that runs without a GPU and NVIDIA's images. They take turns. A run is what a scan asks for: one photo of
the detector, the views of one crop of the embedder.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import uvloop
from google.protobuf import text_format
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from tqdm import tqdm
from tritonclient.grpc import InferInput, InferResult
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.grpc.model_config_pb2 import ModelConfig

from evaluation.triton_server import TritonServer, running_triton
from offline.triton.policy import ServingPolicy
from offline.triton.repository import Engines, write_model
from shiwu.inference.manifest import FILE_NAME, DetectorManifest, EmbedderManifest, read_manifest, write_manifest
from shiwu.inference.opening import open_model
from shiwu.inference.options import RunnerOptions
from shiwu.inference.runner import ModelRunner, Tensors

_CONCURRENCY: Final = 8
_BURST: Final = 48  # runs of one round at that concurrency
_WARM_UP: Final = 5
_VARIANTS: Final = ("one-instance", "unbatched")
_PATIENT_MS: Final = 60_000  # nothing may be refused for want of cores
_POLICY: Final = ServingPolicy(max_batch=16, preferred_batches=(8, 16), max_delay_us=1000, max_wait_ms=_PATIENT_MS)

Manifest = DetectorManifest | EmbedderManifest


def main() -> None:
    """Prints the figures of every released model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="single runs of each side; a fifth as many bursts")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    releases = sorted(path.parent for path in options.models.glob(f"*/{FILE_NAME}"))
    with tempfile.TemporaryDirectory(prefix="shiwu-triton-") as name:
        home = Path(name)
        for release in releases:
            _serve(release, home)
        with running_triton(home / "models", home) as server:
            figures = uvloop.run(_all(server, releases, options.rounds))
    if options.json:
        print(json.dumps(figures))
    else:
        _print(figures)


def _serve(release: Path, home: Path) -> None:
    """Into the repository: as it would be, and under other names with one instance and no delay, and unbatched.

    What is changed is changed in Triton's own words: it is what `ServingPolicy` does not offer.
    """
    manifest = read_manifest(release)
    write_model(release, home / "models", "python", _POLICY, Engines(home))
    for variant in _VARIANTS:
        copy = home / variant / manifest.name
        copy.mkdir(parents=True)
        shutil.copyfile(release / manifest.file, copy / manifest.file)
        write_manifest(manifest.model_copy(update={"name": f"{manifest.name}-{variant}"}), copy)
        path = write_model(copy, home / "models", "python", _POLICY, Engines(home)).parent / "config.pbtxt"
        config = text_format.Parse(path.read_text(encoding="utf-8"), ModelConfig())
        if variant == "unbatched":
            config.ClearField("dynamic_batching")
        else:
            config.instance_group[0].count = 1
            config.dynamic_batching.max_queue_delay_microseconds = 0
        path.write_text(text_format.MessageToString(config), encoding="utf-8")


def _rows(manifest: Manifest) -> int:
    return len(manifest.preprocessing.views) if isinstance(manifest, EmbedderManifest) else 1


async def _all(server: TritonServer, releases: Sequence[Path], rounds: int) -> dict[str, Any]:
    return {read_manifest(release).id: await _measured(server, release, rounds) for release in releases}


async def _measured(server: TritonServer, release: Path, rounds: int) -> dict[str, Any]:
    manifest = read_manifest(release)
    there = RunnerOptions(endpoint=server.endpoint, limit=_PATIENT_MS / 1000)
    runners = {
        "in_process": open_model(release),
        "triton": open_model(release, there),
    }
    runners |= {each: open_model(f"{server.endpoint}/{manifest.name}-{each}", there) for each in _VARIANTS}
    size = manifest.preprocessing.size
    random = np.random.default_rng(5)
    inputs = {"image": random.integers(0, 256, (_rows(manifest), size, size, 3), np.uint8)}
    ours, theirs = [await runners[name].run(inputs) for name in ("in_process", "triton")]
    difference = max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours)
    single = await _single(runners, inputs, rounds, manifest.id)
    before = await _counts(server, manifest)
    bursts = await _bursts(runners, inputs, max(3, rounds // 5), manifest.id)
    after = await _counts(server, manifest)
    for runner in runners.values():
        await runner.close()
    return {
        "rows": _rows(manifest),
        "largest_difference": difference,
        "single_ms": single,
        "runs_per_second_at_8": bursts,
        "requests_a_batch_at_8": {
            name: round(float(np.divide(*(after[name] - before[name]))) / _rows(manifest), 2) for name in after
        },
        "bytes": await _bytes(server, manifest, inputs),
    }


async def _single(runners: dict[str, ModelRunner], inputs: Tensors, rounds: int, what: str) -> dict[str, float]:
    """Median milliseconds of one run at a time."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    for number in tqdm(range(_WARM_UP + rounds), f"{what}, one at a time", unit="round"):
        for name, taken in times.items():
            began = time.perf_counter()
            await runners[name].run(inputs)
            if number >= _WARM_UP:
                taken.append((time.perf_counter() - began) * 1e3)
    return {name: round(statistics.median(taken), 2) for name, taken in times.items()}


async def _bursts(runners: dict[str, ModelRunner], inputs: Tensors, rounds: int, what: str) -> dict[str, float]:
    """Median runs a second, eight at a time."""
    rates: dict[str, list[float]] = {name: [] for name in runners}
    for _ in tqdm(range(rounds), f"{what}, {_CONCURRENCY} at a time", unit="round"):
        for name, taken in rates.items():
            began = time.perf_counter()
            await asyncio.gather(*(_repeat(runners[name], inputs) for _ in range(_CONCURRENCY)))
            taken.append(_BURST / (time.perf_counter() - began))
    return {name: round(statistics.median(taken), 1) for name, taken in rates.items()}


async def _repeat(runner: ModelRunner, inputs: Tensors) -> None:
    for _ in range(_BURST // _CONCURRENCY):
        await runner.run(inputs)


async def _counts(server: TritonServer, manifest: Manifest) -> dict[str, NDArray[np.int64]]:
    """Triton's own count of squares and of batches so far."""
    counts = {}
    async with InferenceServerClient(server.address) as client:
        for name in ("triton", *_VARIANTS):
            model = manifest.name if name == "triton" else f"{manifest.name}-{name}"
            (stats,) = (await client.get_inference_statistics(model)).model_stats
            counts[name] = np.array([stats.inference_count, stats.execution_count])
    return counts


async def _bytes(server: TritonServer, manifest: Manifest, inputs: Tensors) -> dict[str, int]:
    """Of one run: what is sent, what would be if the graph did less or more, and what comes back."""
    image = inputs["image"]
    given = InferInput("image", image.shape, "UINT8").set_data_from_numpy(image)
    async with InferenceServerClient(server.address) as client:
        answer: InferResult = await client.infer(manifest.name, [given], model_version=manifest.version)
    side = manifest.preprocessing.wanted_side()
    return {
        "squares, as sent": image.nbytes,
        "squares, normalised by the service": image.nbytes * 4,
        "4:3 picture, resized in the graph": side * (side * 3 // 4) * 3,
        "answer": answer.get_response().ByteSize(),
    }


def _print(figures: dict[str, Any]) -> None:
    console = Console()
    for name, values in figures.items():
        sides = ("in process", "Triton", "one instance, no delay", "no batching")
        table = Table(f"{name}, {values['rows']} squares a run", *sides)
        single, rates, batch = (values[key] for key in ("single_ms", "runs_per_second_at_8", "requests_a_batch_at_8"))
        table.add_row("ms, one at a time", *map(str, single.values()))
        table.add_row("runs/s, 8 at a time", *map(str, rates.values()))
        table.add_row("requests a batch", "", *map(str, batch.values()))
        console.print(table)
        console.print(f"largest difference of an output: {values['largest_difference']:g}")
        console.print("bytes of a run: " + ", ".join(f"{what} {count:,}" for what, count in values["bytes"].items()))


if __name__ == "__main__":
    main()
