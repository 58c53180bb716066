"""Which pictures of a product show something else: DBSCAN within each product, in two steps.

Step 1 clusters a product's embeddings tightly (Ester et al., A Density-Based Algorithm for Discovering Clusters, KDD
1996) and keeps the largest cluster; further ones are kept as other looks of the product (front and back) if they are
at least `look_share` of the largest. Step 2 looks at the noise again and wins back what is near enough to any kept
picture by a looser threshold: hard positives, such as the product from an unusual side.

Ties: of equally large clusters the tighter one, by its mean similarity, counts as largest; if these are equal, too, the
one whose first picture comes first. A product without any cluster, and thus every product with one picture, is kept as
it is: there is nothing to judge by. All this is stated again where it happens.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Vectors = NDArray[np.float32]
"""(n, dimension), unit length."""
NOISE: Final = -1
Verdict = Literal["kept", "other look", "won back", "noise", "unjudged"]


class DenoiseRule(BaseModel):
    """Thresholds are cosine distances, 0 to 2. They were chosen for the released embedder on one half of the styles
    that it was not trained on, by the mean F1 of five kinds of pictures. docs/cleaning.md has the other half."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    eps: float = Field(0.36, gt=0.0, lt=2.0)
    """Step 1: pictures as near as this are neighbours."""
    min_samples: int = Field(2, ge=1)
    """A picture with so many neighbours, itself among them, is the core of a cluster."""
    look_share: float = Field(0.5, gt=0.0, le=1.0)
    """A further cluster of at least this share of the largest one's pictures is another look."""
    win_back: float = Field(0.36, gt=0.0, lt=2.0)
    """Step 2: noise as near as this to a kept picture is won back."""


def dbscan(vectors: Vectors, eps: float, min_samples: int) -> NDArray[np.int64]:
    """The cluster of each vector, NOISE for none; the same labels as scikit-learn's DBSCAN(metric="cosine") gives.

    All distances at once: meant for up to some thousands of vectors. Clusters are numbered by their first core.
    """
    near = vectors @ vectors.T >= 1.0 - eps
    np.fill_diagonal(near, val=True)
    core = near.sum(axis=1) >= min_samples
    labels = np.full(len(vectors), NOISE, np.int64)
    cores = np.flatnonzero(core)
    if len(cores) == 0:
        return labels
    labels[cores] = _components(near[np.ix_(cores, cores)])
    # What is near a core without being one belongs to the first cluster that reaches it.
    for edge in np.flatnonzero(~core):
        reached = labels[cores[near[edge, cores]]]
        if len(reached):
            labels[edge] = reached.min()
    return labels


def _components(near: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The connected component of each, numbered by their lowest index; every row of `near` is looked at once."""
    labels = np.full(len(near), NOISE, np.int64)
    count = 0
    for first in range(len(near)):
        if labels[first] != NOISE:
            continue
        reached = np.array([first])
        while len(reached):
            labels[reached] = count
            reached = np.flatnonzero(near[reached].any(axis=0) & (labels == NOISE))
        count += 1
    return labels


def denoise(vectors: Vectors, rule: DenoiseRule) -> list[Verdict]:
    """What each picture of one product is."""
    labels = dbscan(vectors, rule.eps, rule.min_samples)
    clusters = _by_worth(vectors, labels)
    if not clusters:
        return ["unjudged"] * len(vectors)
    verdicts: list[Verdict] = ["noise"] * len(vectors)
    for rank, members in enumerate(clusters):
        if len(members) >= rule.look_share * len(clusters[0]):
            for i in members.tolist():
                verdicts[i] = "kept" if rank == 0 else "other look"
    kept = np.array([verdict != "noise" for verdict in verdicts])
    nearest = 1.0 - (vectors[~kept] @ vectors[kept].T).max(axis=1)
    for i, distance in zip(np.flatnonzero(~kept).tolist(), nearest.tolist(), strict=True):
        if distance <= rule.win_back:
            verdicts[i] = "won back"
    return verdicts


def _by_worth(vectors: Vectors, labels: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Indices of each cluster's members; the largest first, then the tightest, then the first."""
    members = [np.flatnonzero(labels == label) for label in range(int(labels.max(initial=NOISE)) + 1)]
    return sorted(members, key=lambda own: (-len(own), -_tightness(vectors[own])))


def _tightness(vectors: Vectors) -> float:
    """Mean similarity of all pairs, each with itself among them: the squared length of the mean."""
    mean = vectors.mean(axis=0)
    return round(float(mean @ mean), 6)
