"""k-reciprocal re-ranking against a plain version written from the paper, and what it is good for."""

from __future__ import annotations

import time

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from services.gateway.k_reciprocal import DEFAULT_RULE, KReciprocal, centred, k_reciprocal
from services.gateway.ranking import by_similarity
from shiwu.inference.tuning import DomainMeans, KReciprocalRule
from tests.unit.gateway import k_reciprocal_oracle as oracle


def rule(k1=20, k2=6, lambda_=0.3):
    return KReciprocalRule.model_validate({"k1": k1, "k2": k2, "lambda": lambda_, "centre": False})


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def pool(seed, n, dimension=32, classes=6, noise=0.7):
    """A query and n candidates around some class centres."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(classes, dimension))
    return unit(centres[random.integers(classes, size=n + 1)] + noise * random.normal(size=(n + 1, dimension)))


@pytest.mark.parametrize(
    ("n", "k1", "k2", "lambda_"),
    [
        (40, 20, 6, 0.3),
        (40, 5, 2, 0.0),
        (30, 7, 1, 0.2),
        (25, 4, 3, 0.9),
        (22, 20, 6, 0.3),
        (12, 1, 1, 0.3),
        (1, 3, 2, 0.3),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_paper(n, k1, k2, lambda_, seed):
    vectors = pool(seed, n)
    expected = oracle.final_distances(vectors, k1, k2, lambda_)
    assert k_reciprocal(vectors, rule(k1, k2, lambda_)) == pytest.approx(expected, abs=1e-5)


def test_equals_the_paper_with_a_hundred_candidates():
    vectors = pool(7, 100, 256, 12)
    assert k_reciprocal(vectors, rule()) == pytest.approx(oracle.final_distances(vectors, 20, 6, 0.3), abs=1e-5)


def test_equals_the_paper_where_distances_are_equal():
    vectors = pool(3, 40)
    vectors[10:18] = vectors[5]
    vectors[20:25] = vectors[0]
    # Small whole numbers: their products, and so all distances between duplicates, are exact.
    vectors = np.sign(vectors).astype(np.float32) / np.float32(np.sqrt(32))
    assert k_reciprocal(vectors, rule(8, 3)) == pytest.approx(oracle.final_distances(vectors, 8, 3, 0.3), abs=1e-5)


def test_the_oracle_agrees_with_a_case_worked_by_hand():
    """Two pairs on a line of angles 0, 10, 90, 100 degrees, k1 = k2 = 1: R*(p) is p and its partner."""
    angles = np.radians([0.0, 10.0, 90.0, 100.0])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    distances = 1.0 - np.cos(angles)
    # V_0 and V_1 hold 1 and w = exp(-(1 - cos 10 deg)) at each other's places: min sums to 2 w, max to 2.
    shared = np.exp(-distances[1])
    expected = [0.7 * (1 - shared) + 0.3 * distances[1], 0.7 + 0.3 * distances[2], 0.7 + 0.3 * distances[3]]
    assert oracle.final_distances(vectors, 1, 1, 0.3) == pytest.approx(expected, abs=1e-5)
    assert k_reciprocal(vectors, rule(1, 1)) == pytest.approx(expected, abs=1e-5)


def clusters(offset, seed=0):
    """One photo each of 5 products with 6 pictures; all photos are moved by one offset, as by another camera."""
    random = np.random.default_rng(seed)
    products = random.normal(size=(5, 64))
    labels = np.repeat(np.arange(5), 6)
    gallery = unit(products[labels] + 1.2 * random.normal(size=(30, 64)))
    direction = random.normal(size=64) * offset
    queries = unit(products + 1.6 * random.normal(size=(5, 64)) + direction)
    means = DomainMeans(photo=tuple(queries.mean(axis=0)), merchant=tuple(gallery.mean(axis=0)))
    return queries, gallery, labels, means


def average_precision(order, relevant):
    hits = relevant[order]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def test_the_domain_mode_helps_across_the_gap_where_the_plain_one_does_not():
    scores = {mode: [] for mode in ("none", "plain", "domain")}
    for seed in range(8):
        queries, gallery, labels, means = clusters(1.2, seed)
        for label, query in enumerate(queries):
            for mode, values in scores.items():
                result = by_similarity((gallery @ query).tolist())
                if mode != "none":
                    reranker = KReciprocal(rule(5, 3), means if mode == "domain" else None)
                    result = reranker.rank(query, gallery, result)
                assert result.mode == mode
                values.append(average_precision(result.order, labels == label))
    means = {mode: np.mean(values) for mode, values in scores.items()}
    assert means["domain"] > means["none"] + 0.05
    assert means["domain"] > means["plain"]


@pytest.mark.parametrize("means", [None, DomainMeans(photo=(0.0,) * 32, merchant=(0.0,) * 32)])
def test_falls_back_to_similarity_where_it_cannot_help(means):
    vectors = pool(1, 21)
    plain = by_similarity((vectors[1:] @ vectors[0]).tolist())
    assert KReciprocal(rule(20), means).rank(vectors[0], vectors[1:], plain) is plain
    assert KReciprocal(rule(5, lambda_=1.0), means).rank(vectors[0], vectors[1:], plain) is plain
    ranking = KReciprocal(rule(19), means).rank(vectors[0], vectors[1:], plain)
    assert ranking.mode == ("plain" if means is None else "domain")


def test_centring_makes_unit_vectors_of_all_but_the_mean_itself():
    vectors = pool(2, 10)
    moved = centred(vectors, tuple(vectors[0]))
    assert np.linalg.norm(moved, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert (moved[0] == vectors[0]).all()
    expected = vectors[3] - vectors[0]
    assert moved[3] == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)


def test_is_far_faster_than_the_plain_version():
    """Interleaved, so that whatever else the machine does weighs on both; with one BLAS thread, as in the gateway."""
    vectors = pool(5, 100, 256)
    fast, slow = [], []
    with threadpool_limits(limits=1, user_api="blas"):
        for _ in range(2):
            slow.append(_seconds(lambda: oracle.final_distances(vectors, 20, 6, 0.3)))
            fast += [_seconds(lambda: k_reciprocal(vectors, DEFAULT_RULE)) for _ in range(20)]
    assert np.median(fast) * 100 < np.median(slow)
    assert min(fast) < 0.001


def _seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
