"""Fitting finds what was planted, and nothing that would hurt."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.fitting import Judged, Observation, fit_acceptance, fit_rerank, fit_vote, macro_accuracy, voted
from services.classifier.voting import Neighbour
from services.gateway.acceptance import probability
from shiwu.inference.manifest import DomainMeans

MEANS = DomainMeans(photo=(0.0,) * 8, merchant=(0.0,) * 8)


def observation(category, detector, neighbours, product="p", products=None, vectors=None, vector=None):
    return Observation(
        source="grocery",
        category=category,
        product=product,
        detector=detector,
        vector=np.zeros(8, np.float32) if vector is None else vector,
        neighbours=[Neighbour(f"i{i}", each, s) for i, (each, s) in enumerate(neighbours)],
        products=products or ["p"] * len(neighbours),
        vectors=np.zeros((len(neighbours), 8), np.float32) if vectors is None else vectors,
    )


def test_rare_categories_count_as_much():
    assert macro_accuracy(["a", "a", "a", "b"], ["a", "a", "a", "a"]) == pytest.approx(0.5)


def test_the_vote_learns_whom_to_trust():
    near = [("food", 0.9)] * 5
    misled = [observation("food", [("toys", 0.9)], near) for _ in range(4)]
    rule, accuracy = fit_vote(misled)
    assert accuracy == 1.0
    assert rule.detector_weight < 0.5
    assert all(voted(each, rule) == "food" for each in misled)
    blind = [observation("food", [("food", 0.9)], [("toys", 0.9)] * 5) for _ in range(4)]
    assert fit_vote(blind)[0].detector_weight > 0.5


def test_re_ranking_that_hurts_is_left_out():
    random = np.random.default_rng(0)
    observations = []
    for _ in range(6):
        vectors = random.normal(size=(40, 8)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        similarities = np.sort(random.random(40))[::-1]
        neighbours = [("food", float(s)) for s in similarities]
        products = ["p", *(f"other{i}" for i in range(39))]
        observations.append(observation("food", [], neighbours, products=products, vectors=vectors, vector=vectors[20]))
    rule, tried = fit_rerank(observations, MEANS)
    assert tried[0][1].recall_1 == 1.0
    best = {id(each): quality for each, quality in tried}[id(rule)]
    assert best.recall_1 == 1.0


def test_acceptance_is_calibrated_and_keeps_to_the_rate():
    random = np.random.default_rng(1)
    judged = []
    for _ in range(4000):
        similarity, lead = random.uniform(0.2, 1.0), random.uniform(0.0, 0.3)
        right = bool(random.random() < 1 / (1 + np.exp(-(-8 + 11 * similarity + 5 * lead))))
        judged.append(Judged("food", similarity, lead, right, present=right or random.random() < 0.5))
    rule = fit_acceptance(judged, 0.05)
    assert (rule.bias, rule.similarity, rule.margin) == pytest.approx((-8, 11, 5), rel=0.2)
    absent = [each for each in judged if not each.present]
    accepted = [probability(each.similarity, each.lead, rule) >= rule.thresholds["food"] for each in absent]
    assert np.mean(accepted) == pytest.approx(0.05, abs=0.01)
