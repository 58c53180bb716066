"""Figures from rankings, against counting by hand."""

from __future__ import annotations

import math

import pytest

from evaluation.metrics import interval, percentiles, rank_of, retrieval


def test_recall_counts_ranks_and_precision_is_their_reciprocal():
    figures = retrieval([1, 2, 6, None])
    assert figures.as_json() == {"recall@1": 0.25, "recall@5": 0.5, "recall@10": 0.75, "map": 0.4167}


def test_nothing_scanned_is_not_a_number():
    assert all(math.isnan(value) for value in retrieval([]).as_json().values())


def test_of_a_name_the_first_place_counts():
    assert rank_of("b", ["a", "a", "b", "b"]) == 2
    assert rank_of("c", ["a", "b"]) is None


def test_percentiles():
    assert percentiles([float(i) for i in range(101)]) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}


def test_interval_holds_the_share_and_shrinks_with_more_scans():
    few, many = interval([True, False] * 10), interval([True, False] * 1000)
    assert few[0] < many[0] < 0.5 < many[1] < few[1]
    assert many == pytest.approx((0.478, 0.522), abs=0.004)
