"""What is set after training, on training material: how sure each pair of heads is, how much size counts in ranking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from offline.training.detector.both import BothHeads, Line, Meanings
from offline.training.detector.composites import Scenes
from offline.training.detector.config import Model
from offline.training.detector.decoding import FLOOR, KEPT
from offline.training.detector.evaluate import Released
from offline.training.detector.library import Library
from offline.training.detector.measures import IOU, Case, Detections, judge
from offline.training.detector.targets import Truth
from shiwu.vision import boxes as geometry
from shiwu.vision.boxes import Boxes
from shiwu.vision.corners import CornerGrid
from shiwu.vision.heads import HeadReader
from shiwu.vision.resize import Image, fit

_SCENES: Final = 400
_SIDE: Final = 320
_SMALL: Final = 0.5
_FREE: Final = 1e9
"""No regularisation: there are two numbers to learn from thousands of finds."""
_SURE: Final = 1e-6
_SINGLES: Final = 1500
"""Photos of one thing, of the thousands that there are."""
_SEEN: Final = 0.1
"""Score from which on a kind is counted as found."""
_FEW: Final = 20.0
"""Added to the number of a category's products: what a handful is taken for says little."""
_BELIEVED: Final = 0.2
"""Weight of what a kind is said to mean, beside the share of a category's products that are taken for it."""
_POWERS: Final = tuple(round(0.05 * i, 2) for i in range(17))
_SMOOTHED: Final = 2
"""Neighbours on each side over which the recall is averaged: neighbouring powers differ by chance."""


def prominence_of(model: Released, library: Library) -> float:
    """The power of a box's share of the picture with which score times power finds the main object most often.

    Measured on new composites of the cut-outs that were trained on, half of them with small objects. Photos with drawn
    boxes that were trained on would not do: the network knows them by heart, and others are for measuring.
    """
    return best_power(
        [Case(image.shape[1], image.shape[0], truth, model.detect(image)) for image, truth in _scenes(library)]
    )


def line_of(model: BothHeads, library: Library, recipe: Model) -> Line:
    """Both pairs of heads are to be right as often where they say the same, on composites and photos with boxes.

    Of such photos there are none that are not trained on or for measuring: these, both pairs know better than others.
    """
    model = model.eval()
    boxed = ((photo.pixels, photo.truth) for photo in library.boxed)
    pictures = [tqdm(kind, desc="scores", unit="picture") for kind in (_scenes(library), boxed)]
    cases = [[_of_each(model, recipe, *picture) for picture in kind] for kind in pictures]
    own, taught = ([[both[i] for both in kind] for kind in cases] for i in (0, 1))
    return line_between(certainty(own), certainty(taught))


def line_between(own: Line, taught: Line) -> Line:
    """The line by which logits of `taught`, which mean certainty by that line, become logits of `own`."""
    return Line(taught.slope / own.slope, (taught.shift - own.shift) / own.slope)


def certainty(kinds: Sequence[Sequence[Case]]) -> Line:
    """The line from a score's logit to that of being right (Platt, 1999); every kind of picture weighs the same."""
    judged = [[judge(case, None, IOU)[:2] for case in cases] for cases in kinds]
    scores, right = (np.concatenate([each[i] for kind in judged for each in kind]) for i in (0, 1))
    finds = [sum(len(scores) for scores, _ in kind) for kind in judged]
    weights = np.repeat([1 / count for count in finds], finds)
    logits = np.log(scores / np.maximum(1 - scores, _SURE)).astype(np.float64)
    fitted = LogisticRegression(C=_FREE).fit(logits[:, None], right, weights * len(scores))
    return Line(float(fitted.coef_[0, 0]), float(fitted.intercept_[0]))


def learnt_meanings(named: BothHeads, meanings: Meanings, library: Library, recipe: Model) -> Meanings:
    """What COCO's kinds turn out to be of, by the truth of the products that they are found on.

    A bottle is a product of many categories. How often a category's products are taken for a kind is what counts, not
    how many of them there are here; and every kind keeps something of what `meanings` says.
    """
    finds, products = np.zeros_like(meanings), np.full(meanings.shape[1], _FEW)
    boxed = ((photo.pixels, photo.truth) for photo in library.boxed)
    pictures = chain(boxed, _singles(library, _SINGLES), _scenes(library))
    for image, truth in tqdm(pictures, desc="kinds", unit="picture"):
        known = truth.categories >= 0
        products += np.bincount(truth.categories[known], minlength=len(products))
        boxes, kinds = _kinds_found(named, recipe, image)
        met, on = np.nonzero(geometry.iou(boxes, truth.boxes[known]) >= IOU)
        np.add.at(finds, (kinds[met], truth.categories[known][on]), 1)
    learnt = (finds / products + _BELIEVED * meanings) * meanings.any(axis=1, keepdims=True)
    return np.asarray(learnt / np.maximum(learnt.sum(axis=1, keepdims=True), _SURE), np.float32)


@torch.no_grad()
def _kinds_found(named: BothHeads, recipe: Model, image: Image) -> tuple[Boxes, NDArray[np.intp]]:
    """Boxes of what COCO taught in pixels of the picture, and which of its 80 kinds each is."""
    square, placement = fit(image, recipe.size, recipe.fit)
    logits, boxes = named.taught(named.net.features(torch.from_numpy(square)[None]))
    reader = HeadReader(CornerGrid(boxes.shape[1]), recipe.size, IOU, prominence=0.0)
    scores, corners = torch.sigmoid(logits[0]).numpy(), boxes[0].numpy()
    shares, found = reader.read(scores, corners, placement, image.shape[:2], min_score=_SEEN, limit=KEPT)
    pixels = (shares * np.tile(image.shape[1::-1], 2)).astype(np.float32)
    return pixels, np.flatnonzero(named.products)[found.argmax(axis=1)]


@torch.no_grad()
def _of_each(model: BothHeads, recipe: Model, image: Image, truth: Truth) -> tuple[Case, Case]:
    """What each pair of heads finds by itself."""
    square, placement = fit(image, recipe.size, recipe.fit)
    scores, deltas = (part[0].numpy() for part in model(torch.from_numpy(square)[None]))
    height, width = image.shape[:2]
    cases: list[Case] = []
    for part in (slice(model.own), slice(model.own, None)):
        reader = HeadReader(CornerGrid(len(scores[part])), recipe.size, IOU, prominence=0.0)
        boxes, found = reader.read(scores[part], deltas[part], placement, (height, width), min_score=FLOOR, limit=KEPT)
        pixels = (boxes * np.array([width, height, width, height])).astype(np.float32)
        cases.append(Case(width, height, truth, Detections(pixels, found.max(axis=1), found.argmax(axis=1))))
    return cases[0], cases[1]


def _scenes(library: Library) -> Iterator[tuple[Image, Truth]]:
    """New composites of the cut-outs that were trained on, half of them with small objects."""
    scenes = Scenes(library, _SIDE, small=_SMALL)
    for seed in range(_SCENES):
        image, truth = scenes.make(np.random.default_rng((78, seed)))
        if len(truth.boxes):
            yield image, truth


def _singles(library: Library, count: int) -> Iterator[tuple[Image, Truth]]:
    """Photos of one thing, some of those that were trained on."""
    for i in np.random.default_rng(0).permutation(len(library.single))[:count]:
        yield library.single[i].pixels, library.single[i].truth


def best_power(cases: Sequence[Case]) -> float:
    """The first of the powers with the highest recall of the main object, averaged over neighbouring powers."""
    recall = np.array([[_finds_main(case, power) for case in cases] for power in _POWERS], float).mean(axis=1)
    padded = np.pad(recall, _SMOOTHED, mode="edge")
    smooth = np.convolve(padded, np.full(2 * _SMOOTHED + 1, 1 / (2 * _SMOOTHED + 1)), mode="valid")
    return _POWERS[int(smooth.argmax())]


def _finds_main(case: Case, power: float) -> bool:
    if not len(case.found.boxes):
        return False
    share = geometry.areas(case.found.boxes) / (case.width * case.height)
    first = int((case.found.scores * share**power).argmax())
    overlap = geometry.iou(case.truth.boxes[[case.main]], case.found.boxes[[first]])
    return bool(overlap[0, 0] >= IOU)
