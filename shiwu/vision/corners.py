"""Answers that are boxes already, as a graph gives them that decodes its heads itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shiwu.vision.boxes import Boxes


@dataclass(frozen=True, slots=True)
class CornerGrid:
    """`count` answers, each the corners of its box in shares of the square."""

    count: int

    def boxes(self, size: int) -> Boxes:
        """What the answers refer to, (count, 4): every time the square of `size` pixels."""
        return np.tile(np.array([0, 0, size, size], np.float32), (self.count, 1))

    def decode(self, outputs: Boxes, references: Boxes) -> Boxes:
        """Boxes (n, 4) in pixels, of shares of their references."""
        return np.asarray(outputs * references[:, [2, 3, 2, 3]], np.float32)
