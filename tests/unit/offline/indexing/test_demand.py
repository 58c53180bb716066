from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from offline.indexing import demand
from offline.indexing.demand import GapVector, demand_clusters, leaders

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def around(centres, each, spread, seed=0):
    """Unit vectors around so many random directions, mixed."""
    random = np.random.default_rng(seed)
    middle = np.repeat(random.normal(size=(centres, 32)), each, axis=0)
    vectors = middle + spread * random.normal(size=middle.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return random.permutation(vectors).astype(np.float32)


def slowly(vectors, eps):
    """The rule, word by word."""
    led_by, known = [], []
    for i, vector in enumerate(vectors):
        near = [(float(vector @ vectors[leader]), -leader) for leader in known]
        similarity, minus_leader = max(near, default=(-2.0, 0))
        if similarity >= 1 - eps:
            led_by.append(-minus_leader)
        else:
            known.append(i)
            led_by.append(i)
    return led_by


@pytest.mark.parametrize("spread", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("block", [1, 7, 1024])
def test_leaders_are_those_of_the_rule(monkeypatch, spread, block):
    monkeypatch.setattr(demand, "_BLOCK", block)
    vectors = around(20, 12, spread)
    assert leaders(vectors, 0.3).tolist() == slowly(vectors, 0.3)


def test_of_equally_near_leaders_the_earliest_leads():
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8], [0.8, 0.6], [2**-0.5, 2**-0.5]], np.float32)
    assert leaders(vectors, 0.31).tolist() == [0, 1, 1, 0, 0]


def gap(key, minute, vector, model="m@1"):
    return GapVector(key, NOON + timedelta(minutes=minute), model, np.array(vector, np.float32))


def test_clusters_are_named_by_their_first_scan_in_whatever_order_gaps_come():
    gaps = [
        *(gap("b", 5, [1, 0]), gap("a", 9, [1, 0]), gap("c", 1, [0, 1]), gap("d", 7, [0, 1])),
        *(gap("other", 0, [1, 0], "m@2"), gap("longer", 0, [1, 0, 0]), gap("none", 0, [], "")),
    ]
    expected = {"a": "b", "b": "b", "c": "c", "d": "c", "other": "other", "longer": "longer", "none": ""}
    assert demand_clusters(gaps) == expected
    assert demand_clusters(gaps[::-1]) == expected
    assert demand_clusters([]) == {}


def test_scans_that_come_later_leave_clusters_as_they_are():
    vectors = around(8, 10, 0.6)
    gaps = [gap(f"g{i:02}", i, vector) for i, vector in enumerate(vectors)]
    before = demand_clusters(gaps[:50], 0.3)
    after = demand_clusters(gaps, 0.3)
    assert {key: after[key] for key in before} == before
    assert len(set(after.values())) < len(gaps)
