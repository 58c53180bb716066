"""Figures from rankings: pure functions on lists and arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Retrieval:
    """Shares of queries, 0 to 1."""

    recall_1: float
    recall_5: float
    recall_10: float
    mean_average_precision: float

    def as_json(self) -> dict[str, float]:
        values = (self.recall_1, self.recall_5, self.recall_10, self.mean_average_precision)
        return dict(zip(("recall@1", "recall@5", "recall@10", "map"), (round(v, 4) for v in values), strict=True))


def retrieval(ranks: Sequence[int | None]) -> Retrieval:
    """From the rank (from 1) of the one right answer of each query; None where it was not returned.

    With one right answer the average precision of a query is the reciprocal of its rank.
    """
    if not ranks:
        return Retrieval(math.nan, math.nan, math.nan, math.nan)
    found = np.array([np.inf if rank is None else float(rank) for rank in ranks])
    within = [float((found <= k).mean()) for k in (1, 5, 10)]
    return Retrieval(within[0], within[1], within[2], float((1 / found).mean()))


def rank_of(answer: str, ranking: Sequence[str]) -> int | None:
    """Rank of the answer, from 1, when of each name the first place counts."""
    distinct = list(dict.fromkeys(ranking))
    return distinct.index(answer) + 1 if answer in distinct else None


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99, to 2 places."""
    points = np.percentile(values, [50, 95, 99]) if values else [float("nan")] * 3
    return {name: round(float(value), 2) for name, value in zip(("p50", "p95", "p99"), points, strict=True)}


def interval(correct: Sequence[bool], draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of a share."""
    outcomes = np.asarray(correct, float)
    samples = np.random.default_rng(seed).choice(outcomes, (draws, len(outcomes))).mean(axis=1)
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)
