"""Scores as probabilities, fitted against slow and obvious ways."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from offline.annotation.calibration import Calibration, calibrate, fit_line
from offline.training.detector.measures import Case, Detections
from offline.training.detector.targets import Truth

NOTHING = np.zeros((0, 4), np.float32)


def found(box: list[int], score: float, category: int) -> Detections:
    return Detections(np.array([box], np.float32), np.array([score], np.float32), np.array([category]))


def cases(scores: np.ndarray, right: np.ndarray, categories: np.ndarray) -> list[Case]:
    """A picture for each box: right ones lie on the truth, wrong ones beside it."""
    box, away = [0, 0, 10, 10], [20, 20, 30, 30]
    return [
        Case(
            40,
            40,
            Truth(np.array([box], np.float32), np.array([category]), NOTHING),
            Detections(
                np.array([box if ok else away], np.float32), np.array([score], np.float32), np.array([category])
            ),
        )
        for score, ok, category in zip(scores, right, categories, strict=True)
    ]


def drawn(count: int, shift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and boxes that are right with probability sigmoid(logit(score) + shift)."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.02, 0.98, count)
    odds = 1 / (1 + np.exp(-(np.log(scores / (1 - scores)) + shift)))
    return scores, rng.random(count) < odds


def test_the_line_is_that_of_a_grid_search() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(0, 2, 30)
    right = (rng.random(30) < 1 / (1 + np.exp(-x + 1))).astype(float)
    towards, strength = np.array([1.0, 0.0]), 2.0
    slopes, intercepts = np.meshgrid(np.linspace(-1, 3, 401), np.linspace(-3, 3, 601), indexing="ij")
    z = slopes[..., None] * x + intercepts[..., None]
    cost = (np.logaddexp(0, z) - right * z).sum(axis=2)
    cost += strength / 2 * ((slopes - 1) ** 2 + intercepts**2)
    best = np.unravel_index(cost.argmin(), cost.shape)
    got = fit_line(x, right, towards=towards, strength=strength)
    np.testing.assert_allclose(got, (slopes[best], intercepts[best]), atol=0.011)


def test_without_a_penalty_the_line_is_sklearns() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(0, 2, 400)
    right = (rng.random(400) < 1 / (1 + np.exp(-0.6 * x + 0.5))).astype(float)
    peer = LogisticRegression(C=1e9, tol=1e-10).fit(x[:, None], right)
    got = fit_line(x, right, towards=np.array([1.0, 0.0]), strength=1e-9)
    np.testing.assert_allclose(got, (peer.coef_[0, 0], peer.intercept_[0]), rtol=1e-4)


@pytest.mark.parametrize("x", [np.zeros(0), np.full(50, 9.0), np.array([-9.0, 9.0] * 20)])
def test_the_line_is_finite_whatever_the_boxes(x) -> None:
    for right in (np.zeros(len(x)), np.ones(len(x)), (x > 0).astype(float)):
        assert np.isfinite(fit_line(x, right, towards=np.array([1.0, 0.0]), strength=2.0)).all()


def test_each_category_has_its_own_threshold() -> None:
    """Category 0 is as sure as it says, category 1 is oversure, category 2 has no boxes at all."""
    sure, oversure = drawn(600, 0.0, 1), drawn(600, -2.0, 2)
    of_one = np.repeat([0, 1], 600)
    fitted = calibrate(
        cases(np.concatenate([sure[0], oversure[0]]), np.concatenate([sure[1], oversure[1]]), of_one), 3, 0.5
    )
    assert fitted.threshold(0.8, 0) == pytest.approx(0.8, abs=0.05)
    assert fitted.threshold(0.8, 1) == pytest.approx(1 / (1 + np.exp(-(np.log(4) + 2))), abs=0.03)
    assert fitted.threshold(0.8, 0) < fitted.threshold(0.8, 2) < fitted.threshold(0.8, 1)
    scores, right = drawn(4000, -2.0, 5)
    odds = fitted.probabilities(scores.astype(np.float32), np.ones(4000, int))
    for low in (0.2, 0.4, 0.6):
        here = (odds >= low) & (odds < low + 0.2)
        assert right[here].mean() == pytest.approx(odds[here].mean(), abs=0.08)


def test_a_few_boxes_move_a_category_little() -> None:
    scores, right = drawn(600, 0.0, 1)
    few = np.full(2, 0.9)
    fitted = calibrate(
        cases(np.append(scores, few), np.append(right, [False, False]), np.append(np.zeros(600, int), [1, 1])), 2, 0.5
    )
    assert 0.02 < fitted.threshold(0.8, 1) - fitted.threshold(0.8, 0) < 0.2


def test_without_boxes_the_score_is_taken_at_its_word() -> None:
    assert calibrate([], 2, 0.5) == Calibration((1.0, 1.0), (0.0, 0.0))


def test_thresholds_and_probabilities_agree() -> None:
    fitted = Calibration((0.7, 1.9), (-0.4, 1.1))
    for category in (0, 1):
        score = fitted.threshold(0.85, category)
        assert fitted.probabilities(np.array([score], np.float32), np.array([category]))[0] == pytest.approx(0.85)
