"""Box arithmetic against slow and obvious versions."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shiwu.vision import boxes as geometry

_corner = st.floats(0, 64, width=32, allow_subnormal=False)


@st.composite
def some_boxes(draw: st.DrawFn, most: int = 12) -> np.ndarray:
    count = draw(st.integers(0, most))
    points = draw(arrays(np.float32, (count, 2, 2), elements=_corner))
    return np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)


def obvious_iou(a: np.ndarray, b: np.ndarray) -> float:
    width = max(0.0, float(min(a[2], b[2])) - float(max(a[0], b[0])))
    height = max(0.0, float(min(a[3], b[3])) - float(max(a[1], b[1])))
    both = width * height
    either = float((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])) - both
    return both / either if either > 0 else 0.0


@given(some_boxes(), some_boxes())
def test_iou(a: np.ndarray, b: np.ndarray) -> None:
    table = geometry.iou(a, b)
    assert table.shape == (len(a), len(b))
    for i, first in enumerate(a):
        for j, second in enumerate(b):
            assert abs(table[i, j] - obvious_iou(first, second)) < 1e-3


@given(some_boxes(), st.data())
def test_nms_keeps_just_what_no_better_kept_box_covers(boxes: np.ndarray, data: st.DataObject) -> None:
    count = len(boxes)
    scores = data.draw(arrays(np.float32, count, elements=st.floats(0, 1, width=16)))
    limit = data.draw(st.integers(1, 15))
    threshold = data.draw(st.sampled_from([0.0, 0.3, 0.5, 0.9]))
    kept: list[int] = []
    for i in sorted(range(count), key=lambda i: (-scores[i], i)):
        if all(geometry.iou(boxes[[k]], boxes[[i]])[0, 0] <= threshold for k in kept) and len(kept) < limit:
            kept.append(i)
    assert geometry.nms(boxes, scores, threshold, limit).tolist() == kept


def test_decode_undoes_encode() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 200, (50, 2))
    boxes = np.concatenate([low, low + rng.uniform(2, 100, (50, 2))], axis=1).astype(np.float32)
    anchors = np.roll(boxes, 7, axis=0)
    assert np.allclose(geometry.decode(geometry.encode(boxes, anchors), anchors), boxes, atol=1e-2)


def test_a_wild_regression_output_gives_no_infinite_box() -> None:
    anchors = np.array([[0, 0, 10, 10]], np.float32)
    assert np.isfinite(geometry.decode(np.array([[0, 0, 1e30, 50]], np.float32), anchors)).all()


def test_clip_cuts_to_the_rectangle() -> None:
    boxes = np.array([[-5, 2, 30, 70]], np.float32)
    assert geometry.clip(boxes, 20, 50).tolist() == [[0, 2, 20, 50]]
