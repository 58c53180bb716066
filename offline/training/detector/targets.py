"""Which anchor answers for which box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from offline.training.detector.loss import IGNORED
from shiwu.vision import boxes as geometry
from shiwu.vision.boxes import Boxes

_POSITIVE_IOU: Final = 0.5
_NEGATIVE_IOU: Final = 0.4
_INSIDE: Final = 0.5
"""An anchor lying by more than this share in an ignored region teaches nothing."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is in a picture of SIZE pixels a side."""

    boxes: Boxes
    """Products, (n, 4), pixels."""
    categories: NDArray[np.int64]
    """Index of each box's category, (n,); -1 where unknown."""
    ignored: Boxes
    """Regions that may or may not be products, (m, 4), pixels."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """`loss.Targets` of one picture, without the batch axis."""

    objectness: NDArray[np.float32]
    categories: NDArray[np.int64]
    deltas: NDArray[np.float32]


def assign(truth: Truth, anchors: Boxes) -> Assignment:
    """Anchors (n, 4) to their boxes by IoU, with the thresholds of the RetinaNet paper.

    From 0.5 on an anchor is positive for the box that it overlaps most, below 0.4 negative, between ignored. A box
    that no anchor reaches takes the anchors that overlap it most, so that none goes untaught.
    """
    objectness = np.zeros(len(anchors), np.float32)
    categories = np.full(len(anchors), -1, np.int64)
    deltas = np.zeros((len(anchors), 4), np.float32)
    if len(truth.ignored):
        objectness[_covered(anchors, truth.ignored) > _INSIDE] = IGNORED
        objectness[geometry.iou(anchors, truth.ignored).max(axis=1) >= _NEGATIVE_IOU] = IGNORED
    if len(truth.boxes):
        overlaps = geometry.iou(anchors, truth.boxes)
        nearest, best = overlaps.argmax(axis=1), overlaps.max(axis=1)
        objectness[best >= _NEGATIVE_IOU] = IGNORED
        positive = best >= _POSITIVE_IOU
        for box, reached in enumerate(overlaps.max(axis=0)):
            if 0 < reached < _POSITIVE_IOU:
                forced = overlaps[:, box] >= reached - 1e-4
                nearest[forced] = box
                positive |= forced
        objectness[positive] = 1.0
        categories[positive] = truth.categories[nearest[positive]]
        deltas[positive] = geometry.encode(truth.boxes[nearest[positive]], anchors[positive])
    return Assignment(objectness, categories, deltas)


def _covered(anchors: Boxes, regions: Boxes) -> NDArray[np.float32]:
    """Largest share of each anchor that lies in one of the regions, (n,)."""
    low = np.maximum(anchors[:, None, :2], regions[None, :, :2])
    high = np.minimum(anchors[:, None, 2:], regions[None, :, 2:])
    inter = np.maximum(high - low, 0.0).prod(axis=2)
    share: NDArray[np.float32] = (inter / geometry.areas(anchors)[:, None]).max(axis=1)
    return share
