"""Re-ranking by neighbour lists that the catalogue would store with each vector: measured, not served.

At ingest every merchant's picture g gets its k-reciprocal encoding V_g over the merchants' pictures alone
(services/gateway/k_reciprocal.py): who is whose neighbour is then settled within one domain, where a pool around a
user's photo mixes two. A query has no place in these lists, so that it takes the mean of its k2 nearest pictures'
(the paper's local query expansion without the query itself). The distance is (1 - lambda) Jaccard(V_q, V_g) + lambda d.

Served, each vector would carry about k1 pairs of picture and weight, and every picture added, moved or deleted would
change the lists of its neighbours: a cost that only a gain would justify.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evaluation.observations import Observation
from services.gateway.k_reciprocal import encoded, jaccard


@dataclass(frozen=True)
class NeighbourLists:
    """The lists of every catalogue that was asked about."""

    k1: int
    k2: int
    _stored: dict[tuple[int, int | None], NDArray[np.float32]] = field(default_factory=dict)

    def jaccard(self, observation: Observation) -> NDArray[np.float32]:
        """The Jaccard distance of each neighbour to the photo, shape (n,)."""
        lists = self._of(observation)
        query = lists[observation.rows[: self.k2]].mean(axis=0)
        return jaccard(query, lists[observation.rows])

    def _of(self, observation: Observation) -> NDArray[np.float32]:
        """A photo that is itself a picture of the catalogue must not be in anybody's list."""
        own = observation.own_row
        key = (id(observation.gallery), own)
        lists = self._stored.get(key)
        if lists is None:
            size = len(observation.gallery)
            kept = np.array([row for row in range(size) if row != own], np.intp)
            lists = np.zeros((size, size), np.float32)
            lists[np.ix_(kept, kept)] = encoded(observation.gallery[kept], self.k1, self.k2)[1]
            if own is None:  # the others are asked for once
                self._stored[key] = lists
        return lists


def order(distances: Sequence[float] | NDArray[np.float32], jaccards: NDArray[np.float32], lambda_: float) -> list[int]:
    """Candidates by the mixed distance, best first; equal ones keep their order."""
    mixed = (1.0 - lambda_) * jaccards + lambda_ * np.asarray(distances, np.float32)
    return [int(i) for i in np.argsort(mixed, kind="stable")]
