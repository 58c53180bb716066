"""Photos with a category but no box, boxed by a detector that is already released (Lee, Pseudo-Label, 2013)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from tqdm import tqdm

from offline.training.detector.evaluate import Released
from offline.training.detector.library import Library, Photo, index_of, read
from offline.training.detector.measures import Detections
from offline.training.detector.targets import Truth
from offline.training.items import load_items
from shiwu.vision.boxes import Boxes
from shiwu.vision.resize import Image

_DATASET: Final = "grocery"
_SURE: Final = 0.4


def add_pseudo_boxes(library: Library, data: Path, teacher: Released) -> None:
    """Adds the grocery photos for training that no match has boxed, where the teacher is sure of what is in the middle.

    The photo tells the category; other articles around stay unlabelled, as in the matched photos.
    """
    known = {photo.pixels.tobytes() for photo in library.single}
    for item in tqdm(load_items(data, [_DATASET]), desc="pseudo-boxes", unit="photo"):
        if item.role != "photo" or item.split != "train":
            continue
        pixels = read(item.path)
        if pixels.tobytes() in known:
            continue
        box = central(teacher.detect(pixels), pixels)
        if box is not None:
            truth = Truth(box, np.array([index_of(item.category)], np.int64), np.zeros((0, 4), np.float32))
            library.single.append(Photo(pixels, truth, f"{item.dataset} {item.label}"))


def central(found: Detections, pixels: Image) -> Boxes | None:
    """The first box, (1, 4) pixels, if it is sure and holds the middle of the picture."""
    if not len(found.boxes) or found.scores[0] < _SURE:
        return None
    x1, y1, x2, y2 = found.boxes[0]
    y, x = pixels.shape[0] / 2, pixels.shape[1] / 2
    return found.boxes[:1] if x1 < x < x2 and y1 < y < y2 else None
