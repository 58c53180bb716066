"""The power of size in the ranking, on cases whose answer is known."""

import numpy as np

from offline.training.detector.calibration import best_power
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
