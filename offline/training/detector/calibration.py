"""What is set after training, on training material: how much size counts when objects are ranked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from offline.training.detector.composites import Scenes
from offline.training.detector.evaluate import Released
from offline.training.detector.library import Library
from offline.training.detector.measures import IOU, Case
from shiwu.vision import boxes as geometry

_SCENES: Final = 400
_SIDE: Final = 320
_SMALL: Final = 0.5
_POWERS: Final = tuple(round(0.05 * i, 2) for i in range(17))
_SMOOTHED: Final = 2
"""Neighbours on each side over which the recall is averaged: neighbouring powers differ by chance."""


def prominence_of(model: Released, library: Library) -> float:
    """The power of a box's share of the picture with which score times power finds the main object most often.

    Measured on new composites of the cut-outs that were trained on, half of them with small objects. Photos with drawn
    boxes that were trained on would not do: the network knows them by heart, and others are for measuring.
    """
    scenes, cases = Scenes(library, _SIDE, small=_SMALL), list[Case]()
    for seed in range(_SCENES):
        image, truth = scenes.make(np.random.default_rng((78, seed)))
        if len(truth.boxes):
            cases.append(Case(image.shape[1], image.shape[0], truth, model.detect(image)))
    return best_power(cases)


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
