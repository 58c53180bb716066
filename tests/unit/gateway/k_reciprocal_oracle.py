"""k-reciprocal re-ranking as the paper writes it, one set and one sum at a time (Zhong et al., CVPR 2017).

Sections 3.2 to 3.4 and equations 2 to 12, on float32 numbers; the choices that the paper leaves are those that
services/gateway/k_reciprocal.py documents. Slow and obvious on purpose.
"""

from __future__ import annotations

import numpy as np

F = np.float32


def distance(p, g):
    """d(p, g) = 1 - cos."""
    return max(F(1) - F(np.dot(p, g)), F(0))


def nearest(distances, p, k):
    """N(p, k), eq. 2: p and its k nearest others, a list; equal distances by index."""
    others = [g for g in range(len(distances)) if g != p]
    others.sort(key=lambda g: (distances[p][g], g))
    return [p, *others[:k]]


def reciprocal(distances, p, k):
    """R(p, k), eq. 3."""
    return {g for g in nearest(distances, p, k) if p in nearest(distances, g, k)}


def expanded(distances, p, k1):
    """R*(p, k), eq. 4: R(p, k) and every R(q, k / 2) that overlaps it by two thirds of itself, q in R(p, k)."""
    base = reciprocal(distances, p, k1)
    result = set(base)
    for q in base:
        half = reciprocal(distances, q, (k1 + 1) // 2)
        if 3 * len(base & half) >= 2 * len(half):
            result |= half
    return result


def encoding(distances, p, k1):
    """V_p, eq. 7: exp(-d(p, g)) where g is in R*(p, k1), else 0."""
    members = expanded(distances, p, k1)
    return [F(np.exp(-distances[p][g])) if g in members else F(0) for g in range(len(distances))]


def expanded_query(encodings, distances, p, k2):
    """eq. 11: the mean encoding of the k2 nearest, p among them."""
    group = nearest(distances, p, k2 - 1) if k2 > 1 else [p]
    columns = range(len(distances))
    return [F(sum((encodings[g][c] for g in group), F(0)) / F(len(group))) for c in columns]


def jaccard(a, b):
    """d_J, eq. 10."""
    low, high = F(0), F(0)
    for x, y in zip(a, b, strict=True):
        low += min(x, y)
        high += max(x, y)
    return F(1) - low / high


def encoded(pool, k1, k2):
    """Every member's expanded encoding, and all distances."""
    n = len(pool)
    distances = [[F(0) if p == g else distance(pool[p], pool[g]) for g in range(n)] for p in range(n)]
    encodings = [encoding(distances, p, k1) for p in range(n)]
    return [expanded_query(encodings, distances, p, k2) for p in range(n)], distances


def final_distances(pool, k1, k2, lambda_):
    """d*(q, g), eq. 12, of the query pool[0] to every other row."""
    encodings, distances = encoded(pool, k1, k2)
    return np.array(
        [
            F(1 - lambda_) * jaccard(encodings[0], encodings[g]) + F(lambda_) * distances[0][g]
            for g in range(1, len(pool))
        ],
        np.float32,
    )
