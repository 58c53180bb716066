"""Fitting finds what was planted, and nothing that would hurt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.fitting import (
    Judged,
    accuracy_of,
    fit_acceptance,
    fit_vote,
    judge,
    limits,
    macro_accuracy,
    probabilities,
    voted,
)
from evaluation.observations import Scans
from evaluation.reranking import Ranker
from evaluation.tune import accepted_shares
from services.gateway.acceptance import Signs
from services.gateway.query_bank import QueryBank
from shiwu.inference.tuning import QueryBankRule
from tests.unit.evaluation.observations import of_neighbours, of_vectors, unit


def test_rare_categories_count_as_much():
    assert macro_accuracy(["a", "a", "a", "b"], ["a", "a", "a", "a"]) == pytest.approx(0.5)


def test_the_vote_learns_whom_to_trust():
    near = [("food", 0.9)] * 5
    misled = [of_neighbours("food", [("toys", 0.9)], near) for _ in range(4)]
    rule, accuracy = fit_vote(misled)
    assert accuracy == accuracy_of(misled, rule) == 1.0
    assert rule.detector_weight < 0.5
    assert all(voted(each, rule) == "food" for each in misled)
    blind = [of_neighbours("food", [("food", 0.9)], [("toys", 0.9)] * 5) for _ in range(4)]
    assert fit_vote(blind)[0].detector_weight > 0.5


def test_the_best_product_is_judged_as_the_gateway_ranks_it():
    gallery = unit(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    query = unit(np.array([0.8, 0.6, 0.1]))
    scans = {"set": Scans([of_vectors(query, gallery, 1)], [of_vectors(query, gallery, 0, present=False)])}
    plain = judge(scans, Ranker())
    assert [(each.right, each.present, each.weight) for each in plain] == [(False, True, 0.5), (False, False, 0.5)]
    assert plain[0].signs.similarity == pytest.approx(float(query[0]))
    assert plain[0].signs.margin == pytest.approx(float(query[0] - query[1]))
    assert (plain[0].signs.hubness, plain[0].signs.agreement) == (None, pytest.approx(1 / 3))
    # Past queries lie where product 0 is: with the bank product 1 comes first, though it is less similar.
    banked = judge(scans, Ranker(QueryBank(QueryBankRule(neighbours=1, weight=1.0), gallery[:1])))
    assert banked[0].right
    assert banked[0].signs.margin == pytest.approx(float(query[1] - query[0]))
    assert banked[0].signs.hubness == pytest.approx(0.0)


def drawn(count, seed=1, *, hubness=0.0):
    """Answers that are right with the probability of a known logistic; each product has ten."""
    random = np.random.default_rng(seed)
    judged = []
    for i in range(count):
        signs = Signs(random.uniform(0.2, 1.0), random.uniform(0.0, 0.3), random.uniform(0.0, 1.0), 0.2)
        z = -8 + 11 * signs.similarity + 5 * signs.margin + hubness * (signs.hubness - 0.5)
        right = bool(random.random() < 1 / (1 + np.exp(-z)))
        judged.append(Judged("set", "food", f"p{i // 10}", signs, right, present=right or random.random() < 0.5))
    return judged


def without_hubness(judged):
    return [replace(each, signs=replace(each.signs, hubness=None)) for each in judged]


def test_acceptance_is_calibrated_and_keeps_to_the_rate():
    judged = drawn(4000)
    fit = fit_acceptance(judged, 0.05)
    rule = fit.rule
    assert (rule.bias, rule.similarity, rule.margin) == pytest.approx((-8, 11, 5), rel=0.2)
    assert (rule.hubness, rule.agreement) == (0.0, 0.0), "what gains nothing is left out"
    assert set(rule.thresholds) == {"food"}
    absent, _, _ = accepted_shares(judged, rule)
    assert absent == pytest.approx(0.05, abs=0.005)
    assert absent <= 0.05 + 1e-9


def test_acceptance_uses_hubness_where_that_tells_something():
    fit = fit_acceptance(drawn(4000, hubness=-6.0), 0.05)
    assert fit.rule.hubness == pytest.approx(-6, rel=0.2)
    assert fit.rule.typical_hubness == pytest.approx(0.5, abs=0.02)
    assert fit.losses["similarity + lead + hubness"] < fit.losses["similarity + lead"] - 0.01


def test_without_a_bank_hubness_is_not_tried():
    judged = without_hubness(drawn(500, hubness=-6.0))
    fit = fit_acceptance(judged, 0.05)
    assert fit.rule.hubness == 0.0
    assert all("hubness" not in signs for signs in fit.losses)


def test_each_set_counts_by_its_weight():
    """Two sets disagree on what a similarity is worth; the heavier one decides."""
    light = [Judged("a", "food", f"a{i}", Signs(0.5, 0.1, None, 0.2), True, True, 0.1) for i in range(200)]
    heavy = [Judged("b", "food", f"b{i}", Signs(0.5, 0.1, None, 0.2), i % 10 == 0, True, 0.9) for i in range(200)]
    absent = [Judged("b", "food", f"b{i}", Signs(0.1, 0.0, None, 0.2), False, False, 0.9) for i in range(50)]
    odds = probabilities(heavy, fit_acceptance([*light, *heavy, *absent], 0.1).rule)
    assert odds[0] == pytest.approx((0.1 * 1.0 + 0.9 * 0.1) / 1.0, abs=0.03)


def test_a_category_with_few_photos_takes_the_common_threshold():
    few = [Judged("set", "toys", f"t{i}", Signs(0.9, 0.1, None, 0.2), False, False) for i in range(5)]
    rule = fit_acceptance([*without_hubness(drawn(500)), *few], 0.1).rule
    assert "toys" not in rule.thresholds
    assert limits(few, rule).tolist() == [rule.threshold] * 5


def test_a_shared_print_counts_where_it_tells():
    """Similar pictures, of which those that share their print are right."""
    seen = [
        Judged("set", "food", f"p{i}", Signs(0.6, 0.05, None, 0.2, shared_print=0.8 * (i % 2)), i % 2 == 1, i % 2 == 1)
        for i in range(200)
    ]
    rule = fit_acceptance(seen, 0.1).rule
    assert rule.shared_print > 0
    accepted = probabilities(seen, rule) >= limits(seen, rule)
    assert accepted.tolist() == [each.right for each in seen]
