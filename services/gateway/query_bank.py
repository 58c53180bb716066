"""Re-ranking by a bank of past queries: a candidate that attracts all queries says little about this one.

In many dimensions a few vectors are among the nearest of nearly every query: hubs (Radovanovic, Nanopoulos, Ivanovic,
JMLR 2010). A candidate's hubness is the mean cosine similarity to it of its `neighbours` nearest past queries, and

    distance = 1 - (similarity - weight * hubness)

That is the candidate's side of CSLS (Conneau et al., Word Translation Without Parallel Data, ICLR 2018; the query's
side is the same for all candidates), with a weight since a bank knows other products' queries, not this catalogue's.
Bogolin et al., Cross Modal Retrieval with Querybank Normalisation (CVPR 2022), introduced the bank of queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.gateway.ranking import Mode, Ranking, Vectors, by_distance
from shiwu.inference.tuning import QueryBankRule


@dataclass(frozen=True, slots=True)
class QueryBank:
    """Re-ranks by similarity less hubness. queries: the bank, (m, dimension), m >= 1, of the candidates' model."""

    rule: QueryBankRule
    queries: Vectors

    mode: Final[Mode] = "query-bank"

    def rank(self, query: NDArray[np.float32], candidates: Vectors, plain: Ranking) -> Ranking:  # noqa: ARG002
        """See `Reranker`."""
        attraction = hubness(candidates, self.queries, self.rule.neighbours)
        return by_distance(corrected(plain.distances, attraction, self.rule.weight), self.mode, attraction)


def hubness(candidates: Vectors, queries: Vectors, neighbours: int) -> NDArray[np.float32]:
    """Mean similarity of each candidate's nearest past queries, shape (n,); of all if there are not so many."""
    similarities = candidates @ queries.T
    k = min(neighbours, len(queries))
    nearest = np.partition(similarities, len(queries) - k, axis=1)[:, len(queries) - k :]
    return np.asarray(nearest.mean(axis=1), np.float32)


def corrected(distances: NDArray[np.float32], hubness: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """Cosine distances with the hubs moved away, shape (n,)."""
    return distances + np.float32(weight) * hubness
