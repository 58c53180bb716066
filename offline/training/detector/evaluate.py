"""`python -m offline.training.detector.evaluate`: a released detector on pictures that it never saw."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import onnxruntime
from tqdm import tqdm

from offline.training.detector.composites import Scenes
from offline.training.detector.config import Data
from offline.training.detector.decoding import KEPT, Decoder
from offline.training.detector.library import Library, index_of, load_library, read
from offline.training.detector.measures import (
    IOUS,
    Case,
    Detections,
    Figure,
    average_precision,
    centre_hits,
    hits,
    hits_above,
    hits_any,
    main_category,
    mean_average_precision,
    share,
)
from offline.training.detector.targets import Truth
from offline.training.items import load_items
from shiwu.categories import CATEGORIES
from shiwu.inference.manifest import DetectorManifest, read_manifest
from shiwu.inference.released import DETECTOR
from shiwu.vision import boxes as geometry
from shiwu.vision.resize import Image, fit

_SCENES: Final = 300
_ROUNDS: Final = 40
_SCENES_SIDE: Final = 320
_BIG: Final = 0.02
"""The goal counts main objects above this share of the picture."""


class Released:
    """A released model and how its outputs become boxes; one thread, as in the mesh."""

    def __init__(self, folder: Path) -> None:
        manifest = read_manifest(folder)
        if not isinstance(manifest, DetectorManifest):
            msg = f"{folder} holds no detector"
            raise TypeError(msg)
        self.manifest = manifest
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(folder / manifest.file, options, ["CPUExecutionProvider"])
        self._decoder = Decoder(manifest)

    def detect(self, image: Image) -> Detections:
        """Boxes in pixels of the image, each with its best category; suppression does not look at categories."""
        pre = self.manifest.preprocessing
        square, placement = fit(image, pre.size, pre.fit, pre.fill)
        scores, deltas = self._session.run(["scores", "deltas"], {"image": square[None]})
        return self._decoder.read(scores[0], deltas[0], placement, image.shape[1], image.shape[0])

    def milliseconds(self, beside: Released | None = None) -> tuple[float, float]:
        """Median time of the network alone for one picture, and that of `beside`.

        They take turns, so that whatever else the machine does slows both alike and their ratio holds.
        """
        models = (self, self if beside is None else beside)
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(_ROUNDS):
            for model, taken in zip(models, times, strict=True):
                side = model.manifest.preprocessing.size
                square = np.zeros((1, side, side, 3), np.uint8)
                start = time.perf_counter()
                model._session.run(None, {"image": square})  # noqa: SLF001
                taken.append(time.perf_counter() - start)
        own, other = (float(np.median(taken)) * 1e3 for taken in times)
        return own, other


def evaluate(model: Released, data: Path, library: Library) -> dict[str, Figure]:
    """All figures, by name."""
    singles = list(_cases(model, ((p.pixels, p.truth) for p in library.held_single), "single objects"))
    return (
        measure_boxes(model, library)
        | _main_object("single objects, boxes by contrast", singles, model.manifest.min_score)
        | _without_boxes(model, data)
    )


def measure_boxes(model: Released, library: Library) -> dict[str, Figure]:
    """Figures on pictures with exact boxes: held-out photos with drawn ones, composites of held-out cut-outs."""
    figures: dict[str, Figure] = {}
    least = model.manifest.min_score
    boxed = list(_cases(model, ((p.pixels, p.truth) for p in library.held_boxed), "drawn boxes"))
    products = [case for case in boxed if len(case.truth.boxes)]
    big = [case for case in products if case.main_share > _BIG]
    figures |= _main_object("photos, main object over 2 %", big, least)
    figures |= _main_object("photos, any main object", products, least)
    figures |= _precisions("photos", boxed)
    figures |= _precisions("photos, products over 2 %", [_only_big(case) for case in boxed])
    for code, name in enumerate(CATEGORIES):
        holding = sum(bool((case.truth.categories == code).any()) for case in boxed)
        if holding:
            figure = average_precision(boxed, code)
            figures[f"photos, AP@.5 {name}"] = Figure(figure.value, figure.low, figure.high, holding)
    for name, small in (("composites of unseen cut-outs", 0.0), ("composites of small unseen cut-outs", 1.0)):
        scenes = list(_cases(model, held_scenes(library, small, _SCENES), name))
        figures |= _main_object(name, [case for case in scenes if len(case.truth.boxes)], least)
        figures |= _precisions(name, scenes)
    return figures


def _precisions(name: str, cases: Sequence[Case]) -> dict[str, Figure]:
    every = range(len(CATEGORIES))
    return {
        f"{name}: AP@.5 any category": average_precision(cases),
        f"{name}: AP@[.5:.95] any category": average_precision(cases, ious=IOUS),
        f"{name}: mAP@.5": mean_average_precision(cases, every),
        f"{name}: mAP@[.5:.95]": mean_average_precision(cases, every, IOUS),
    }


def _main_object(name: str, cases: Sequence[Case], least: float) -> dict[str, Figure]:
    categories = [right for case in cases if (right := main_category(case)) is not None]
    return {
        f"{name}: best box": share([hits(case, 1) for case in cases]),
        f"{name}: one of best 3": share([hits(case, 3) for case in cases]),
        f"{name}: one of those above the threshold": share([hits_above(case, least) for case in cases]),
        f"{name}: one of all": share([hits(case, KEPT) for case in cases]),
        f"{name}: best box above the threshold": share([_best(case) >= least for case in cases]),
        f"{name}: best box on any product": share([hits_any(case) for case in cases]),
        f"{name}: category where found": share(categories),
        f"{name}: whole picture instead": share([centre_hits(case, 1.0) for case in cases]),
        f"{name}: 60 % centre instead": share([centre_hits(case, 0.6) for case in cases]),
    }


def _without_boxes(model: Released, data: Path) -> dict[str, Figure]:
    """Photos with a category but no box: is there a confident box, of what category, how central."""
    figures: dict[str, Figure] = {}
    for dataset in ("grocery", "clothing", "caltech101"):
        items = [i for i in load_items(data, [dataset]) if i.split == "val" and i.category is not None]
        sure: list[float] = []
        right: list[float] = []
        central: list[float] = []
        for item in tqdm(items, desc=dataset, unit="photo"):
            image = read(item.path)
            found = model.detect(image)
            sure.append(bool((found.scores >= model.manifest.min_score).any()))
            if len(found.scores):
                right.append(int(found.categories[0]) == index_of(item.category))
                x1, y1, x2, y2 = found.boxes[0] / np.array([image.shape[1], image.shape[0]] * 2)
                central.append(x1 < 0.5 < x2 and y1 < 0.5 < y2)
        figures[f"{dataset} val: best box above threshold"] = share(sure)
        figures[f"{dataset} val: category of best box"] = share(right)
        figures[f"{dataset} val: best box over the centre"] = share(central)
    return figures


def _cases(model: Released, pictures: Iterable[tuple[Image, Truth]], name: str) -> Iterator[Case]:
    for image, truth in tqdm(pictures, desc=name, unit="picture"):
        yield Case(image.shape[1], image.shape[0], truth, model.detect(image))


def held_scenes(library: Library, small: float, count: int) -> Iterator[tuple[Image, Truth]]:
    """Composites of cut-outs never trained on, always the same; `small`: see `Scenes`."""
    scenes = Scenes(library, _SCENES_SIDE, library.held_cutouts, small=small)
    for seed in range(count):
        yield scenes.make(np.random.default_rng((77, seed)))


def _best(case: Case) -> float:
    return float(case.found.scores[0]) if len(case.found.scores) else 0.0


def _only_big(case: Case) -> Case:
    """The case with the small products ignored."""
    small = geometry.areas(case.truth.boxes) <= _BIG * case.width * case.height
    truth = Truth(
        case.truth.boxes[~small],
        case.truth.categories[~small],
        np.concatenate([case.truth.ignored, case.truth.boxes[small]]),
    )
    big = geometry.areas(case.found.boxes) > _BIG * case.width * case.height
    found = Detections(case.found.boxes[big], case.found.scores[big], case.found.categories[big])
    return Case(case.width, case.height, truth, found)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m offline.training.detector.evaluate", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the image sets")
    parser.add_argument("--model", type=Path, default=Path("models", DETECTOR))
    parser.add_argument("--runs", type=Path, default=Path("runs/detector"), help="folder of the cached mattes")
    parser.add_argument("--held-out", type=float, default=Data().held_out, help="share of COCO photos not trained on")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(0)
    model = Released(args.model)
    figures = evaluate(model, args.data, load_library(args.data, None, args.runs / "mattes.npz", args.held_out))
    took, _ = model.milliseconds()
    if args.json:
        print(json.dumps({"ms": took} | {name: asdict(figure) for name, figure in figures.items()}))
        return
    print(f"{model.manifest.id}: {took:.1f} ms a picture at one thread")
    for name, figure in figures.items():
        print(f"{name:<64} {figure}")


if __name__ == "__main__":
    main()
