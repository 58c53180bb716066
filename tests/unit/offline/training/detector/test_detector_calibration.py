"""The power of size in the ranking, on cases whose answer is known."""

import numpy as np
import pytest

from offline.training.detector import calibration
from offline.training.detector.both import BothHeads, Line, meanings_of
from offline.training.detector.calibration import best_power, certainty, line_between
from offline.training.detector.config import Model
from offline.training.detector.library import Library, Photo
from offline.training.detector.measures import Case, Detections
from offline.training.detector.targets import Truth

SMALL, BIG = [0, 0, 10, 10], [20, 20, 60, 60]


def case(scores: tuple[float, float]) -> Case:
    boxes = np.array([SMALL, BIG], np.float32)
    truth = Truth(boxes, np.array([1, 1]), np.zeros((0, 4), np.float32))
    return Case(100, 100, truth, Detections(boxes, np.array(scores, np.float32), np.array([1, 1])))


def test_size_counts_when_small_things_score_higher() -> None:
    # The big one has 16 times the area: 0.9 against 0.5 needs a power of ln(1.8) / ln(16) = 0.21.
    power = best_power([case((0.9, 0.5))] * 4)
    assert 0.25 <= power <= 0.4


def test_size_does_not_count_when_scores_do_it() -> None:
    assert best_power([case((0.5, 0.9))] * 4) == 0.0


def finds(slope: float, shift: float, count: int, seed: int) -> list[Case]:
    """Pictures with one find each, right as often as the line through its logit says."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, count)
    right = rng.random(count) < 1 / (1 + np.exp(-(slope * logits + shift)))
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    found = [np.array([BIG if ok else SMALL], np.float32) for ok in right]
    truth = Truth(np.array([BIG], np.float32), np.array([1]), np.zeros((0, 4), np.float32))
    return [Case(100, 100, truth, Detections(boxes, scores[[i]], np.array([1]))) for i, boxes in enumerate(found)]


def test_certainty_is_the_line_that_the_finds_follow() -> None:
    line = certainty([finds(2.0, -1.0, 4000, 0)])
    assert abs(line.slope - 2.0) < 0.15
    assert abs(line.shift + 1.0) < 0.15


def test_kinds_of_pictures_weigh_the_same_however_many_they_are() -> None:
    few_and_many = certainty([finds(1.0, 1.0, 500, 1), finds(1.0, -1.0, 5000, 2)])
    assert abs(few_and_many.shift) < 0.2


def test_equal_scores_of_both_heads_are_right_as_often() -> None:
    own, taught = Line(2.5, -0.1), Line(1.8, 1.2)
    line = line_between(own, taught)
    for logit in (-2.0, 0.0, 3.0):
        certain = taught.slope * logit + taught.shift
        assert abs(own.slope * (line.slope * logit + line.shift) + own.shift - certain) < 1e-9


def test_a_kind_means_the_categories_whose_products_are_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the few bags look like kind 1 and a tenth of the many shoes: it is rather a bag."""
    said = meanings_of({"bottle": 10, "case": 10, "person": -1})
    box = np.array([[0, 0, 8, 8]], np.float32)
    none = np.zeros((0, 4), np.float32)
    photos = [(1, i < 50) for i in range(100)] + [(0, i < 100) for i in range(1000)]
    library = Library(
        boxed=[
            Photo(np.full((8, 8, 3), looks, np.uint8), Truth(box, np.array([category]), none), "")
            for category, looks in photos
        ]
    )
    kinds = {1: (box, np.array([1])), 0: (none, np.zeros(0, np.intp))}
    monkeypatch.setattr(calibration, "_kinds_found", lambda named, recipe, image: kinds[int(image[0, 0, 0])])
    monkeypatch.setattr(calibration, "_scenes", lambda library: iter(()))
    net: BothHeads = None  # type: ignore[assignment]  # what it finds is given here
    learnt = calibration.learnt_meanings(net, said, library, Model())
    np.testing.assert_allclose(learnt.sum(axis=1), [1, 1, 0], rtol=1e-6)
    assert learnt[0].argmax() == 10
    assert learnt[1].argmax() == 1
    assert learnt[1, 1] > 2 * learnt[1, 0] > 0
