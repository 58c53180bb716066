"""Where a head answers, and how its four numbers mean a box: RetinaNet's anchors or FCOS's points."""

from __future__ import annotations

import math
from typing import Final

from torch import Tensor

from offline.training.detector.config import Model
from shiwu.vision.anchors import AnchorGrid
from shiwu.vision.points import PointGrid

STRIDES: Final = (8, 16, 32, 64)
_ANCHOR: Final = 3.0 / 320
"""Side of a level's square anchor, in strides and inputs: 24 to 192 px for an input of 320."""

Layout = AnchorGrid | PointGrid


def per_answer(x: Tensor, width: int) -> Tensor:
    """A convolution's (batch, per_cell * width, rows, columns) to (batch, rows * columns * per_cell, width)."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, width)


def layout_of(model: Model) -> Layout:
    """Anchors keep their size relative to the picture: of 320 px they cover 24 to 272.

    P7 would start beyond the picture, and what is below 20 px is no product to search for.
    """
    if model.head == "points":
        return PointGrid(STRIDES)
    sizes = tuple(stride * model.size * _ANCHOR for stride in STRIDES)
    return AnchorGrid(STRIDES, sizes, scales=(1.0, math.sqrt(2.0)), ratios=(0.5, 1.0, 2.0))
