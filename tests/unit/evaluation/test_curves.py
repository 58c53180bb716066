"""The numbers behind the figures."""

from __future__ import annotations

import numpy as np

from evaluation.calibration import accept_curve, reliability
from evaluation.curves import category_rows, vote_curve
from evaluation.figures import draw_acceptance, draw_gains, draw_rerank, draw_vote
from shiwu.inference.tuning import VoteRule
from tests.unit.evaluation.observations import of_neighbours

RULE = VoteRule(neighbours=5, detector_weight=0.0, temperature=1.0, rank_decay=0.0)


def test_the_vote_is_drawn_against_one_parameter_while_the_others_stay():
    """Five near pictures are right, ten further ones wrong: few neighbours are right, many are wrong."""
    neighbours = [("food", 0.9)] * 5 + [("toys", 0.8)] * 10
    observations = [of_neighbours("food", [("bags", 1.0)], neighbours)]
    assert vote_curve(observations, RULE, "neighbours", [5, 15]) == [1.0, 0.0]
    assert vote_curve(observations, RULE, "detector_weight", [0.0, 1.0]) == [1.0, 0.0]
    assert vote_curve(observations, RULE.model_copy(update={"neighbours": 15}), "temperature", [0.01, 1.0]) == [
        1.0,
        0.0,
    ]


def test_gains_are_a_category():
    right, wrong = [("food", 0.9)] * 5, [("toys", 0.9)] * 5
    observations = [
        of_neighbours("food", [("food", 0.6), ("toys", 0.2)], right),
        of_neighbours("food", [("toys", 0.6)], right),
        of_neighbours("shoes", [("shoes", 0.6)], wrong),
        of_neighbours("shoes", [], wrong),
    ]
    assert category_rows(observations, RULE) == [("food", 2, 0.5, 1.0), ("shoes", 2, 0.5, 0.0)]


def test_figures_are_written(tmp_path):
    odds, right = np.array([0.1, 0.6, 0.9]), np.array([False, True, True])
    present, weights = np.array([False, True, True]), np.ones(3)
    curve = accept_curve(odds, right, present, weights)
    draw_vote({"k": ([5, 10], [0.5, 0.6], 5.0), "w": ([0.0, 1.0], [0.4, 0.5], 0.0)}, 0.4, "data", tmp_path / "vote.png")
    draw_gains([("food", 3, 0.4, 0.9)], "data", tmp_path / "gains.png")
    draw_rerank({"plain": {"a": 0.01}, "query-bank": {"a": -0.01}}, "plain", "data", tmp_path / "rerank.png")
    bins = reliability(odds, right, weights)
    draw_acceptance(
        bins, 0.1, {"fitted": (curve, (0.0, 0.5)), "unseen": (curve, (0.1, 0.6))}, 0.1, "data", tmp_path / "accept.png"
    )
    for name in ("vote", "gains", "rerank", "accept"):
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
