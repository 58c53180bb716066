"""Re-ranking by k-reciprocal encoding.

Zhong, Zheng, Cao, Li: Re-ranking Person Re-identification with k-reciprocal Encoding (CVPR 2017). Where the paper
leaves a choice, this is ours:

- The pool is the query and its n candidates. d(p, g) = 1 - cos(p, g), half the squared distance of unit vectors, so
  that the paper's weights exp(-d) are a Gaussian kernel.
- N(p, k) is p itself and its k nearest others (as in the authors' code); equal distances: by the candidates' order.
- k / 2 is rounded up.
- V is not normalised: the Jaccard distance divides by the sum of maxima, as in the paper's equation 10.
- The local query expansion averages over p itself and its k2 - 1 nearest others (as in the authors' code).

Photos of people and of merchants differ, so that merchants' pictures are near each other and far from every photo:
then no photo is anybody's reciprocal neighbour and the method fails. Mode "domain" looks for neighbours after
subtracting each side's mean embedding. The distance d that the result is mixed with stays the original one: a mean is
an estimate, and where it is wrong only the neighbours suffer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.gateway.ranking import Mode, Ranking, Vectors, by_distance
from shiwu.inference.tuning import DomainMeans, KReciprocalRule

DEFAULT_RULE: Final = KReciprocalRule.model_validate({"k1": 20, "k2": 6, "lambda": 0.3, "centre": False})
"""The paper's parameters, for an embedder that nobody has tuned."""


@dataclass(frozen=True, slots=True)
class KReciprocal:
    """Re-ranks by k-reciprocal encoding; across the domains' gap if their means are known."""

    rule: KReciprocalRule
    means: DomainMeans | None = None

    @property
    def mode(self) -> Mode:
        """What is done."""
        return "plain" if self.means is None else "domain"

    def rank(self, query: NDArray[np.float32], candidates: Vectors, plain: Ranking) -> Ranking:
        """See `Reranker`. Leaves the order alone where it cannot help.

        With fewer than k1 + 2 candidates all are each other's neighbours.
        """
        if self.rule.lambda_ == 1.0 or len(candidates) < self.rule.k1 + 2:
            return plain
        original: NDArray[np.float32] | None = None
        if self.means is not None:
            original = np.maximum(1.0 - candidates @ query, 0.0)
            query = centred(query[None], self.means.photo)[0]
            candidates = centred(candidates, self.means.merchant)
        distances = k_reciprocal(np.concatenate([query[None], candidates]), self.rule, original)
        return by_distance(distances, self.mode)


def centred(vectors: Vectors, mean: tuple[float, ...]) -> Vectors:
    """The vectors less their domain's mean, made unit length again; one that was the mean stays as it was."""
    moved = vectors - np.asarray(mean, np.float32)
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.where(lengths > 1e-6, moved / np.maximum(lengths, 1e-6), vectors).astype(np.float32)


def k_reciprocal(
    pool: Vectors, rule: KReciprocalRule, original: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """The final distance (1 - lambda) d_J + lambda d of pool[0], the query, to each other row, shape (n,), n >= 1.

    original: the d to mix in, shape (n,), if it is not the pool's own.

    Sets are boolean rows over the pool, so that sizes of intersections, unions over neighbours and means over
    neighbours are one matrix product each.
    """
    distances, weights = encoded(pool, rule.k1, rule.k2)
    mixed_in = distances[0, 1:] if original is None else original
    final: NDArray[np.float32] = (1.0 - rule.lambda_) * jaccard(weights[0], weights[1:]) + rule.lambda_ * mixed_in
    return final.astype(np.float32, copy=False)


def encoded(pool: Vectors, k1: int, k2: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """All distances within the pool and every member's weights over it, V of the paper, both of shape (n, n)."""
    distances = np.maximum(1.0 - pool @ pool.T, 0.0)
    np.fill_diagonal(distances, 0.0)
    order = _neighbour_order(distances)
    reciprocal = _reciprocal(order, k1)
    half = _reciprocal(order, (k1 + 1) // 2)
    half_f = half.astype(np.float32)
    # Row p, column q: how many of R(q, k1 / 2) are in R(p, k1). Whole numbers below 2 ** 24 are exact in float32.
    overlap = reciprocal.astype(np.float32) @ half_f.T
    joins = reciprocal & (3.0 * overlap >= 2.0 * half_f.sum(axis=1))
    expanded = reciprocal | (joins.astype(np.float32) @ half_f > 0.0)
    weights = np.where(expanded, np.exp(-distances), np.float32(0.0))
    return distances, _mean_over_nearest(weights, order, k2)


def jaccard(one: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """The Jaccard distance of weights (m,) to each row of (n, m), shape (n,)."""
    shared = np.minimum(others, one).sum(axis=1)
    # max(a, b) = a + b - min(a, b)
    total = others.sum(axis=1) + one.sum() - shared
    distance: NDArray[np.float32] = 1.0 - shared / total
    return distance


def _neighbour_order(distances: NDArray[np.float32]) -> NDArray[np.intp]:
    """Each row's indices, itself first, then by distance, equal ones by index."""
    n = len(distances)
    # Bits of floats from 0 on sort as the floats do. With the index below them every key is unique, so that the
    # fastest sort is a stable one. Itself gets the smallest key even if another is as near.
    keys = np.ascontiguousarray(distances + np.float32(0.0)).view(np.uint32).astype(np.uint64)
    keys += np.uint64(1)
    np.fill_diagonal(keys, 0)
    keys = (keys << np.uint64(32)) | np.arange(n, dtype=np.uint64)
    keys.sort(axis=1)
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.intp)


def _reciprocal(order: NDArray[np.intp], k: int) -> NDArray[np.bool_]:
    """Row p: R(p, k), those of N(p, k) that have p in theirs."""
    nearest = np.zeros(order.shape, bool)
    np.put_along_axis(nearest, order[:, : k + 1], values=True, axis=1)
    return nearest & nearest.T


def _mean_over_nearest(weights: NDArray[np.float32], order: NDArray[np.intp], k2: int) -> NDArray[np.float32]:
    """Local query expansion: each row's mean over the rows of its k2 nearest, itself among them."""
    if k2 <= 1:
        return weights
    taken = order[:, :k2]
    average = np.zeros_like(weights)
    np.put_along_axis(average, taken, values=np.float32(1.0 / taken.shape[1]), axis=1)
    return average @ weights
