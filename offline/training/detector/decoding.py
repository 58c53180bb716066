"""From a detector's raw heads to boxes as they are measured, far below the threshold of serving."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from offline.training.detector.measures import Detections
from shiwu.inference.manifest import DetectorManifest
from shiwu.vision import boxes as geometry
from shiwu.vision.resize import Placement

KEPT: Final = 50
"""Boxes of one picture at most."""
_CANDIDATES: Final = 300
_FLOOR: Final = 0.01
"""Average precision looks at boxes far below the serving threshold."""


class Decoder:
    """Reads the raw heads of one detector."""

    def __init__(self, manifest: DetectorManifest) -> None:
        self._nms_iou = manifest.nms_iou
        self._anchors = manifest.anchors.grid().boxes(manifest.preprocessing.size)

    def read(
        self, scores: NDArray[np.float32], deltas: NDArray[np.float32], placement: Placement, width: int, height: int
    ) -> Detections:
        """Boxes in pixels of the picture, each with its best category; suppression does not look at categories.

        scores: (anchors, labels). deltas: (anchors, 4). placement: where the picture lies in the model's square.
        """
        best = scores.max(axis=1)
        order = np.argsort(-best, kind="stable")[:_CANDIDATES]
        order = order[best[order] > _FLOOR]
        boxes = placement.to_image(geometry.decode(deltas[order], self._anchors[order]))
        boxes = geometry.clip(boxes, width, height)
        kept = geometry.nms(boxes, best[order], self._nms_iou, KEPT)
        chosen = order[kept]
        return Detections(boxes[kept], best[chosen], scores[chosen].argmax(axis=1).astype(np.int64))
