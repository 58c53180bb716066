"""What a detector's manifest may say of its head."""

from typing import Any

import pytest
from pydantic import ValidationError

from shiwu.inference.manifest import DetectorManifest
from shiwu.vision.anchors import AnchorGrid
from shiwu.vision.corners import CornerGrid
from shiwu.vision.points import PointGrid

COMMON: dict[str, Any] = {
    "name": "heads",
    "version": "1",
    "file": "none",
    "sha256": "0" * 64,
    "inputs": (),
    "outputs": (),
    "preprocessing": {"size": 64, "fit": "letterbox"},
    "task": "detection",
    "labels": ("toys",),
    "min_score": 0.3,
    "nms_iou": 0.5,
}
ANCHORS = {"strides": (16, 32), "sizes": (16.0, 40.0), "scales": (1.0,), "ratios": (0.5, 2.0)}
POINTS = {"strides": (8, 16)}


def test_either_head_gives_its_grid() -> None:
    grid = DetectorManifest.model_validate(COMMON | {"anchors": ANCHORS}).grid
    assert grid == AnchorGrid((16, 32), (16.0, 40.0), (1.0,), (0.5, 2.0))
    assert DetectorManifest.model_validate(COMMON | {"points": POINTS}).grid == PointGrid((8, 16))
    assert DetectorManifest.model_validate(COMMON | {"corners": {"count": 7}}).grid == CornerGrid(7)


@pytest.mark.parametrize(
    ("head", "named"),
    [
        ({}, "either anchors or points"),
        ({"anchors": ANCHORS, "points": POINTS}, "either anchors or points"),
        ({"points": POINTS, "corners": {"count": 7}}, "either anchors or points, or corners"),
        ({"corners": {"count": 0}}, "greater than 0"),
        ({"anchors": ANCHORS | {"sizes": (16.0,)}}, "2 strides and 1 sizes"),
        ({"anchors": ANCHORS | {"sizes": (16.0, -1.0)}}, "greater than 0"),
        ({"points": {"strides": ()}}, "at least 1"),
        ({"points": {"strides": (8, 0)}}, "greater than 0"),
        ({"points": POINTS | {"ratios": (1.0,)}}, "not permitted"),
    ],
)
def test_nonsense_is_refused(head: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        DetectorManifest.model_validate(COMMON | head)
