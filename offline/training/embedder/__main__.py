"""`python -m offline.training.embedder --data DIR --out models/embedder-lite0`: trains, measures, releases."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch

from offline.training.backbone import imagenet_backbone
from offline.training.embedder.drawings import drawings
from offline.training.embedder.failures import draw_failures
from offline.training.embedder.measure import EmbedImages, in_views, measure
from offline.training.embedder.model import DIMENSION, Embedder, build
from offline.training.embedder.pictures import load_pictures
from offline.training.embedder.pool import build_pool
from offline.training.embedder.retrieval import Report, Vectors
from offline.training.embedder.sources import STAMPS, sources
from offline.training.embedder.split import DATASETS, Split, split_items
from offline.training.embedder.train import Recipe, blended, train
from offline.training.items import load_items
from offline.training.release import fold_batch_norms, release_embedder
from offline.training.speed import channels_last, keep_memory
from shiwu.inference.manifest import Preprocessing, read_manifest

VERSION = "3"
TRAINING_SIZE = 192
PREPROCESSING = Preprocessing(size=224, fit="letterbox", fill=127, margin=0.05, views=(1.0, 0.65))


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_memory()
    split = split_items(load_items(options.data, DATASETS))
    if not options.measure_only:
        started = time.monotonic()
        embedder = _trained(options, split)
        difference = release(embedder, options.out)
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


def release(embedder: Embedder, out: Path) -> float:
    """Writes ONNX file and manifest; returns how far ONNX Runtime is from torch."""
    fold_batch_norms(embedder)
    return release_embedder(embedder, "embedder-lite0", VERSION, PREPROCESSING, DIMENSION, out)


def released(directory: Path) -> EmbedImages:
    """The released model with its views, on one CPU thread. Raises ManifestError where its manifest does not fit."""
    manifest = read_manifest(directory)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(directory / manifest.file, options, providers=["CPUExecutionProvider"])

    def run(images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Vectors:
        return np.asarray(session.run(None, {"image": images})[0], np.float32)

    return in_views(run, manifest.preprocessing)


def table(report: dict[str, Report]) -> str:
    """The measurements as a Markdown table."""
    lines = ["| measurement | queries / gallery | R@1 [95 %] | R@5 | mAP |", "|---|---|---|---|---|"]
    for name, r in report.items():
        first = f"{r.recall_1.mean:.3f} [{r.recall_1.low:.2f}, {r.recall_1.high:.2f}]"
        lines.append(f"| {name} | {r.queries} / {r.gallery} | {first} | {r.recall_5.mean:.3f} | {r.map.mean:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
