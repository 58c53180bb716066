from __future__ import annotations

import numpy as np
import pytest

from evaluation.capacity import Assumptions, fan_out, hedged_fan_out, row, with_pauses

TIMES = np.random.default_rng(0).lognormal(1.0, 0.4, 10_000)
SIZE = {
    "dimension": 256,
    "pictures": 50_000,
    "memory_bytes_per_picture": 4000,
    "disk_bytes_per_picture": 3000,
    "cpu_ms_per_search": 2.0,
}


def slowly(times: np.ndarray, shards: int, searches: int, quantile: float) -> np.ndarray:
    """Each search by itself, every slow call asked again."""
    rng = np.random.default_rng(7)
    patience = np.quantile(times, quantile)
    ends = []
    for _ in range(searches):
        slowest = 0.0
        for _ in range(shards):
            end = rng.choice(times)
            if end > patience:
                end = min(end, patience + rng.choice(times))
            slowest = max(slowest, end)
        ends.append(slowest)
    return np.array(ends)


@pytest.mark.parametrize("shards", [1, 4])
def test_fan_out_waits_for_the_slowest(shards: int) -> None:
    """The share that is done in time is that of one call, to the power of the shards."""
    ends = fan_out(TIMES, shards, searches=200_000)
    for quantile in (0.5, 0.95, 0.99):
        limit = np.quantile(TIMES, quantile)
        assert (ends <= limit).mean() == pytest.approx(quantile**shards, abs=0.005)


def test_hedging_is_what_asking_again_one_by_one_gives() -> None:
    ends, again = hedged_fan_out(TIMES, 4, searches=100_000, share=1.0)
    expected = slowly(TIMES, 4, 10_000, 0.95)
    assert again == pytest.approx(0.05, abs=0.002)
    for quantile in (0.5, 0.9, 0.99):
        assert np.quantile(ends, quantile) == pytest.approx(np.quantile(expected, quantile), rel=0.03)


def test_no_more_calls_are_repeated_than_allowed_and_none_gets_slower() -> None:
    plain = fan_out(TIMES, 8, searches=50_000, seed=3)
    _, again = hedged_fan_out(TIMES, 8, searches=50_000, share=0.02, seed=3)
    off, none = hedged_fan_out(TIMES, 8, searches=50_000, share=0.0, seed=3)
    assert again == pytest.approx(0.02, abs=0.002)
    assert none == 0.0
    np.testing.assert_array_equal(off, plain)


def test_pauses() -> None:
    paused = with_pauses(TIMES, 0.02, 100.0)
    assert np.mean(paused > 100.0) == pytest.approx(0.02, abs=0.001)


def test_memory_and_nodes_by_hand() -> None:
    given = Assumptions(node_gb=10.0, fill=0.5, replicas=2)
    found = row(2_000_000, given, SIZE)
    assert found["memory GB"] == pytest.approx(16.0), "2 million x 4,000 bytes x 2 replicas"
    assert found["disk GB"] == pytest.approx(6.0)
    assert found["SQL GB"] == pytest.approx(2e6 * (22_937 + 4 * 256) / 1e9)
    assert found["query nodes"] == 4, "8 GB on nodes that take 5, twice"
    assert found["shards"] == 1
    assert row(10**9, given, SIZE)["shards"] == 5
    assert row(10**11, given, SIZE)["shards"] == 11, "a category is in one shard"


def test_more_scans_share_what_stands_there_anyway() -> None:
    costs = [row(1e8, Assumptions(scans_per_second=rate), SIZE)["$ / 1,000 scans, CPU"] for rate in (1, 100, 10_000)]
    assert costs == sorted(costs, reverse=True)
