"""Which anchor or point answers for which box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from offline.training.detector.layout import Layout
from offline.training.detector.loss import IGNORED
from shiwu.vision import boxes as geometry
from shiwu.vision.anchors import AnchorGrid
from shiwu.vision.boxes import Boxes

_POSITIVE_IOU: Final = 0.5
_NEGATIVE_IOU: Final = 0.4
_INSIDE: Final = 0.5
"""An anchor lying by more than this share in an ignored region teaches nothing."""
_RADIUS: Final = 1.5
"""A point answers for a box whose middle is at most so many strides away, for x and for y (FCOS, centre sampling)."""
_REACH: Final = 4.0
"""A level answers for boxes whose farthest side is at most so many strides away, and more than half as many."""
_LEAST_PROMINENCE: Final = 0.4


@dataclass(frozen=True, slots=True)
class Truth:
    """What is in a picture."""

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


def assign(truth: Truth, layout: Layout, references: Boxes) -> Assignment:
    """What the layout's anchors or points, (n, 4) as its `boxes` gives them, should answer.

    Positive ones carry their product's prominence; those of no product, but in an ignored region, teach nothing.
    """
    if isinstance(layout, AnchorGrid):
        nearest, positive, ignored = _by_overlap(truth, references)
    else:
        nearest, positive, ignored = _by_place(truth, references)
    objectness = np.zeros(len(references), np.float32)
    categories = np.full(len(references), -1, np.int64)
    deltas = np.zeros((len(references), 4), np.float32)
    objectness[ignored] = IGNORED
    if positive.any():
        chosen = nearest[positive]
        objectness[positive] = prominence(truth.boxes)[chosen]
        categories[positive] = truth.categories[chosen]
        deltas[positive] = layout.encode(truth.boxes[chosen], references[positive])
    return Assignment(objectness, categories, deltas)


def prominence(boxes: Boxes) -> NDArray[np.float32]:
    """How much each product of a picture counts, (n,): 1 for the biggest, less for smaller ones beside it.

    Consumers read the main object off the best score alone, so the biggest product must win, however small it is.
    """
    areas = geometry.areas(boxes)
    relative: NDArray[np.float32] = (areas / areas.max()) ** np.float32(0.25)
    return np.maximum(relative, np.float32(_LEAST_PROMINENCE))


_Assigned = tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.bool_]]
"""For every anchor or point: its box, whether it answers for it, whether it teaches nothing otherwise."""


def _by_overlap(truth: Truth, anchors: Boxes) -> _Assigned:
    """By IoU, with the thresholds of the RetinaNet paper.

    From 0.5 on an anchor is positive for the box that it overlaps most, below 0.4 negative, between ignored. A box
    that no anchor reaches takes the anchors that overlap it most, so that none goes untaught.
    """
    nearest = np.zeros(len(anchors), np.intp)
    positive, ignored = np.zeros(len(anchors), bool), np.zeros(len(anchors), bool)
    if len(truth.ignored):
        ignored |= _covered(anchors, truth.ignored) > _INSIDE
        ignored |= geometry.iou(anchors, truth.ignored).max(axis=1) >= _NEGATIVE_IOU
    if len(truth.boxes):
        overlaps = geometry.iou(anchors, truth.boxes)
        nearest, best = overlaps.argmax(axis=1), overlaps.max(axis=1)
        ignored |= best >= _NEGATIVE_IOU
        positive = best >= _POSITIVE_IOU
        for box, reached in enumerate(overlaps.max(axis=0)):
            if 0 < reached < _POSITIVE_IOU:
                forced = overlaps[:, box] >= reached - 1e-4
                nearest[forced] = box
                positive |= forced
    return nearest, positive, ignored


def _by_place(truth: Truth, points: Boxes) -> _Assigned:
    """By where a point lies in a box, on the level that fits the box; the smaller of two boxes wins (FCOS).

    A box that no point reaches so, as long thin ones, takes the point nearest to its middle on the coarsest level
    that has points inside. One without any point inside, thinner than a cell, stays untaught.
    """
    nearest = np.zeros(len(points), np.intp)
    positive, ignored = np.zeros(len(points), bool), np.zeros(len(points), bool)
    centre = np.asarray((points[:, :2] + points[:, 2:]) / 2, np.float32)
    stride = np.asarray((points[:, 2] - points[:, 0]) / 2, np.float32)
    if len(truth.ignored):
        ignored |= np.any(_distances(centre, truth.ignored).min(axis=2) > 0, axis=1)
    if len(truth.boxes):
        distances = _distances(centre, truth.boxes)
        middles = (truth.boxes[:, :2] + truth.boxes[:, 2:]) / 2
        off = np.abs(centre[:, None] - middles[None]).max(axis=2)
        inside, farthest = distances.min(axis=2) > 0, distances.max(axis=2)
        low = np.where(stride == stride.min(), 0.0, _REACH / 2 * stride)
        high = np.where(stride == stride.max(), np.inf, _REACH * stride)
        fits = (farthest > low[:, None]) & (farthest <= high[:, None])
        answers = inside & fits & (off < _RADIUS * stride[:, None])
        for box in np.flatnonzero(~answers.any(axis=0) & inside.any(axis=0)):
            candidates = np.flatnonzero(inside[:, box] & (stride == stride[inside[:, box]].max()))
            answers[candidates[off[candidates, box].argmin()], box] = True
        nearest = np.where(answers, geometry.areas(truth.boxes)[None], np.inf).argmin(axis=1)
        positive = answers.any(axis=1)
    return nearest, positive, ignored


def _distances(centre: NDArray[np.float32], boxes: Boxes) -> NDArray[np.float32]:
    """From every point to the left, top, right and bottom of every box, (points, boxes, 4); negative outside."""
    low, high = centre[:, None] - boxes[None, :, :2], boxes[None, :, 2:] - centre[:, None]
    return np.concatenate([low, high], axis=2)


def _covered(anchors: Boxes, regions: Boxes) -> NDArray[np.float32]:
    """Largest share of each anchor that lies in one of the regions, (n,)."""
    low = np.maximum(anchors[:, None, :2], regions[None, :, :2])
    high = np.minimum(anchors[:, None, 2:], regions[None, :, 2:])
    inter = np.maximum(high - low, 0.0).prod(axis=2)
    share: NDArray[np.float32] = (inter / geometry.areas(anchors)[:, None]).max(axis=1)
    return share
