"""From a detector's raw heads to boxes as they are measured, far below the threshold of serving."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from offline.training.detector.measures import Detections
from shiwu.inference.manifest import DetectorManifest
from shiwu.vision.heads import HeadReader
from shiwu.vision.resize import Placement

KEPT: Final = 50
"""Boxes of one picture at most."""
FLOOR: Final = 0.01
"""Average precision looks at boxes far below the serving threshold."""


class Decoder:
    """Reads the raw heads of one detector as the service does."""

    def __init__(self, manifest: DetectorManifest) -> None:
        size = manifest.preprocessing.size
        self._reader = HeadReader(manifest.grid, size, manifest.nms_iou, manifest.prominence)

    def read(
        self, scores: NDArray[np.float32], deltas: NDArray[np.float32], placement: Placement, width: int, height: int
    ) -> Detections:
        """Boxes in pixels of the picture, each with its best category; see `shiwu.vision.heads`."""
        shares, found = self._reader.read(scores, deltas, placement, (height, width), min_score=FLOOR, limit=KEPT)
        boxes = (shares * np.array([width, height, width, height])).astype(np.float32)
        return Detections(boxes, found.max(axis=1), found.argmax(axis=1).astype(np.int64))
