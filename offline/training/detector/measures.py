"""Figures that tell how good a detector is, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from offline.training.detector.targets import Truth
from shiwu.vision import boxes as geometry
from shiwu.vision.boxes import Boxes

IOU: Final = 0.5
IOUS: Final = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
"""COCO's thresholds, .5 to .95."""
_RESAMPLES: Final = 1000
_FEWER: Final = 200
"""Resamples of an average precision, which takes long to work out."""


@dataclass(frozen=True, slots=True)
class Detections:
    """Boxes found in one picture, the main one first."""

    boxes: Boxes
    scores: NDArray[np.float32]
    categories: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Figure:
    """A share or precision with its 95 % bootstrap interval over pictures."""

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (n={self.count})"


@dataclass(frozen=True, slots=True)
class Case:
    """One picture: its size, what is in it and what was found."""

    width: int
    height: int
    truth: Truth
    found: Detections

    @property
    def main(self) -> int:
        """Index of the biggest product box."""
        return int(geometry.areas(self.truth.boxes).argmax())

    @property
    def main_share(self) -> float:
        return float(geometry.areas(self.truth.boxes)[self.main]) / (self.width * self.height)


def share(values: Sequence[float]) -> Figure:
    """The mean of one value per picture."""
    numbers = np.array(values, float)
    return _bootstrap(len(numbers), lambda chosen: float(numbers[chosen].mean()))


def hits(case: Case, top: int) -> bool:
    """Whether one of the `top` best boxes meets the main object."""
    overlaps = geometry.iou(case.truth.boxes[[case.main]], case.found.boxes[:top])
    return bool((overlaps >= IOU).any())


def hits_any(case: Case) -> bool:
    """Whether the best box meets some product."""
    return bool((geometry.iou(case.truth.boxes, case.found.boxes[:1]) >= IOU).any())


def centre_hits(case: Case, side: float) -> bool:
    """Whether the centre crop with `side` of the picture's sides meets the main object."""
    middle = np.array([case.width, case.height] * 2, np.float32) / 2
    half = middle * side
    crop = (middle + half * np.array([-1, -1, 1, 1], np.float32)).astype(np.float32)[None]
    return bool(geometry.iou(case.truth.boxes[[case.main]], crop)[0, 0] >= IOU)


def main_category(case: Case) -> bool | None:
    """Whether the best box that meets the main object names its category; None where neither applies."""
    wanted = int(case.truth.categories[case.main])
    overlaps = geometry.iou(case.truth.boxes[[case.main]], case.found.boxes)[0]
    met = np.flatnonzero(overlaps >= IOU)
    return None if wanted < 0 or not len(met) else int(case.found.categories[met[0]]) == wanted


def hits_above(case: Case, least: float) -> bool:
    """Whether one of the boxes that score at least `least` meets the main object."""
    overlaps = geometry.iou(case.truth.boxes[[case.main]], case.found.boxes[case.found.scores >= least])
    return bool((overlaps >= IOU).any())


def average_precision(cases: Sequence[Case], category: int | None = None, ious: Sequence[float] = (IOU,)) -> Figure:
    """AP over products of one category or of any: all points (PASCAL VOC 2010 rule), mean over the IoU thresholds.

    With None a find counts whatever category it names. Finds in ignored regions count neither way.
    """
    return mean_average_precision(cases, (category,), ious)


def mean_average_precision(
    cases: Sequence[Case], categories: Sequence[int | None], ious: Sequence[float] = (IOU,)
) -> Figure:
    """Mean of the APs of those categories that the cases hold, resampled together (COCO's mAP for IOUS, but for its
    interpolation at 101 points); n counts the pictures."""
    judged = [[[judge(case, category, iou) for case in cases] for iou in ious] for category in categories]

    def mean(chosen: NDArray[np.intp]) -> float:
        each = [_precision([judged_now[i] for i in chosen]) for of_one in judged for judged_now in of_one]
        known = [value for value in each if not np.isnan(value)]
        return float(np.mean(known)) if known else float("nan")

    return _bootstrap(len(cases), mean, _FEWER)


Judged = tuple[NDArray[np.float32], NDArray[np.bool_], int]


def judge(case: Case, category: int | None, least: float) -> Judged:
    """Scores of the finds that count, the best first, whether each is right, and how many products there are.

    category, None for any: see `average_precision`. A find is right if it overlaps by at least `least` (IoU).
    """
    wanted = case.truth.boxes if category is None else case.truth.boxes[case.truth.categories == category]
    named = np.ones(len(case.found.boxes), bool) if category is None else case.found.categories == category
    by_score = np.argsort(-case.found.scores[named], kind="stable")
    boxes, scores = case.found.boxes[named][by_score], case.found.scores[named][by_score]
    free = np.ones(len(wanted), bool)
    right, counted = np.zeros(len(boxes), bool), np.ones(len(boxes), bool)
    overlaps, excused = geometry.iou(boxes, wanted), geometry.iou(boxes, case.truth.ignored)
    for i in range(len(boxes)):
        candidates = np.where(free, overlaps[i], 0.0)
        if len(wanted) and candidates.max() >= least:
            free[candidates.argmax()] = False
            right[i] = True
        elif len(case.truth.ignored) and excused[i].max() >= least:
            counted[i] = False
    return scores[counted], right[counted], len(wanted)


def _precision(judged: Sequence[Judged]) -> float:
    total = sum(count for _, _, count in judged)
    if not total:
        return float("nan")
    scores = np.concatenate([s for s, _, _ in judged])
    right = np.concatenate([r for _, r, _ in judged])[np.argsort(-scores, kind="stable")]
    found = np.cumsum(right)
    precision = found / np.arange(1, len(found) + 1)
    # From each rank on, the best precision still to come.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[right].sum() / total)


def _bootstrap(count: int, statistic: Callable[[NDArray[np.intp]], float], resamples: int = _RESAMPLES) -> Figure:
    if not count:
        return Figure(float("nan"), float("nan"), float("nan"), 0)
    rng = np.random.default_rng(0)
    values = [statistic(rng.integers(0, count, count)) for _ in range(resamples)]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Figure(statistic(np.arange(count)), float(low), float(high), count)
