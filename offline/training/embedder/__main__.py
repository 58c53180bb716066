"""`python -m offline.training.embedder --data DIR --out models/embedder-lite0`: trains, measures, releases."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper

from offline.training.backbone import Backbone, imagenet_backbone
from offline.training.embedder.drawings import drawings
from offline.training.embedder.ensemble import DIMENSION, Ensemble, fitted
from offline.training.embedder.failures import draw_failures
from offline.training.embedder.measure import Embedders, measure, opaque, squares, with_views
from offline.training.embedder.model import Embedder, build
from offline.training.embedder.pictures import load_pictures
from offline.training.embedder.pool import build_pool
from offline.training.embedder.retrieval import Report, Vectors
from offline.training.embedder.sources import STAMPS, sources
from offline.training.embedder.split import DATASETS, Split, split_items
from offline.training.embedder.train import Recipe, blended, train
from offline.training.items import Item, load_items
from offline.training.release import fold_batch_norms, release_embedder
from offline.training.speed import channels_last, keep_memory
from shiwu.inference.manifest import Preprocessing, read_manifest

VERSION = "5"
TRAINING_SIZE = 192
PREPROCESSING = Preprocessing(size=224, fit="letterbox", fill=127, margin=0.05, views=(1.0,), gallery_views=(1.0, 0.8))
FITTED_ON = 500
"""Training pictures of each set, at most, that the parts without labels are fitted to."""


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_memory()
    split = split_items(load_items(options.data, DATASETS))
    if not options.measure_only:
        started = time.monotonic()
        trained = _trained(options, split) if options.trained is None else restored(options.trained)
        difference = release(fit_ensemble(trained, split), options.out)
        print(f"trained in {(time.monotonic() - started) / 60:.1f} min; ONNX differs from torch by {difference:.1e}")
    embed, drawn = released(options.out), tuple(drawings(options.modules))
    report = measure(embed, split, drawn)
    draw_failures(embed, drawn, options.out / "failures.jpg")
    if options.json:
        print(json.dumps({name: dataclasses.asdict(value) for name, value in report.items()}))
    else:
        print(table(report))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m offline.training.embedder", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the image sets (items.jsonl each)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the released model")
    parser.add_argument("--runs", type=Path, default=Path("runs/embedder"), help="view pool and checkpoint (resumed)")
    parser.add_argument("--stamps", type=Path, default=STAMPS, help="cut-outs of tuxpaint-stamps-default")
    parser.add_argument("--modules", type=Path, default=Path("node_modules"), help="npm packages of drawings")
    parser.add_argument("--trained", type=Path, help="folder of a release whose trained part is taken as it is")
    parser.add_argument("--cycles", type=int, nargs="+", default=Recipe().cycles, help="steps of each")
    parser.add_argument("--workers", type=int, default=1, help="processes that make views")
    parser.add_argument("--share", type=float, default=1.0, help="of the trained weights, the rest ImageNet's")
    parser.add_argument("--measure-only", action="store_true", help="measure the released model, train nothing")
    parser.add_argument("--json", action="store_true", help="print the measurements as one JSON line")
    return parser.parse_args()


def _trained(options: argparse.Namespace, split: Split) -> Embedder:
    embedder = build(imagenet_backbone())
    channels_last(embedder)
    fold_batch_norms(embedder.trunk)
    before = {name: value.clone() for name, value in embedder.crown.blocks.state_dict().items()}
    backgrounds = [picture.rgb for picture in load_pictures(load_items(options.data, ["backgrounds"]))]
    recipe = Recipe(cycles=tuple(options.cycles))
    made = sources(split.train, options.stamps, options.modules, recipe.seed)
    pool = build_pool(made, backgrounds, embedder, TRAINING_SIZE, recipe.seed, options.runs / "pool", options.workers)
    train(embedder.crown, pool, recipe, options.runs / "checkpoint.pt")
    embedder.crown.blocks.load_state_dict(blended(before, embedder.crown.blocks.state_dict(), options.share))
    return embedder


def restored(directory: Path) -> Embedder:
    """The trained part of a release. Raises ManifestError or RuntimeError where it is none of this network."""
    embedder = build(Backbone())
    fold_batch_norms(embedder)
    graph = onnx.load(directory / read_manifest(directory).file).graph
    weights = {tensor.name.removeprefix("trained."): numpy_helper.to_array(tensor) for tensor in graph.initializer}
    wanted = embedder.state_dict().keys() & weights.keys()
    embedder.load_state_dict({name: torch.from_numpy(weights[name].copy()) for name in wanted})
    return embedder


def fit_ensemble(trained: Embedder, split: Split) -> Ensemble:
    """The embedder that is released, its parts without labels fitted to training pictures."""
    seed = Recipe().seed
    order = np.random.default_rng(seed).permutation(len(split.train))
    by_set: dict[str, list[Item]] = {}
    for item in (split.train[i] for i in order):
        by_set.setdefault(item.dataset, []).append(item)
    chosen = [item for name in sorted(by_set) for item in by_set[name][:FITTED_ON]]
    pictures = squares([opaque(picture) for picture in load_pictures(chosen)], PREPROCESSING)
    return fitted(trained, imagenet_backbone("lite2"), pictures, PREPROCESSING.fill, seed)


def release(ensemble: Ensemble, out: Path) -> float:
    """Writes ONNX file and manifest; returns how far ONNX Runtime is from torch."""
    fold_batch_norms(ensemble)
    return release_embedder(ensemble, "embedder-lite0", VERSION, PREPROCESSING, DIMENSION, out)


def released(directory: Path) -> Embedders:
    """The released model with its views, on one CPU thread. Raises ManifestError where its manifest does not fit."""
    manifest = read_manifest(directory)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(directory / manifest.file, options, providers=["CPUExecutionProvider"])

    def run(images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Vectors:
        return np.asarray(session.run(None, {"image": images})[0], np.float32)

    return with_views(run, manifest.preprocessing)


def table(report: dict[str, Report]) -> str:
    """The measurements as a Markdown table."""
    lines = ["| measurement | queries / gallery | R@1 [95 %] | R@5 | mAP |", "|---|---|---|---|---|"]
    for name, r in report.items():
        first = f"{r.recall_1.mean:.3f} [{r.recall_1.low:.2f}, {r.recall_1.high:.2f}]"
        lines.append(f"| {name} | {r.queries} / {r.gallery} | {first} | {r.recall_5.mean:.3f} | {r.map.mean:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
