"""The service reads every kind of head as training measures it."""

from typing import Any

import numpy as np
import pytest

from offline.training.detector.decoding import Decoder
from services.detector.detection import Detector
from shiwu.inference.manifest import DetectorManifest
from shiwu.inference.runner import ModelRunner
from shiwu.vision.resize import fit

HEADS: list[dict[str, Any]] = [
    {"anchors": {"strides": (8, 16), "sizes": (16.0, 32.0), "scales": (1.0,), "ratios": (0.5, 1.0)}},
    {"points": {"strides": (8, 16)}},
    {"corners": {"count": 200}},
]


def manifest(head: dict[str, Any]) -> DetectorManifest:
    common = {"name": "heads", "version": "1", "file": "none", "sha256": "0" * 64, "inputs": (), "outputs": ()}
    rest = {"task": "detection", "labels": ("toys", "food"), "min_score": 0.3, "nms_iou": 0.5}
    return DetectorManifest.model_validate(
        {**common, **rest, **head, "preprocessing": {"size": 64, "fit": "letterbox"}}
    )


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("shape", [(40, 64), (300, 200)])
def test_served_boxes_are_the_measured_ones(head: dict[str, Any], shape: tuple[int, int]) -> None:
    described = manifest(head)
    references = described.grid.boxes(64)
    rng = np.random.default_rng(0)
    scores = (rng.random((len(references), 2)) ** 4).astype(np.float32)
    deltas = rng.normal(0, 0.4, (len(references), 4)).astype(np.float32)
    _, placement = fit(np.zeros((*shape, 3), np.uint8), 64, "letterbox")
    runner: ModelRunner = None  # type: ignore[assignment]  # the heads are handed over here
    served = Detector(described, runner).read(scores, deltas, placement, shape, min_score=0.01, max_objects=50)
    measured = Decoder(described).read(scores, deltas, placement, shape[1], shape[0])
    assert len(measured.boxes) > 5
    np.testing.assert_allclose(served.boxes * np.array([*shape[::-1]] * 2), measured.boxes, rtol=1e-5)
    np.testing.assert_array_equal(served.scores.max(axis=1), measured.scores)
    np.testing.assert_array_equal(served.scores.argmax(axis=1), measured.categories)


def test_a_point_is_served_where_its_distances_say() -> None:
    described = manifest(HEADS[1])
    references = described.grid.boxes(64)
    scores, deltas = np.zeros((len(references), 2), np.float32), np.zeros((len(references), 4), np.float32)
    point = 8 * 3 + 2  # row 3, column 2 of stride 8: at (20, 28)
    scores[point] = (0.1, 0.9)
    deltas[point] = np.log([1.0, 2.0, 3.0, 0.5])
    runner: ModelRunner = None  # type: ignore[assignment]  # the heads are handed over here
    _, placement = fit(np.zeros((64, 64, 3), np.uint8), 64, "letterbox")
    found = Detector(described, runner).read(scores, deltas, placement, (64, 64), min_score=0.5, max_objects=5)
    np.testing.assert_allclose(found.boxes * 64, [[12, 12, 44, 32]], atol=1e-4)
    assert found.scores[0].argmax() == 1


def test_prominence_ranks_the_bigger_box_first_and_leaves_scores() -> None:
    references = manifest(HEADS[1]).grid.boxes(64)
    scores, deltas = np.zeros((len(references), 2), np.float32), np.zeros((len(references), 4), np.float32)
    small, big = 8 * 6 + 6, 64 + 4 * 1 + 1  # at (52, 52), stride 8, and at (24, 24), stride 16
    scores[small, 0], scores[big, 0] = 0.8, 0.6
    deltas[small] = np.log(0.5)
    runner: ModelRunner = None  # type: ignore[assignment]  # the heads are handed over here
    _, placement = fit(np.zeros((64, 64, 3), np.uint8), 64, "letterbox")
    for prominence, order in ((0.0, [0.8, 0.6]), (0.5, [0.6, 0.8])):
        detector = Detector(manifest(HEADS[1] | {"prominence": prominence}), runner)
        found = detector.read(scores, deltas, placement, (64, 64), min_score=0.5, max_objects=5)
        assert found.scores.max(axis=1).tolist() == pytest.approx(order)
        one = detector.read(scores, deltas, placement, (64, 64), min_score=0.5, max_objects=1)
        assert one.scores.max(axis=1).tolist() == pytest.approx(order[:1])


def test_a_decoded_box_is_served_where_its_corners_are() -> None:
    described = manifest(HEADS[2] | {"corners": {"count": 2}})
    scores = np.array([[0.1, 0.2], [0.9, 0.1]], np.float32)
    deltas = np.array([[0, 0, 1, 1], [0.25, 0.5, 0.5, 1.5]], np.float32)
    runner: ModelRunner = None  # type: ignore[assignment]  # the heads are handed over here
    _, placement = fit(np.zeros((30, 90, 3), np.uint8), 64, "stretch")
    found = Detector(described, runner).read(scores, deltas, placement, (30, 90), min_score=0.5, max_objects=5)
    np.testing.assert_allclose(found.boxes, [[0.25, 0.5, 0.5, 1.0]], atol=1e-6)


def test_suppressed_boxes_say_what_the_thing_is_and_others_do_not() -> None:
    described = manifest(HEADS[2] | {"corners": {"count": 4}})
    scores = np.array([[0.9, 0.6], [0.0, 0.8], [0.1, 0.7], [0.5, 0.0]], np.float32)
    there, elsewhere = (0.1, 0.1, 0.5, 0.5), (0.6, 0.6, 0.9, 0.9)
    deltas = np.array([there, there, (0.1, 0.1, 0.5, 0.48), elsewhere], np.float32)
    runner: ModelRunner = None  # type: ignore[assignment]  # the heads are handed over here
    _, placement = fit(np.zeros((64, 64, 3), np.uint8), 64, "stretch")
    found = Detector(described, runner).read(scores, deltas, placement, (64, 64), min_score=0.3, max_objects=5)
    np.testing.assert_allclose(found.boxes, [there, elsewhere], atol=1e-6)
    toys, food = 0.9 * 0.9 / 1.5 + 0.7 * 0.1 / 0.8, 0.9 * 0.6 / 1.5 + 0.8 + 0.7 * 0.7 / 0.8
    np.testing.assert_allclose(found.scores, [[0.9 * toys / food, 0.9], [0.5, 0.0]], atol=1e-6)


def test_scores_of_nothing_and_a_suppression_that_is_off_are_answered_as_they_are() -> None:
    described = manifest(HEADS[2] | {"corners": {"count": 2}, "nms_iou": 1.0})
    scores, deltas = np.array([[0.0, 0.0], [0.2, 0.4]], np.float32), np.array([[0, 0, 1, 1]] * 2, np.float32)
    runner: ModelRunner = None  # type: ignore[assignment]  # the heads are handed over here
    _, placement = fit(np.zeros((64, 64, 3), np.uint8), 64, "stretch")
    found = Detector(described, runner).read(scores, deltas, placement, (64, 64), min_score=0.0, max_objects=5)
    np.testing.assert_allclose(found.scores, [[0.2, 0.4], [0.0, 0.0]])
