"""Against scikit-learn's DBSCAN, and the stated rules one by one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import DBSCAN

from offline.cleaning.denoise import DenoiseRule, dbscan, denoise

RULE = DenoiseRule(eps=0.1, win_back=0.3)


def product(seed, number=None):
    """Vectors in up to three bunches that hang together more or less."""
    random = np.random.default_rng(seed)
    number = number or int(random.integers(1, 120))
    centres = random.normal(size=(random.integers(1, 4), 32))
    vectors = centres[random.integers(0, len(centres), number)] + random.normal(size=(number, 32)) * random.uniform(
        0.2, 1
    )
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def at(*degrees):
    """Vectors in a plane; cosine distances are 1 - cos of the angle between."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.mark.parametrize("min_samples", [1, 2, 3, 5])
def test_the_labels_are_those_of_scikit_learn(min_samples):
    for seed in range(60):
        vectors = product(seed)
        expected = DBSCAN(eps=0.3, min_samples=min_samples, metric="cosine").fit(vectors).labels_
        assert dbscan(vectors, 0.3, min_samples).tolist() == expected.tolist()


def test_a_cluster_that_hangs_together_by_a_long_chain_is_one():
    chain = at(*range(0, 180, 4))[np.random.default_rng(0).permutation(45)]
    assert dbscan(chain, 0.01, 2).tolist() == [0] * 45


def test_the_largest_cluster_is_kept_and_a_small_other_one_is_noise():
    assert denoise(at(0, 2, 4, 6, 8, 90, 92), RULE) == ["kept"] * 5 + ["noise"] * 2


def test_a_cluster_of_half_its_size_is_another_look():
    assert denoise(at(0, 2, 4, 6, 90, 92), RULE) == ["kept"] * 4 + ["other look"] * 2


def test_noise_near_what_was_kept_is_won_back():
    # 36 degrees from the nearest kept one are a distance of .19, 50 degrees one of .36.
    assert denoise(at(0, 2, 4, 40), RULE) == ["kept"] * 3 + ["won back"]
    assert denoise(at(0, 2, 4, 54), RULE) == ["kept"] * 3 + ["noise"]


def test_what_was_won_back_wins_nothing_back():
    assert denoise(at(0, 2, 4, 44, 80), RULE) == ["kept"] * 3 + ["won back", "noise"]


def test_of_two_clusters_alike_in_size_the_tighter_one_is_the_largest():
    rule = RULE.model_copy(update={"look_share": 1.0})
    assert denoise(at(0, 8, 90, 92), rule) == ["other look"] * 2 + ["kept"] * 2
    assert denoise(at(0, 2, 90, 92), rule) == ["kept"] * 2 + ["other look"] * 2


@pytest.mark.parametrize("number", [0, 1])
def test_a_product_with_too_few_pictures_is_left_as_it_is(number):
    assert denoise(at(*[0] * number), RULE) == ["unjudged"] * number


def test_a_product_whose_pictures_are_all_apart_is_left_as_it_is():
    assert denoise(at(0, 90, 180), RULE) == ["unjudged"] * 3


def test_a_product_whose_pictures_are_all_the_same_is_kept():
    assert denoise(at(*[30] * 50), RULE) == ["kept"] * 50


def test_ten_thousand_pictures():
    verdicts = denoise(product(3, 10_000), RULE)
    assert len(verdicts) == 10_000
    assert "kept" in verdicts or set(verdicts) == {"unjudged"}
