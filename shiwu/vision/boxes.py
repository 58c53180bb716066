"""Axis-aligned boxes as float32 arrays of shape (n, 4): x_min, y_min, x_max, y_max.

The unit is the caller's (pixels or shares of the image); every function keeps it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]

# A box may grow by at most this factor from its anchor; larger predictions are noise and would overflow exp().
_MAX_LOG_SCALE = math.log(1000.0 / 16.0)


def areas(boxes: Boxes) -> NDArray[np.float32]:
    """Area of each box, shape (n,); an inverted box has area 0."""
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)
    product: NDArray[np.float32] = size[:, 0] * size[:, 1]
    return product


def iou(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Intersection over union of every pair, shape (len(a), len(b)); 0 where both are empty."""
    inter = _overlap(a, b, 0) * _overlap(a, b, 1)
    union = areas(a)[:, None] + areas(b)[None, :] - inter
    ratio: NDArray[np.float32] = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return ratio


def _overlap(a: Boxes, b: Boxes, axis: int) -> NDArray[np.float32]:
    """Length that every pair shares along one axis. By axis, since arrays (n, m, 2) cost several times as much."""
    length = np.minimum(a[:, None, axis + 2], b[None, :, axis + 2])
    length -= np.maximum(a[:, None, axis], b[None, :, axis])
    return np.maximum(length, 0.0, out=length)


def encode(boxes: Boxes, anchors: Boxes) -> Boxes:
    """Targets (dx, dy, dw, dh) of boxes against their anchors, both (n, 4) (Ren et al., Faster R-CNN, NIPS 2015)."""
    anchor_size = anchors[:, 2:] - anchors[:, :2]
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6)
    shift = ((boxes[:, :2] + boxes[:, 2:]) - (anchors[:, :2] + anchors[:, 2:])) / 2 / anchor_size
    return np.concatenate([shift, np.log(size / anchor_size)], axis=1).astype(np.float32)


def decode(deltas: Boxes, anchors: Boxes) -> Boxes:
    """The inverse of `encode`: boxes from regression outputs and their anchors, both (n, 4)."""
    anchor_size = anchors[:, 2:] - anchors[:, :2]
    centre = (anchors[:, :2] + anchors[:, 2:]) / 2 + deltas[:, :2] * anchor_size
    half = np.exp(np.minimum(deltas[:, 2:], _MAX_LOG_SCALE)) * anchor_size / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def clip(boxes: Boxes, width: float, height: float) -> Boxes:
    """Boxes cut to the rectangle (0, 0, width, height)."""
    return np.clip(boxes, 0.0, np.array([width, height, width, height], np.float32))


def nms(boxes: Boxes, scores: NDArray[np.float32], threshold: float, limit: int) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices of at most `limit` boxes kept, best score first.

    A box goes when its IoU with a better kept one exceeds `threshold`. Ties keep the earlier box.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = boxes[order]
    overlaps = iou(ranked, ranked) > threshold
    alive = np.ones(len(order), bool)
    kept: list[int] = []
    for i in range(len(order)):
        if not alive[i]:
            continue
        kept.append(i)
        if len(kept) == limit:
            break
        alive &= ~overlaps[i]
    return order[np.array(kept, np.intp)]
