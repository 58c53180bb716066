"""`python -m offline.training.detector.failures`: a sheet of pictures whose main object the best box misses.

Packages and books drawn by program on drawn backgrounds, so that the sheet may be passed on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from offline.training.detector.composites import Scenes
from offline.training.detector.evaluate import Released
from offline.training.detector.library import Library
from offline.training.detector.measures import Case, hits
from offline.training.detector.procedural import package
from offline.training.detector.targets import Truth
from offline.training.embedder.covers import clouds
from shiwu.inference.released import DETECTOR
from shiwu.vision.resize import Image, fit

_COLUMNS: Final = 4
_SIDE: Final = 190
_SCENES: Final = 300
_CUTOUTS: Final = 120
_SEED: Final = 79
_WANTED: Final = (255, 200, 0)
_FOUND: Final = (255, 0, 0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m offline.training.detector.failures", description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models", DETECTOR))
    parser.add_argument("--out", type=Path, help="failures.jpg beside the model unless given")
    args = parser.parse_args()
    tiles = _failures(Released(args.model), _scenes(), 2 * _COLUMNS)
    tiles += [np.full((_SIDE, _SIDE, 3), 127, np.uint8)] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
    cv2.imwrite(
        str(args.out or args.model / "failures.jpg"),
        cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR),
        [cv2.IMWRITE_JPEG_QUALITY, 80],
    )


def _scenes() -> Iterator[tuple[Image, Truth]]:
    rng = np.random.default_rng(_SEED)
    grounds = [clouds(rng) for _ in range(60)]
    cutouts = [package(rng, grounds[i % len(grounds)], book=i % 2 == 0) for i in range(_CUTOUTS)]
    scenes = Scenes(Library(backgrounds=grounds), _SIDE * 2, cutouts, small=0.5)
    for seed in range(_SCENES):
        yield scenes.make(np.random.default_rng((_SEED, seed)))


def _failures(model: Released, pictures: Iterator[tuple[Image, Truth]], most: int) -> list[Image]:
    """The first pictures whose main object the best box misses: wanted box yellow, best box red."""
    tiles: list[Image] = []
    for image, truth in pictures:
        if len(tiles) == most:
            break
        case = Case(image.shape[1], image.shape[0], truth, model.detect(image)) if len(truth.boxes) else None
        if case is None or hits(case, 1):
            continue
        square, placement = fit(image, _SIDE, "letterbox")
        drawn = square.copy()
        wanted = placement.to_square(truth.boxes[[case.main]])
        for box, colour in ((wanted, _WANTED), (placement.to_square(case.found.boxes[:1]), _FOUND)):
            for x1, y1, x2, y2 in box.round().astype(int).tolist():
                cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, 2)
        tiles.append(np.asarray(drawn, np.uint8))
    return tiles


if __name__ == "__main__":
    main()
