"""From a detector's raw heads to boxes in the picture."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from shiwu.vision import boxes as geometry
from shiwu.vision.anchors import AnchorGrid
from shiwu.vision.boxes import Boxes
from shiwu.vision.corners import CornerGrid
from shiwu.vision.points import PointGrid
from shiwu.vision.resize import Placement

Grid = AnchorGrid | PointGrid | CornerGrid

_CANDIDATES: Final = 300
"""Only so many of the best candidates meet in the suppression, whose cost is quadratic."""
_TINY: Final = float(np.finfo(np.float32).tiny)
"""Scores may all be 0."""


class HeadReader:
    """Reads the heads of one model, which answer as `grid` says for a square of `size` pixels.

    prominence: boxes are ranked by score times their share of the picture to this power; 0: by score alone.
    """

    def __init__(self, grid: Grid, size: int, nms_iou: float, prominence: float) -> None:
        self._grid = grid
        self._size = size
        self._nms_iou = nms_iou
        self._prominence = prominence
        self._references = grid.boxes(size)

    def __len__(self) -> int:
        """How many answers a picture gets."""
        return len(self._references)

    def read(
        self,
        scores: NDArray[np.float32],
        deltas: NDArray[np.float32],
        placement: Placement,
        shape: tuple[int, ...],
        *,
        min_score: float,
        limit: int,
    ) -> tuple[Boxes, NDArray[np.float32]]:
        """Boxes (n, 4) as shares of the picture, 0 <= min < max <= 1, and their scores (n, labels), main one first.

        scores: (anchors, labels). deltas: (anchors, 4). placement: where the picture, of height and width `shape`, lies
        in the square. Of at most `limit` boxes each scores at least min_score. A box is suppressed by a better one,
        whatever their labels, when their IoU exceeds nms_iou: one thing in two categories is still one thing. It has a
        say in which it is.
        """
        chosen = _candidates(scores, min_score)
        found = scores[chosen]
        height, width = shape[:2]
        with np.errstate(over="ignore"):  # a box at infinity lies outside like any other
            boxes = placement.to_image(self._grid.decode(deltas[chosen], self._references[chosen]))
        shares = np.asarray(boxes / np.array([width, height, width, height]), np.float32)
        boxes = geometry.clip(shares, 1.0, 1.0)
        # What lies in the gray border, or is thinner than a pixel that the model saw, is no object in the picture.
        solid = ((boxes[:, 2:] - boxes[:, :2]) * self._size >= 1.0).all(axis=1)
        boxes, found = boxes[solid], found[solid]
        kept = geometry.nms(boxes, found.max(axis=1), self._nms_iou, len(boxes))
        rank = found[kept].max(axis=1) * geometry.areas(boxes[kept]) ** self._prominence
        ranked = kept[np.argsort(-rank, kind="stable")[:limit]]
        near = geometry.iou(boxes[ranked], boxes) > self._nms_iou
        near[np.arange(len(ranked)), ranked] = True  # also where nothing is suppressed
        return boxes[ranked], _voted(found, ranked, near)


def _voted(scores: NDArray[np.float32], kept: NDArray[np.intp], near: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Scores of the kept boxes, (kept, labels): the best of each stays its best, for the labels all near boxes vote.

    scores: (boxes, labels). near: (kept, boxes), which boxes lie where a kept one does. A box votes for each label with
    its best score times the label's share of its scores, as in Weighted Boxes Fusion (Solovyev et al., 2021), which
    averages the corners, too.
    """
    best = scores.max(axis=1, keepdims=True)
    votes = near @ (best * scores / np.maximum(scores.sum(axis=1, keepdims=True), _TINY))
    return np.asarray(best[kept] * votes / np.maximum(votes.max(axis=1, keepdims=True), _TINY), np.float32)


def _candidates(scores: NDArray[np.float32], min_score: float) -> NDArray[np.intp]:
    """Anchors whose best score reaches min_score, in anchor order; the best of them only, if they are many."""
    # Comparing all and then looking at the few is much faster than a maximum over the short axis of all.
    anchors = np.unique(np.flatnonzero(scores >= np.float32(min_score)) // scores.shape[1])
    if len(anchors) <= _CANDIDATES:
        return anchors
    best = np.argsort(-scores[anchors].max(axis=1), kind="stable")[:_CANDIDATES]
    return np.sort(anchors[best])
