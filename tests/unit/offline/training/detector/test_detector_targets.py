"""Assignment of anchors against a slow and obvious version."""

import numpy as np
import pytest

from offline.training.detector.loss import IGNORED
from offline.training.detector.model import GRID
from offline.training.detector.targets import Truth, assign
from shiwu.vision import boxes as geometry

NOTHING = np.zeros((0, 4), np.float32)


def overlap(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    inter = width * height
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter), inter


def slow_assign(truth, anchors):
    """(objectness, category, index of the box) of every anchor, one at a time."""
    reached = [max(overlap(a, b)[0] for a in anchors) for b in truth.boxes]
    answers = []
    for anchor in anchors:
        area = (anchor[2] - anchor[0]) * (anchor[3] - anchor[1])
        objectness, category, index = 0.0, -1, -1
        for region in truth.ignored:
            iou, inter = overlap(anchor, region)
            if inter / area > 0.5 or iou >= 0.4:
                objectness = IGNORED
        ious = [overlap(anchor, b)[0] for b in truth.boxes]
        if ious:
            best = int(np.argmax(ious))
            if ious[best] >= 0.4:
                objectness = IGNORED
            if ious[best] >= 0.5:
                index = best
            for box, top in enumerate(reached):
                if 0 < top < 0.5 and ious[box] >= top - 1e-4:
                    index = box
        if index >= 0:
            objectness, category = 1.0, truth.categories[index]
        answers.append((objectness, category, index))
    return answers


@pytest.mark.parametrize("seed", range(4))
def test_assignment_equals_the_slow_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    anchors = GRID.boxes(128)
    low = rng.uniform(0, 90, (4, 2))
    boxes = np.concatenate([low, low + rng.uniform(3, 90, (4, 2))], axis=1).astype(np.float32)
    truth = Truth(boxes[:3], np.array([4, -1, 7]), boxes[3:] if seed % 2 else NOTHING)
    got = assign(truth, anchors)
    want = slow_assign(truth, anchors)
    np.testing.assert_array_equal(got.objectness, [w[0] for w in want])
    np.testing.assert_array_equal(got.categories, [w[1] for w in want])
    taken = [(i, w[2]) for i, w in enumerate(want) if w[2] >= 0]
    assert {index for _, index in taken} == {0, 1, 2}
    for anchor, index in taken:
        back = geometry.decode(got.deltas[[anchor]], anchors[[anchor]])
        np.testing.assert_allclose(back[0], truth.boxes[index], atol=1e-2)


def test_nothing_in_sight_means_all_negative() -> None:
    got = assign(Truth(NOTHING, np.zeros(0, np.int64), NOTHING), GRID.boxes(64))
    assert not got.objectness.any()
    assert (got.categories == -1).all()


def test_every_size_from_tiny_to_full_finds_an_anchor() -> None:
    anchors = GRID.boxes(320)
    for side in (14, 24, 50, 110, 200, 320):
        box = np.array([[160 - side / 2, 160 - side / 2, 160 + side / 2, 160 + side / 2]], np.float32)
        got = assign(Truth(box, np.array([0]), NOTHING), anchors)
        assert (got.objectness == 1).any()
