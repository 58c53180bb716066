"""Which of a teacher's boxes are believed."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from offline.training.detector.library import Library
from offline.training.detector.measures import Detections
from offline.training.detector.pseudo import add_pseudo_boxes, central

PICTURE = np.zeros((60, 80, 3), np.uint8)
MIDDLE, CORNER = [20, 10, 60, 50], [0, 0, 20, 20]


def found(*boxes: list[int], scores: tuple[float, ...]) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.zeros(len(boxes), np.int64)
    )


@pytest.mark.parametrize(
    ("detections", "believed"),
    [
        (found(MIDDLE, CORNER, scores=(0.8, 0.7)), True),
        (found(CORNER, MIDDLE, scores=(0.8, 0.7)), False),
        (found(MIDDLE, scores=(0.2,)), False),
        (found(scores=()), False),
    ],
)
def test_only_a_sure_box_over_the_middle_is_believed(detections: Detections, believed: bool) -> None:
    box = central(detections, PICTURE)
    assert (box is not None) == believed
    if box is not None:
        assert box.tolist() == [MIDDLE]


def test_only_photos_for_training_are_boxed(tmp_path: Path) -> None:
    folder = tmp_path / "grocery"
    folder.mkdir()
    rows: list[dict[str, Any]] = []
    for i, (role, split) in enumerate([("photo", "train"), ("photo", "val"), ("merchant", "train")]):
        cv2.imwrite(str(folder / f"{i}.png"), np.full_like(PICTURE, 50 * i))
        empty = dict.fromkeys(("product_id", "style_id", "label", "title", "price", "currency", "boxes"))
        rows.append({**empty, "image": f"{i}.png", "role": role, "category": "food", "split": split})
    (folder / "items.jsonl").write_text("\n".join(json.dumps(row) for row in rows))

    class Teacher:
        def detect(self, image: np.ndarray) -> Detections:
            return found(MIDDLE, scores=(0.9,))

    library = Library()
    add_pseudo_boxes(library, tmp_path, Teacher())  # type: ignore[arg-type]
    (photo,) = library.single
    assert photo.pixels.max() == 0
    assert photo.truth.boxes.tolist() == [MIDDLE]
    add_pseudo_boxes(library, tmp_path, Teacher())  # type: ignore[arg-type]
    assert len(library.single) == 1
