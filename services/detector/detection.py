"""From pixels to objects: the square that the model reads, its raw heads, boxes and non-maximum suppression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiwu.inference.manifest import DetectorManifest
from shiwu.inference.runner import ModelError, ModelRunner
from shiwu.inference.tensors import require_finite
from shiwu.vision.boxes import Boxes
from shiwu.vision.heads import HeadReader
from shiwu.vision.resize import Image, Placement, fit

# Scores are sigmoids; float32 may leave 1 by this much.
_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class Objects:
    """What was found, the main object first (see the manifest's `prominence`)."""

    boxes: Boxes
    """(n, 4), shares of the picture, 0 <= min < max <= 1."""
    scores: NDArray[np.float32]
    """(n, labels), 0 to 1 each; the highest of a row is the object's score."""


class Detector:
    """One detector: the square that its model reads, and what the model's answers mean."""

    def __init__(self, manifest: DetectorManifest, runner: ModelRunner) -> None:
        self.manifest = manifest
        self._runner = runner
        self._reader = HeadReader(manifest.grid, manifest.preprocessing.size, manifest.nms_iou, manifest.prominence)

    async def detect(self, image: Image, *, min_score: float | None = None, max_objects: int = 20) -> Objects:
        """The objects in an upright picture, (h, w, 3).

        min_score: lower scores are left out; None: the model's own threshold.
        Raises ModelError when the model gives no sense, and what the runner raises.
        """
        how = self.manifest.preprocessing
        square, placement = fit(image, how.size, how.fit, how.fill)
        outputs = await self._runner.run({"image": square[None]})
        scores, deltas = outputs["scores"][0], outputs["deltas"][0]
        threshold = self.manifest.min_score if min_score is None else min_score
        return self.read(scores, deltas, placement, image.shape[:2], min_score=threshold, max_objects=max_objects)

    async def ready(self) -> bool:
        """Whether the model would answer."""
        return await self._runner.ready()

    def read(
        self,
        scores: NDArray[np.float32],
        deltas: NDArray[np.float32],
        placement: Placement,
        shape: tuple[int, ...],
        *,
        min_score: float,
        max_objects: int,
    ) -> Objects:
        """Objects from the raw heads of one picture: scores (answers, labels), deltas (answers, 4).

        placement: where the picture lies in the square. shape: its height and width.
        """
        self._check(scores, deltas)
        boxes, found = self._reader.read(scores, deltas, placement, shape, min_score=min_score, limit=max_objects)
        return Objects(boxes, np.minimum(found, 1.0))

    def _check(self, scores: NDArray[np.float32], deltas: NDArray[np.float32]) -> None:
        model = self.manifest.id
        anchors, labels = len(self._reader), len(self.manifest.labels)
        if scores.shape != (anchors, labels) or deltas.shape != (anchors, 4):
            msg = (
                f"model {model} gave scores {scores.shape} and deltas {deltas.shape}; "
                f"expected ({anchors}, {labels}) and ({anchors}, 4)"
            )
            raise ModelError(msg)
        require_finite("scores", scores, model)
        require_finite("deltas", deltas, model)
        low, high = scores.min(), scores.max()
        if low < -_ROUNDING or high > 1 + _ROUNDING:
            msg = f"model {model} gave scores from {low:g} to {high:g}; expected 0 to 1"
            raise ModelError(msg)
