"""Measures of retrieval: recall at k and mean average precision, with bootstrap confidence intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""Unit vectors, (n, dimension)."""
Labels = NDArray[np.str_]

_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over queries and its 95 % bootstrap interval; queries of one product are drawn together."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Report:
    """One measurement: how many queries had an answer in the gallery, and how well they found it."""

    queries: int
    gallery: int
    recall_1: Estimate
    recall_5: Estimate
    map: Estimate


def retrieve(queries: Vectors, query_labels: Labels, gallery: Vectors, gallery_labels: Labels) -> Report:
    """Every query against the whole gallery, by cosine."""
    return _report(queries @ gallery.T, query_labels, gallery_labels)


def leave_one_out(vectors: Vectors, labels: Labels, gallery: Vectors | None = None) -> Report:
    """Every vector against all others. gallery: the same pictures as a gallery keeps them; None: as they are sought."""
    similarity = vectors @ (vectors if gallery is None else gallery).T
    np.fill_diagonal(similarity, -np.inf)
    return _report(similarity, labels, labels)


def _report(similarity: NDArray[np.float32], query_labels: Labels, gallery_labels: Labels) -> Report:
    order = np.argsort(-similarity, axis=1, kind="stable")
    right = gallery_labels[order] == query_labels[:, None]
    # In leave-one-out the query itself comes last, with -inf, and is no answer.
    right &= np.isfinite(np.take_along_axis(similarity, order, axis=1))
    answered = right.any(axis=1)
    right, labels = right[answered], query_labels[answered]
    hits = np.cumsum(right, axis=1)
    precision = hits / np.arange(1, right.shape[1] + 1)
    average = (precision * right).sum(axis=1) / right.sum(axis=1)
    return Report(
        queries=len(right),
        gallery=len(gallery_labels),
        recall_1=_bootstrap(right[:, 0].astype(np.float64), labels),
        recall_5=_bootstrap(right[:, :5].any(axis=1).astype(np.float64), labels),
        map=_bootstrap(average.astype(np.float64), labels),
    )


def _bootstrap(values: NDArray[np.float64], clusters: Labels) -> Estimate:
    """Mean and 95 % interval; whole products are resampled, since photos of one product succeed or fail together."""
    if len(values) == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    _, index = np.unique(clusters, return_inverse=True)
    sums = np.bincount(index, weights=values)
    counts = np.bincount(index)
    draws = np.random.default_rng(0).integers(0, len(sums), (_RESAMPLES, len(sums)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high))
