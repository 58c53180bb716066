"""Anchor boxes of a feature pyramid (Lin et al., Focal Loss for Dense Object Detection, ICCV 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiwu.vision import boxes as geometry
from shiwu.vision.boxes import Boxes


@dataclass(frozen=True, slots=True)
class AnchorGrid:
    """How a pyramid lays its anchors: one base size per level, every scale and ratio at every cell.

    strides: pixels between cells, one per level.
    sizes: side in pixels of the square anchor, one per level.
    scales: factors on the size. ratios: height over width.
    """

    strides: tuple[int, ...]
    sizes: tuple[float, ...]
    scales: tuple[float, ...]
    ratios: tuple[float, ...]

    @property
    def per_cell(self) -> int:
        return len(self.scales) * len(self.ratios)

    def boxes(self, size: int) -> Boxes:
        """All anchors of a square input of `size` pixels, (n, 4), by level, then row, column, ratio, scale."""
        levels = [
            _level(size, stride, _cell(base, self.scales, self.ratios))
            for stride, base in zip(self.strides, self.sizes, strict=True)
        ]
        return np.concatenate(levels)

    def encode(self, boxes: Boxes, references: Boxes) -> Boxes:
        """`shiwu.vision.boxes.encode` against the anchors given as references."""
        return geometry.encode(boxes, references)

    def decode(self, outputs: Boxes, references: Boxes) -> Boxes:
        """The inverse of `encode`."""
        return geometry.decode(outputs, references)


def cell_centres(size: int, stride: int) -> NDArray[np.float32]:
    """Middles of a level's cells, x and y in pixels, (n, 2), by row, then column."""
    cells = -(-size // stride)
    centres = ((np.arange(cells) + 0.5) * stride).astype(np.float32)
    y, x = np.meshgrid(centres, centres, indexing="ij")
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def _cell(base: float, scales: Sequence[float], ratios: Sequence[float]) -> Boxes:
    """Anchors around the origin, (ratios * scales, 4); every ratio keeps the area."""
    size = base * np.tile(np.asarray(scales, np.float32), len(ratios))
    stretch = np.sqrt(np.repeat(np.asarray(ratios, np.float32), len(scales)))
    half = np.stack([size / stretch, size * stretch], axis=1) / 2
    return np.concatenate([-half, half], axis=1).astype(np.float32)


def _level(size: int, stride: int, cell: Boxes) -> Boxes:
    shifts = np.tile(cell_centres(size, stride), 2)[:, None]
    boxes: Boxes = (shifts + cell).reshape(-1, 4)
    return boxes
