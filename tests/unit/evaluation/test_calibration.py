"""Calibration and acceptance curves, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.calibration import accept_curve, expected_calibration_error, reliability

ODDS = np.array([0.05, 0.05, 0.15, 0.95, 0.95, 1.0])
RIGHT = np.array([False, True, False, True, True, False])


def test_bins_hold_what_lies_in_them():
    bins = reliability(ODDS, RIGHT, np.ones(6))
    assert [(each.low, each.high, each.answers) for each in bins] == [(0.0, 0.1, 2), (0.1, 0.2, 1), (0.9, 1.0, 3)]
    assert [each.right for each in bins] == pytest.approx([0.5, 0.0, 2 / 3])
    assert [each.said for each in bins] == pytest.approx([0.05, 0.15, 2.9 / 3])
    error = expected_calibration_error(bins)
    assert error == pytest.approx((2 * 0.45 + 1 * 0.15 + 3 * (2.9 - 2) / 3) / 6)


def test_weights_count():
    light = reliability(np.array([0.4, 0.4]), np.array([True, False]), np.array([3.0, 1.0]))
    assert light[0].right == pytest.approx(0.75)
    assert sum(each.weight for each in reliability(ODDS, RIGHT, np.arange(1.0, 7.0))) == pytest.approx(1.0)


def test_odds_that_are_kept_have_no_error_and_boasts_have():
    random = np.random.default_rng(0)
    odds = random.random(20_000)
    right = random.random(20_000) < odds
    assert expected_calibration_error(reliability(odds, right, np.ones(20_000))) < 0.01
    boasts = np.minimum(odds + 0.3, 1.0)
    assert expected_calibration_error(reliability(boasts, right, np.ones(20_000))) > 0.2


def test_the_curve_is_what_each_threshold_lets_through():
    random = np.random.default_rng(1)
    odds = np.round(random.random(60), 1)
    present = random.random(60) < 0.5
    right = present & (random.random(60) < odds)
    weights = random.uniform(0.5, 2.0, 60)
    curve = accept_curve(odds, right, present, weights)
    assert curve.thresholds.tolist() == sorted(set(odds.tolist()), reverse=True)
    for limit, false_accepts, rightly in zip(*(a.tolist() for a in vars(curve).values()), strict=True):
        absent = sum(w for o, p, w in zip(odds, present, weights, strict=True) if o >= limit and not p)
        good = sum(w for o, p, r, w in zip(odds, present, right, weights, strict=True) if o >= limit and p and r)
        assert false_accepts == pytest.approx(absent / weights[~present].sum())
        assert rightly == pytest.approx(good / weights[present].sum())
