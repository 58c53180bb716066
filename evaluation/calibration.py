"""How far said probabilities can be believed, and what a threshold buys: pure functions on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Bin:
    """Answers whose probability lies from `low` to below `high`. said: their mean probability; right: their share.

    weight: of all answers' weight, 0 to 1.
    """

    low: float
    high: float
    said: float
    right: float
    weight: float
    answers: int


def reliability(odds: Floats, right: Flags, weights: Floats, bins: int = 10) -> list[Bin]:
    """The bins of equal width that hold answers; a probability of 1 is in the last. All arrays are of shape (n,)."""
    places = np.minimum((odds * bins).astype(int), bins - 1)
    found = []
    for place in np.unique(places).tolist():
        chosen = places == place
        own = weights[chosen]
        found.append(
            Bin(
                low=place / bins,
                high=(place + 1) / bins,
                said=float(np.average(odds[chosen], weights=own)),
                right=float(np.average(right[chosen], weights=own)),
                weight=float(own.sum() / weights.sum()),
                answers=int(chosen.sum()),
            )
        )
    return found


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """The weighted mean gap between said and right (Naeini, Cooper, Hauskrecht, AAAI 2015)."""
    return float(sum(each.weight * abs(each.said - each.right) for each in bins))


@dataclass(frozen=True)
class AcceptCurve:
    """What each threshold, from high to low, lets through. All of shape (n,).

    false_accepts: of the weight of absent products; answered_rightly: of that of present ones.
    """

    thresholds: Floats
    false_accepts: Floats
    answered_rightly: Floats


def accept_curve(odds: Floats, right: Flags, present: Flags, weights: Floats) -> AcceptCurve:
    """One point a distinct probability: everything from it on is accepted. At least one is present and one absent."""
    order = np.argsort(-odds, kind="stable")
    last = np.append(np.diff(odds[order]) != 0.0, True)
    absent = np.cumsum((weights * ~present)[order]) / weights[~present].sum()
    rightly = np.cumsum((weights * (present & right))[order]) / weights[present].sum()
    return AcceptCurve(odds[order][last], absent[last], rightly[last])
