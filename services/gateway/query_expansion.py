"""Re-ranking by alpha query expansion: the nearest catalogue pictures are added to the query.

Radenovic, Tolias, Chum: Fine-tuning CNN Image Retrieval with No Human Annotation (TPAMI 2019), section 3.3. The
expanded query is the sum of the query and its `pictures` nearest candidates, each times its similarity (where that is
above 0) to the power of alpha, made unit length again; all candidates are then ranked by similarity to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.gateway.ranking import Mode, Ranking, Vectors, by_distance
from shiwu.inference.tuning import QueryExpansionRule

DEFAULT_RULE: Final = QueryExpansionRule(pictures=2, alpha=3.0)
"""For an embedder that was tuned to another way: the paper's alpha, for catalogues with few pictures of a product."""


@dataclass(frozen=True, slots=True)
class QueryExpansion:
    """Re-ranks by similarity to the expanded query."""

    rule: QueryExpansionRule

    mode: Final[Mode] = "query-expansion"

    def rank(self, query: NDArray[np.float32], candidates: Vectors, plain: Ranking) -> Ranking:
        """See `Reranker`. A single candidate stays where it is."""
        if len(candidates) < 2:
            return plain
        taken = plain.order[: self.rule.pictures]
        weights = np.maximum(1.0 - plain.distances[taken], 0.0) ** np.float32(self.rule.alpha)
        expanded = query + weights @ candidates[taken]
        return by_distance(1.0 - candidates @ (expanded / np.linalg.norm(expanded)), self.mode)
