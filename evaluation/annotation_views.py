"""Class activation maps beside boxes: what a map takes for the thing."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.annotation_sets import StudySet
from offline.annotation.cam import SIZE, ActivationMaps, CamTrainer
from offline.annotation.heads import HeadTrainer
from offline.annotation.material import Boxed
from offline.training.detector.measures import IOU
from offline.training.detector.model import RetinaNet
from shiwu.vision import boxes as geometry
from shiwu.vision.resize import Image, fit

_COLUMNS: Final = 6
_SIDE: Final = 170
_TRUE, _CAM, _HEADS = (255, 210, 0), (255, 0, 0), (0, 200, 60)
_SURE: Final = 0.3


def draw_maps(
    of: StudySet, cam: tuple[CamTrainer, ActivationMaps], heads: tuple[HeadTrainer, RetinaNet], out: Path
) -> None:
    """A column for each of the first test pictures on which maps fail: above the map of one category with its box (red)
    and the true ones (yellow), below the boxes of the detector trained on boxes (green)."""
    columns: list[Image] = []
    for each in of.test:
        if len(columns) == _COLUMNS:
            break
        shown = _failing(of, each, cam)
        if shown is not None:
            columns.append(np.vstack([shown, _detected(of, each, heads)]))
    if columns:
        cv2.imwrite(str(out), cv2.cvtColor(np.hstack(columns), cv2.COLOR_RGB2BGR))


def _failing(of: StudySet, each: Boxed, cam: tuple[CamTrainer, ActivationMaps]) -> Image | None:
    """The map of the picture's first category whose box meets none of its things; None without one."""
    trainer, model = cam
    (found,) = trainer.predict(model, [each.picture])
    maps, _ = trainer.maps(model, each.picture)
    for category in np.unique(each.truth.categories).tolist():
        wanted = each.truth.boxes[each.truth.categories == category]
        box = found.boxes[found.categories == category]
        if len(box) and geometry.iou(box, wanted).max() < IOU:
            return _drawn(_heated(of.pictures[each.picture], maps[category]), of, each, ((wanted, _TRUE), (box, _CAM)))
    return None


def _detected(of: StudySet, each: Boxed, heads: tuple[HeadTrainer, RetinaNet]) -> Image:
    trainer, model = heads
    (found,) = trainer.predict(model, [each.picture])
    square, _ = fit(of.pictures[each.picture], SIZE, "letterbox")
    return _drawn(square, of, each, ((each.truth.boxes, _TRUE), (found.boxes[found.scores >= _SURE], _HEADS)))


def _heated(picture: Image, activation: NDArray[np.float32]) -> Image:
    """The letterboxed picture, red where the map is high."""
    square, _ = fit(picture, SIZE, "letterbox")
    heat = cv2.resize(np.maximum(activation, 0.0), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    level = (255 * heat / max(float(heat.max()), 1e-6)).astype(np.uint8)
    coloured = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
    return np.asarray(cv2.addWeighted(square, 0.55, coloured, 0.45, 0.0), np.uint8)


def _drawn(
    square: Image, of: StudySet, each: Boxed, layers: tuple[tuple[geometry.Boxes, tuple[int, int, int]], ...]
) -> Image:
    """Boxes in pixels of the picture on its square, shrunk to a tile."""
    _, placement = fit(of.pictures[each.picture], SIZE, "letterbox")
    canvas = square.copy()
    for boxes, colour in layers:
        for x1, y1, x2, y2 in placement.to_square(boxes).round().astype(int).tolist():
            cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, 3)
    return np.asarray(cv2.resize(canvas, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)
