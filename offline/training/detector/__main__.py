"""`python -m offline.training.detector`: trains, measures and releases the detector."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from offline.training.detector.export import release
from offline.training.detector.library import load_library
from offline.training.detector.model import Detector
from offline.training.detector.train import CHECKPOINT, Recipe, Trainer, load_average

_MIN_SCORE: Final = 0.2
_NMS_IOU: Final = 0.5


def main() -> None:
    args = _arguments()
    checkpoint = args.runs / CHECKPOINT
    library = load_library(args.data, args.stamps, args.runs / "mattes.npz")
    trainer = Trainer(Recipe(steps=args.steps, seed=args.seed, workers=args.workers))
    if args.resume and checkpoint.exists():
        trainer.load(checkpoint)
    trainer.run(library, args.runs)
    release(Detector(load_average(checkpoint)), args.out, args.version, _MIN_SCORE, _NMS_IOU)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m offline.training.detector", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the image sets")
    parser.add_argument("--stamps", type=Path, help="folder of stamps with alpha (package tuxpaint-stamps-default)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the released model")
    parser.add_argument("--runs", type=Path, default=Path("runs/detector"), help="folder for checkpoints and caches")
    parser.add_argument("--steps", type=int, default=Recipe().steps)
    parser.add_argument("--seed", type=int, default=Recipe().seed)
    parser.add_argument("--workers", type=int, default=Recipe().workers, help="processes that make pictures")
    parser.add_argument("--version", default="1")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in --runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
