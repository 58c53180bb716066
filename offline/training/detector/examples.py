"""The endless, seeded stream of training pictures with what every anchor or point should answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from offline.training.detector.composites import Scenes
from offline.training.detector.config import Recipe
from offline.training.detector.layout import layout_of
from offline.training.detector.library import Library, Photo
from offline.training.detector.pasting import develop
from offline.training.detector.targets import Truth, assign
from shiwu.vision import boxes as geometry
from shiwu.vision.resize import Image, fit

Example = tuple[Tensor, Tensor, Tensor, Tensor]
"""Image (size, size, 3) uint8, then `loss.Targets` without the batch axis."""

_TINY: Final = 0.004
"""Share of the picture below which a thing is neither taught nor held against the detector."""
_KEPT: Final = 0.45
"""A box of which a crop leaves less is ignored."""
_ZOOMED_OUT: Final = 0.15
_GRAY: Final = 127


class Examples(IterableDataset[Example]):
    """Different for every worker and every `start`, the same for the same recipe."""

    def __init__(self, library: Library, recipe: Recipe, start: int = 0) -> None:
        pictures = recipe.pictures
        self._library = library
        self._size, self._fit = recipe.model.size, recipe.model.fit
        self._multi_scale = pictures.multi_scale
        self._scenes = Scenes(library, self._size, small=pictures.small, balance=pictures.balance)
        self._layout = layout_of(recipe.model)
        self._references = self._layout.boxes(self._size)
        self._seed = (recipe.seed, start)
        self._singles: dict[int, list[Photo]] = {}
        for photo in library.single:
            self._singles.setdefault(int(photo.truth.categories[0]), []).append(photo)
        numbers = np.array([len(photos) for photos in self._singles.values()], float)
        # Balanced by the square root of their numbers, lest garments drown the rest.
        self._single_weights = numbers ** (0.5 if pictures.balance else 1.0)
        mix = pictures.mix.model_dump()
        if not pictures.multi_scale:
            mix["boxed"] += mix.pop("mosaic")
        without = {"single": not library.single, "boxed": not library.boxed, "pasted": not library.boxed}
        without["mosaic"] = not (library.boxed and library.single)
        self._mix = {kind: weight for kind, weight in mix.items() if not without.get(kind)}

    def __iter__(self) -> Iterator[Example]:
        worker = get_worker_info()
        rng = np.random.default_rng((*self._seed, worker.id if worker is not None else 0))
        while True:
            image, truth = self.draw(rng)
            answer = assign(truth, self._layout, self._references)
            yield (
                torch.from_numpy(image),
                torch.from_numpy(answer.objectness),
                torch.from_numpy(answer.categories),
                torch.from_numpy(answer.deltas),
            )

    def draw(self, rng: Generator) -> tuple[Image, Truth]:
        """One picture as the input's square, and what is in it."""
        weights = np.array(list(self._mix.values()))
        kind = rng.choice(list(self._mix), p=weights / weights.sum())
        if kind == "scene":
            pixels, truth = self._scenes.make(rng)
        elif kind == "pasted":
            pixels, truth = self._scenes.make(rng, self._view(self._boxed(rng), rng, 0.5))
        else:
            pixels, truth = self._photo(kind, rng)
            pixels = develop(pixels.astype(np.float32), rng)
        square, placement = fit(pixels, self._size, self._fit)
        boxes, ignored = placement.to_square(truth.boxes), placement.to_square(truth.ignored)
        tiny = geometry.areas(boxes) < _TINY * self._size**2
        return square, Truth(boxes[~tiny], truth.categories[~tiny], np.concatenate([ignored, boxes[tiny]]))

    def _photo(self, kind: str, rng: Generator) -> tuple[Image, Truth]:
        if kind == "mosaic":
            return _mosaic([self._boxed(rng) if rng.random() < 0.8 else self._single(rng) for _ in range(4)], rng)
        if kind == "boxed":
            pixels, truth = self._view(self._boxed(rng), rng, 0.35)
            return (
                _zoomed_out(pixels, truth, rng) if self._multi_scale and rng.random() < _ZOOMED_OUT else (pixels, truth)
            )
        pixels, truth = self._view(self._single(rng), rng, 0.75)
        if rng.random() < 0.1:
            pixels, truth = _quarter_turn(pixels, truth)
        return _zoomed_out(pixels, truth, rng) if self._multi_scale and rng.random() < _ZOOMED_OUT else (pixels, truth)

    def _boxed(self, rng: Generator) -> Photo:
        return self._library.boxed[rng.integers(len(self._library.boxed))]

    def _single(self, rng: Generator) -> Photo:
        codes, weights = list(self._singles), self._single_weights
        photos = self._singles[codes[rng.choice(len(codes), p=weights / weights.sum())]]
        return photos[rng.integers(len(photos))]

    def _view(self, photo: Photo, rng: Generator, smallest: float) -> tuple[Image, Truth]:
        smallest = smallest if self._multi_scale else 1.0
        return cropped(photo.pixels, photo.truth, rng, smallest, self._size)


def cropped(pixels: Image, truth: Truth, rng: Generator, smallest: float, side: int) -> tuple[Image, Truth]:
    """A random region of at least `smallest` of each side, mirrored at times, its longest side at most `side` pixels.

    Boxes are cut to the region; those of which too little stays are ignored.
    """
    height, width = pixels.shape[:2]
    x1, y1, w, h = 0, 0, width, height
    if rng.random() < 0.65:
        w, h = int(width * rng.uniform(smallest, 1)), int(height * rng.uniform(smallest, 1))
        x1, y1 = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    scale = min(1.0, side / max(w, h))
    size = (max(8, round(w * scale)), max(8, round(h * scale)))
    region, result = _region(pixels, truth, (x1, y1, w, h), size)
    return _mirrored(region, result) if rng.random() < 0.5 else (region, result)


def _region(
    pixels: Image, truth: Truth, where: tuple[int, int, int, int], size: tuple[int, int]
) -> tuple[Image, Truth]:
    """The part of a picture at (x, y, width, height), resized to (width, height)."""
    x1, y1, w, h = where
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
    return region, Truth(cut[kept], truth.categories[kept], ignored)


def _mosaic(photos: Sequence[Photo], rng: Generator) -> tuple[Image, Truth]:
    """Four photos around a random point of a square, each a random region at about its own aspect ratio."""
    side = max(max(photo.pixels.shape[:2]) for photo in photos)
    x, y = (int(v) for v in side * rng.uniform(0.3, 0.7, 2))
    canvas = np.empty((side, side, 3), np.uint8)
    truths: list[Truth] = []
    corners = [(0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)]
    for photo, (left, top, right, bottom) in zip(photos, corners, strict=True):
        height, width = photo.pixels.shape[:2]
        scale = min(width / (right - left), height / (bottom - top)) * rng.uniform(0.7, 1.0)
        w, h = int((right - left) * scale), int((bottom - top) * scale)
        place = (int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1)), w, h)
        region, truth = _region(photo.pixels, photo.truth, place, (right - left, bottom - top))
        if rng.random() < 0.5:
            region, truth = _mirrored(region, truth)
        canvas[top:bottom, left:right] = region
        truths.append(_moved(truth, left, top))
    joined = Truth(
        np.concatenate([truth.boxes for truth in truths]),
        np.concatenate([truth.categories for truth in truths]),
        np.concatenate([truth.ignored for truth in truths]),
    )
    return canvas, joined


def _zoomed_out(pixels: Image, truth: Truth, rng: Generator) -> tuple[Image, Truth]:
    """The picture on a gray canvas of up to twice its sides (Liu et al., SSD, ECCV 2016)."""
    height, width = pixels.shape[:2]
    factor = rng.uniform(1.1, 2.0)
    canvas = np.full((int(height * factor), int(width * factor), 3), _GRAY, np.uint8)
    left = int(rng.integers(0, canvas.shape[1] - width + 1))
    top = int(rng.integers(0, canvas.shape[0] - height + 1))
    canvas[top : top + height, left : left + width] = pixels
    return canvas, _moved(truth, left, top)


def _moved(truth: Truth, x: int, y: int) -> Truth:
    shift = np.array([x, y, x, y], np.float32)
    return Truth(truth.boxes + shift, truth.categories, truth.ignored + shift)


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
