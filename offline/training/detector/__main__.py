"""`python -m offline.training.detector`: trains and releases the detector."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from offline.training.detector.both import BothHeads, meanings_of
from offline.training.detector.calibration import learnt_meanings, line_of, prominence_of
from offline.training.detector.config import Recipe
from offline.training.detector.evaluate import Released
from offline.training.detector.export import release
from offline.training.detector.library import coco_categories, load_library
from offline.training.detector.model import Detector
from offline.training.detector.pseudo import add_pseudo_boxes
from offline.training.detector.train import CHECKPOINT, Trainer, load_average
from offline.training.typed_yaml import read_yaml
from shiwu.inference.manifest import write_manifest

RELEASE: Final = Path(__file__).with_name("release-2.yaml")
_MIN_SCORE: Final = 0.2
_NMS_IOU: Final = 0.5


def main() -> None:
    args = _arguments()
    recipe = read_yaml(args.recipe, Recipe, "recipe")
    checkpoint = args.runs / CHECKPOINT
    library = load_library(args.data, args.stamps, args.mattes, recipe.data.held_out)
    if not args.release_only:
        if recipe.data.teacher is not None:
            add_pseudo_boxes(library, args.data, Released(recipe.data.teacher))
        trainer = Trainer(recipe)
        if args.resume and checkpoint.exists():
            trainer.load(checkpoint)
        trainer.run(library, args.runs)
    net = load_average([checkpoint, *(run / CHECKPOINT for run in args.blend)], recipe.model)
    model: Detector | BothHeads = Detector(net)
    if recipe.model.coco is not None:
        said = meanings_of(coco_categories(args.data))
        named = BothHeads(net, recipe.model, said)
        meanings = learnt_meanings(named, said, library, recipe.model)
        model = BothHeads(net, recipe.model, meanings, line_of(named, library, recipe.model))
    manifest = release(model, recipe.model, args.out, args.version, _MIN_SCORE, _NMS_IOU)
    prominence = prominence_of(Released(args.out), library)
    write_manifest(manifest.model_copy(update={"prominence": prominence}), args.out)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m offline.training.detector", description=__doc__)
    parser.add_argument("--recipe", type=Path, default=RELEASE, help="typed YAML; see config.py")
    parser.add_argument("--data", type=Path, required=True, help="folder of the image sets")
    parser.add_argument("--stamps", type=Path, help="folder of stamps with alpha (package tuxpaint-stamps-default)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the released model")
    parser.add_argument("--runs", type=Path, default=Path("runs/detector"), help="folder for checkpoints")
    parser.add_argument("--mattes", type=Path, default=Path("runs/detector/mattes.npz"), help="cache of derived boxes")
    parser.add_argument("--blend", type=Path, nargs="*", default=(), help="--runs of runs to release the mean with")
    parser.add_argument("--version", default="2")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in --runs")
    parser.add_argument("--release-only", action="store_true", help="export the checkpoint in --runs, train nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
