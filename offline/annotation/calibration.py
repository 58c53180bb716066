"""From a detector's score to the probability that its box is right, for each category its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from offline.training.detector.measures import Case, judge

Floats = NDArray[np.float64]

_STEPS: Final = 100
_STRENGTH: Final = 2.0
"""How firmly a category holds to what all have in common, and all to the score as it is: about so many boxes' worth."""
_LEAST_SLOPE: Final = 0.05
"""A higher score never means less, whatever a few boxes say."""
_NEAREST: Final = 1e-4
"""Scores are kept so far from 0 and 1, where their logit has no end."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """P(right) = sigmoid(slope * logit(score) + intercept): Platt scaling (Platt, Advances in Large Margin
    Classifiers, 1999)."""

    slopes: tuple[float, ...]
    """Of each category."""
    intercepts: tuple[float, ...]

    def probabilities(self, scores: NDArray[np.float32], categories: NDArray[np.int64]) -> Floats:
        """That boxes with these scores are right, (n,)."""
        return _sigmoid(np.array(self.slopes)[categories] * _logit(scores) + np.array(self.intercepts)[categories])

    def threshold(self, probability: float, category: int) -> float:
        """The score from which a box of the category is right with at least this probability, 0 to 1."""
        wanted = float(_logit(np.array([probability]))[0])
        return float(_sigmoid(np.array([(wanted - self.intercepts[category]) / self.slopes[category]]))[0])


def calibrate(cases: Sequence[Case], categories: int, iou: float) -> Calibration:
    """Fitted to pictures that the detector was not trained on.

    One line is fitted to all boxes, and each category's own is drawn towards it, so that a category with few boxes is
    judged like the others and one with many by itself. Without any box the score is taken at its word.
    """
    judged = [[judge(case, category, iou)[:2] for case in cases] for category in range(categories)]
    each = [
        (
            _logit(np.concatenate([np.zeros(0), *(scores for scores, _ in of_one)])),
            np.concatenate([np.zeros(0), *(right for _, right in of_one)]),
        )
        for of_one in judged
    ]
    together = np.concatenate([x for x, _ in each]), np.concatenate([right for _, right in each])
    common = fit_line(*together, towards=np.array([1.0, 0.0]), strength=_STRENGTH)
    own = [fit_line(*of_one, towards=common, strength=_STRENGTH) for of_one in each]
    return Calibration(
        tuple(max(float(slope), _LEAST_SLOPE) for slope, _ in own), tuple(float(intercept) for _, intercept in own)
    )


def fit_line(x: Floats, right: Floats, *, towards: Floats, strength: float) -> Floats:
    """(slope, intercept) of the logistic regression of `right` (0 or 1) on x, both (n,), with a penalty.

    The penalty is strength / 2 times the squared distance of slope and intercept from `towards`. The sum is convex with
    one minimum, found by Newton's method with halved steps.
    """
    design = np.stack([x, np.ones_like(x)], axis=1)

    def cost(line: Floats) -> float:
        z = design @ line
        return float((np.logaddexp(0, z) - right * z).sum() + strength / 2 * np.square(line - towards).sum())

    line = towards.copy()
    for _ in range(_STEPS):
        p = _sigmoid(design @ line)
        gradient = design.T @ (p - right) + strength * (line - towards)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + strength * np.eye(2)
        step, now = np.linalg.solve(curvature, gradient), cost(line)
        while cost(line - step) > now and np.abs(step).max() > 1e-12:
            step /= 2
        line = line - step
        if np.abs(step).max() < 1e-10:
            break
    return line


def _logit(p: NDArray[np.floating]) -> Floats:
    kept = np.clip(np.asarray(p, np.float64), _NEAREST, 1 - _NEAREST)
    return np.asarray(np.log(kept / (1 - kept)), np.float64)


def _sigmoid(z: Floats) -> Floats:
    # By tanh it overflows nowhere.
    return np.asarray((1 + np.tanh(z / 2)) / 2, np.float64)
