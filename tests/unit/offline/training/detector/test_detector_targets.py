"""Assignment of anchors and points against slow and obvious versions."""

import numpy as np
import pytest

from offline.training.detector.config import Model
from offline.training.detector.layout import layout_of
from offline.training.detector.loss import IGNORED
from offline.training.detector.targets import Truth, assign, prominence
from shiwu.vision import boxes as geometry
from shiwu.vision.points import PointGrid

NOTHING = np.zeros((0, 4), np.float32)
GRID = layout_of(Model())
POINTS = PointGrid((8, 16, 32, 64))


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
            objectness, category = prominence(truth.boxes)[index], truth.categories[index]
        answers.append((objectness, category, index))
    return answers


@pytest.mark.parametrize("seed", range(4))
def test_assignment_equals_the_slow_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    anchors = GRID.boxes(128)
    low = rng.uniform(0, 90, (4, 2))
    boxes = np.concatenate([low, low + rng.uniform(3, 90, (4, 2))], axis=1).astype(np.float32)
    truth = Truth(boxes[:3], np.array([4, -1, 7]), boxes[3:] if seed % 2 else NOTHING)
    got = assign(truth, GRID, anchors)
    want = slow_assign(truth, anchors)
    np.testing.assert_array_equal(got.objectness, [w[0] for w in want])
    np.testing.assert_array_equal(got.categories, [w[1] for w in want])
    taken = [(i, w[2]) for i, w in enumerate(want) if w[2] >= 0]
    assert {index for _, index in taken} == {0, 1, 2}
    for anchor, index in taken:
        back = geometry.decode(got.deltas[[anchor]], anchors[[anchor]])
        np.testing.assert_allclose(back[0], truth.boxes[index], atol=1e-2)


@pytest.mark.parametrize("layout", [GRID, POINTS])
def test_nothing_in_sight_means_all_negative(layout) -> None:
    got = assign(Truth(NOTHING, np.zeros(0, np.int64), NOTHING), layout, layout.boxes(64))
    assert not got.objectness.any()
    assert (got.categories == -1).all()


@pytest.mark.parametrize("layout", [GRID, POINTS])
def test_every_size_from_tiny_to_full_is_taught(layout) -> None:
    references = layout.boxes(320)
    for side in (14, 24, 50, 110, 200, 320):
        box = np.array([[160 - side / 2, 160 - side / 2, 160 + side / 2, 160 + side / 2]], np.float32)
        got = assign(Truth(box, np.array([0]), NOTHING), layout, references)
        assert (got.objectness == 1).any()


def slow_points(truth):
    """(objectness, index of the box) of every point of a picture of 128 px, one at a time; no box is left out."""
    answers = []
    for stride in POINTS.strides:
        for row in range(-(-128 // stride)):
            for column in range(-(-128 // stride)):
                x, y = (column + 0.5) * stride, (row + 0.5) * stride
                ignored = any(x1 < x < x2 and y1 < y < y2 for x1, y1, x2, y2 in truth.ignored)
                best, smallest = -1, np.inf
                for index, (x1, y1, x2, y2) in enumerate(truth.boxes):
                    reach = max(x - x1, y - y1, x2 - x, y2 - y)
                    low, high = 0 if stride == 8 else 2 * stride, np.inf if stride == 64 else 4 * stride
                    central = max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2)) < 1.5 * stride
                    inside = min(x - x1, y - y1, x2 - x, y2 - y) > 0
                    area = (x2 - x1) * (y2 - y1)
                    if inside and central and low < reach <= high and area < smallest:
                        best, smallest = index, area
                objectness = prominence(truth.boxes)[best] if best >= 0 else IGNORED if ignored else 0.0
                answers.append((objectness, best))
    return answers


@pytest.mark.parametrize("seed", range(4))
def test_assignment_of_points_equals_the_slow_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 60, (4, 2))
    boxes = np.concatenate([low, low + rng.uniform(30, 66, (4, 2))], axis=1).astype(np.float32)
    truth = Truth(boxes[:3], np.array([4, -1, 7]), boxes[3:] if seed % 2 else NOTHING)
    points = POINTS.boxes(128)
    got = assign(truth, POINTS, points)
    want = slow_points(truth)
    np.testing.assert_array_equal(got.objectness, [w[0] for w in want])
    taken = [(i, index) for i, (_, index) in enumerate(want) if index >= 0]
    assert {index for _, index in taken} == {0, 1, 2}
    for point, index in taken:
        assert got.categories[point] == truth.categories[index]
        back = POINTS.decode(got.deltas[[point]], points[[point]])
        np.testing.assert_allclose(back[0], truth.boxes[index], atol=1e-2)


def test_a_long_thin_box_takes_a_point_inside_it() -> None:
    thin = np.array([[10, 57, 310, 71]], np.float32)
    points = POINTS.boxes(320)
    got = assign(Truth(thin, np.array([2]), NOTHING), POINTS, points)
    (chosen,) = np.flatnonzero(got.objectness > 0)
    np.testing.assert_allclose(POINTS.decode(got.deltas[[chosen]], points[[chosen]]), thin, atol=1e-2)


def test_the_biggest_product_is_the_most_prominent_however_small() -> None:
    boxes = np.array([[0, 0, 5, 5], [0, 0, 20, 20], [0, 0, 10, 10]], np.float32)
    tiny, biggest, half = prominence(boxes)
    assert biggest == 1.0
    assert tiny < half < biggest
    assert prominence(boxes[:1])[0] == 1.0
