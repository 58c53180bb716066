"""The endless, seeded stream of training pictures with what every anchor should answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from offline.training.detector.composites import Scenes
from offline.training.detector.library import Library, Photo
from offline.training.detector.model import GRID, SIZE
from offline.training.detector.pasting import develop
from offline.training.detector.targets import Truth, assign
from shiwu.vision import boxes as geometry
from shiwu.vision.resize import Image, fit

Example = tuple[Tensor, Tensor, Tensor, Tensor]
"""Image (SIZE, SIZE, 3) uint8, then `loss.Targets` without the batch axis."""

_MIX: Final = {"scene": 0.43, "pasted on photo": 0.08, "boxed photo": 0.23, "single photo": 0.26}
_TINY: Final = 0.004
"""Share of the picture below which a thing is neither taught nor held against the detector."""
_KEPT: Final = 0.45
"""A box of which a crop leaves less is ignored."""


class Examples(IterableDataset[Example]):
    """Different for every worker and every `start`, the same for the same seed."""

    def __init__(self, library: Library, seed: int, start: int = 0) -> None:
        self._library = library
        self._scenes = Scenes(library, SIZE)
        self._anchors = GRID.boxes(SIZE)
        self._seed = (seed, start)
        self._singles: dict[int, list[Photo]] = {}
        for photo in library.single:
            self._singles.setdefault(int(photo.truth.categories[0]), []).append(photo)

    def __iter__(self) -> Iterator[Example]:
        worker = get_worker_info()
        rng = np.random.default_rng((*self._seed, worker.id if worker is not None else 0))
        while True:
            image, truth = self.draw(rng)
            answer = assign(truth, self._anchors)
            yield (
                torch.from_numpy(image),
                torch.from_numpy(answer.objectness),
                torch.from_numpy(answer.categories),
                torch.from_numpy(answer.deltas),
            )

    def draw(self, rng: Generator) -> tuple[Image, Truth]:
        """One picture, letterboxed to SIZE, and what is in it."""
        kind = rng.choice(list(_MIX), p=list(_MIX.values()))
        boxed = self._library.boxed
        if kind == "boxed photo" and boxed:
            photo = boxed[rng.integers(len(boxed))]
            pixels, truth = cropped(photo.pixels, photo.truth, rng, 0.35)
            pixels = develop(pixels.astype(np.float32), rng)
        elif kind == "pasted on photo" and boxed:
            photo = boxed[rng.integers(len(boxed))]
            pixels, truth = self._scenes.make(rng, cropped(photo.pixels, photo.truth, rng, 0.5))
        elif kind == "single photo" and self._singles:
            pixels, truth = self._single(rng)
        else:
            pixels, truth = self._scenes.make(rng)
        square, placement = fit(pixels, SIZE, "letterbox")
        boxes, ignored = placement.to_square(truth.boxes), placement.to_square(truth.ignored)
        tiny = geometry.areas(boxes) < _TINY * SIZE * SIZE
        return square, Truth(boxes[~tiny], truth.categories[~tiny], np.concatenate([ignored, boxes[tiny]]))

    def _single(self, rng: Generator) -> tuple[Image, Truth]:
        """A photo of one thing; categories by the square root of their number, lest garments drown the rest."""
        codes = list(self._singles)
        weights = np.sqrt([len(self._singles[c]) for c in codes])
        photos = self._singles[codes[rng.choice(len(codes), p=weights / weights.sum())]]
        photo = photos[rng.integers(len(photos))]
        pixels, truth = cropped(photo.pixels, photo.truth, rng, 0.75)
        if rng.random() < 0.1:
            pixels, truth = _quarter_turn(pixels, truth)
        return develop(pixels.astype(np.float32), rng), truth


def cropped(pixels: Image, truth: Truth, rng: Generator, smallest: float) -> tuple[Image, Truth]:
    """A random region of at least `smallest` of each side, mirrored at times, its longest side at most SIZE.

    Boxes are cut to the region; those of which too little stays are ignored.
    """
    height, width = pixels.shape[:2]
    x1, y1, w, h = 0, 0, width, height
    if rng.random() < 0.65:
        w, h = int(width * rng.uniform(smallest, 1)), int(height * rng.uniform(smallest, 1))
        x1, y1 = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    scale = min(1.0, SIZE / max(w, h))
    size = (max(8, round(w * scale)), max(8, round(h * scale)))
    region = np.asarray(cv2.resize(pixels[y1 : y1 + h, x1 : x1 + w], size, interpolation=cv2.INTER_AREA), np.uint8)
    factor = np.array([size[0] / w, size[1] / h] * 2, np.float32)
    shift = np.array([x1, y1] * 2, np.float32)
    moved = (truth.boxes - shift) * factor
    cut = geometry.clip(moved, *size)
    left = geometry.areas(cut) / np.maximum(geometry.areas(moved), 1e-6)
    ignored = geometry.clip((truth.ignored - shift) * factor, *size)
    ignored = np.concatenate([ignored, cut[left < _KEPT]])
    ignored = ignored[geometry.areas(ignored) > 0]
    kept = left >= _KEPT
    result = Truth(cut[kept], truth.categories[kept], ignored)
    return _mirrored(region, result) if rng.random() < 0.5 else (region, result)


def _mirrored(pixels: Image, truth: Truth) -> tuple[Image, Truth]:
    width = pixels.shape[1]

    def flip(boxes: geometry.Boxes) -> geometry.Boxes:
        return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)

    return np.ascontiguousarray(pixels[:, ::-1]), Truth(flip(truth.boxes), truth.categories, flip(truth.ignored))


def _quarter_turn(pixels: Image, truth: Truth) -> tuple[Image, Truth]:
    """Turned by 90 degrees to the left."""
    width = pixels.shape[1]

    def turn(boxes: geometry.Boxes) -> geometry.Boxes:
        return np.stack([boxes[:, 1], width - boxes[:, 2], boxes[:, 3], width - boxes[:, 0]], axis=1)

    return np.ascontiguousarray(np.rot90(pixels)), Truth(turn(truth.boxes), truth.categories, turn(truth.ignored))
