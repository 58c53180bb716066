"""The category vote against the rule worked out slowly, and its bad inputs."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from services.classifier.voting import DEFAULT_RULE, MAX_NEIGHBOURS, Neighbour, vote
from shiwu.categories import CATEGORIES
from shiwu.chassis.errors import InvalidInputError
from shiwu.inference.tuning import VoteRule

RULE = VoteRule(neighbours=3, detector_weight=0.25, temperature=0.2, rank_decay=1.0)


def slow_vote(detector, neighbours, rule):
    """The docstring's five steps, one number at a time: (scores by category, detector's share, shares by image)."""
    ranked = sorted(neighbours, key=lambda n: (-n.similarity, n.image_id))
    voting = ranked[: rule.neighbours]
    weights = [math.exp(n.similarity / rule.temperature) * (i + 1) ** -rule.rank_decay for i, n in enumerate(voting)]
    total = sum(score for _, score in detector)
    share = 0.0 if total == 0 else rule.detector_weight if voting else 1.0
    scores = dict.fromkeys(CATEGORIES, 0.0)
    for category, score in detector:
        if total:
            scores[category] += share * score / total
    shares = {n.image_id: 0.0 for n in ranked}
    for neighbour, weight in zip(voting, weights, strict=True):
        shares[neighbour.image_id] = (1 - share) * weight / sum(weights)
        scores[neighbour.category] += shares[neighbour.image_id]
    return scores, share, shares


def some(seed, n, scores=True):
    random = np.random.default_rng(seed)
    neighbours = [
        Neighbour(
            f"i{i}", CATEGORIES[random.integers(11)], float(random.choice([0.2, 0.5, 0.9, random.uniform(-1, 1)]))
        )
        for i in range(n)
    ]
    detector = [(category, float(random.random())) for category in CATEGORIES[: random.integers(1, 12)]]
    return detector if scores else [], neighbours


@pytest.mark.parametrize("n", [0, 1, 2, 3, 20, 100])
@pytest.mark.parametrize(
    "rule", [RULE, DEFAULT_RULE, RULE.model_copy(update={"detector_weight": 1.0, "rank_decay": 0.0})]
)
@pytest.mark.parametrize("seed", range(5))
def test_equals_the_rule_worked_out_slowly(n, rule, seed):
    detector, neighbours = some(seed, n)
    result = vote(detector, neighbours, rule)
    scores, share, shares = slow_vote(detector, neighbours, rule)
    assert result.detector_share == pytest.approx(share)
    assert {s.image_id: s.share for s in result.shares} == pytest.approx(shares)
    assert dict(result.categories) == pytest.approx({c: s for c, s in scores.items() if s > 0})
    assert sum(s.share for s in result.shares) + result.detector_share == pytest.approx(1.0, abs=1e-9)
    assert sum(score for _, score in result.categories) == pytest.approx(1.0, abs=1e-9)
    assert [s for _, s in result.categories] == sorted((s for _, s in result.categories), reverse=True)


def test_a_case_worked_by_hand():
    neighbours = [Neighbour("a", "shoes", 0.8), Neighbour("b", "bags", 0.8), Neighbour("c", "shoes", 0.8)]
    result = vote([("bags", 0.6), ("food", 0.2)], neighbours, RULE)
    # Equal similarities weigh 1, 1/2, 1/3 of 11/6; the detector's quarter is cast 3 : 1.
    assert [(s.image_id, s.share) for s in result.shares] == [
        ("a", pytest.approx(0.75 * 6 / 11)),
        ("b", pytest.approx(0.75 * 3 / 11)),
        ("c", pytest.approx(0.75 * 2 / 11)),
    ]
    assert result.categories == [
        ("shoes", pytest.approx(0.75 * 8 / 11)),
        ("bags", pytest.approx(0.75 * 3 / 11 + 0.1875)),
        ("food", pytest.approx(0.0625)),
    ]


def test_neighbours_overrule_a_detector_that_is_wrong():
    neighbours = [Neighbour(f"i{i}", "jewellery", 0.8 - i / 100) for i in range(20)]
    assert vote([("toys", 0.9)], neighbours, DEFAULT_RULE).categories[0][0] == "jewellery"


def test_a_detector_without_an_opinion_leaves_the_vote_to_the_neighbours():
    neighbours = [Neighbour("a", "shoes", 0.8)]
    for detector in ([], [("toys", 0.0), ("food", 0.0)]):
        assert vote(detector, neighbours, RULE) == ([("shoes", 1.0)], 0.0, [("a", "shoes", 1.0)])


def test_ties_are_broken_the_same_way_in_any_order():
    neighbours = [Neighbour(f"i{i}", category, 0.5) for i, category in enumerate(CATEGORIES)]
    rule = VoteRule(neighbours=11, detector_weight=0.0, temperature=0.1, rank_decay=0.0)
    expected = vote([], neighbours, rule)
    assert [category for category, _ in expected.categories] == list(CATEGORIES)
    assert [share.image_id for share in expected.shares] == sorted(n.image_id for n in neighbours)
    assert vote([], neighbours[::-1], rule) == expected


def test_a_tiny_temperature_does_not_overflow():
    rule = VoteRule(neighbours=20, detector_weight=0.0, temperature=1e-9, rank_decay=0.0)
    result = vote([], [Neighbour("a", "shoes", 1.0), Neighbour("b", "bags", 0.99)], rule)
    assert result.categories == [("shoes", 1.0)]


@pytest.mark.parametrize(
    ("detector", "neighbours", "message"),
    [
        ([], [], "nobody votes"),
        ([("shoes", 0.0)], [], "nobody votes"),
        ([("spaceships", 0.5)], [], r"detector\[0\]\.category: unknown category 'spaceships'; expected one of shoes"),
        ([("shoes", 0.5), ("shoes", 0.5)], [], r"detector\[1\]\.category: shoes has a score already"),
        ([("shoes", math.nan)], [], r"detector\[0\]\.score: expected 0 to 1, got nan"),
        ([("shoes", 1.5)], [], r"detector\[0\]\.score: expected 0 to 1, got 1\.5"),
        ([("shoes", -0.1)], [], r"detector\[0\]\.score"),
        ([("shoes", math.inf)], [], r"detector\[0\]\.score"),
        ([], [Neighbour("a", "", 0.5)], r"neighbors\[0\]\.category: unknown category ''"),
        (
            [],
            [Neighbour("a", "shoes", math.nan)],
            r"neighbors\[0\]\.similarity: expected a cosine from -1 to 1, got nan",
        ),
        ([], [Neighbour("a", "shoes", 1.01)], r"neighbors\[0\]\.similarity"),
        ([], [Neighbour("a", "shoes", -2.0)], r"neighbors\[0\]\.similarity"),
        (
            [],
            [Neighbour("a", "shoes", 0.1), Neighbour("a", "bags", 0.2)],
            r"neighbors\[1\]\.image_id: 'a' is there already",
        ),
        ([], [Neighbour("", "shoes", 0.1)], r"neighbors\[0\]\.image_id"),
        ([], [Neighbour(f"i{i}", "shoes", 0.1) for i in range(MAX_NEIGHBOURS + 1)], "neighbors: expected at most 1000"),
    ],
)
def test_bad_input_is_named(detector, neighbours, message):
    with pytest.raises(InvalidInputError, match=message):
        vote(detector, neighbours, RULE)


def test_float32_rounding_of_a_perfect_match_is_forgiven():
    assert vote([], [Neighbour("a", "shoes", float(np.nextafter(np.float32(1), np.float32(2))))], RULE).categories


def test_takes_a_fifth_of_a_millisecond_at_most():
    detector, neighbours = some(1, 20)
    seconds = []
    for _ in range(200):
        start = time.perf_counter()
        vote(detector, neighbours, DEFAULT_RULE)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.0002  # the least: other work of the machine only adds
