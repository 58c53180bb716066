"""One point per cell of a feature pyramid, as in FCOS (Tian et al., ICCV 2019)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from shiwu.vision.anchors import cell_centres
from shiwu.vision.boxes import Boxes

_MAX_LOG_DISTANCE: Final = math.log(1000.0 / 16.0)
"""A side lies at most so many strides away, as an exponent; larger predictions are noise and would overflow exp()."""


@dataclass(frozen=True, slots=True)
class PointGrid:
    """Where a pyramid has its points: the middle of every cell.

    strides: pixels between cells, one per level.
    """

    strides: tuple[int, ...]

    @property
    def per_cell(self) -> int:
        return 1

    def boxes(self, size: int) -> Boxes:
        """The points of a square input of `size` pixels, (n, 4), by level, then row, column.

        A point is given as the square that reaches one stride to each side, the box that distances of 1 mean.
        """
        return np.concatenate([_level(size, stride) for stride in self.strides])

    def encode(self, boxes: Boxes, references: Boxes) -> Boxes:
        """Targets: logarithms of the distances to the left, top, right and bottom side, in strides.

        boxes, references: (n, 4), each point inside its box.
        """
        centre, stride = _centre_and_stride(references)
        distances = np.concatenate([centre - boxes[:, :2], boxes[:, 2:] - centre], axis=1)
        targets: Boxes = np.log(np.maximum(distances, 1e-6) / stride).astype(np.float32)
        return targets

    def decode(self, outputs: Boxes, references: Boxes) -> Boxes:
        """The inverse of `encode`."""
        centre, stride = _centre_and_stride(references)
        distances = np.exp(np.minimum(outputs, _MAX_LOG_DISTANCE)) * stride
        return np.concatenate([centre - distances[:, :2], centre + distances[:, 2:]], axis=1).astype(np.float32)


def _level(size: int, stride: int) -> Boxes:
    centres = cell_centres(size, stride)
    half = np.float32(stride)
    return np.concatenate([centres - half, centres + half], axis=1)


def _centre_and_stride(references: Boxes) -> tuple[Boxes, Boxes]:
    """(n, 2) and (n, 1), pixels."""
    low, high = references[:, :2], references[:, 2:]
    return np.asarray((low + high) / 2, np.float32), np.asarray((high - low)[:, :1] / 2, np.float32)
