"""The order of one query's candidates, and what every way of re-ranking them has in common.

The ways: k-reciprocal encoding, plain and across the domains' gap (k_reciprocal.py), a bank of past queries
(query_bank.py) and query expansion (query_expansion.py). Which one is used is tuned for each embedder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""Unit vectors, shape (n, dimension)."""

Mode = Literal["none", "plain", "domain", "query-bank", "query-expansion"]


class Prints(NamedTuple):
    """What comparing prints tells of each candidate, in the candidates' own order; all of shape (n,)."""

    proofs: NDArray[np.float32]
    """How surely it shows the same print as the photo, 0 to 1."""
    worth: NDArray[np.float32]
    """What that counts, as cosine similarity."""
    shared: NDArray[np.float32]
    """How much of its print is in the photo, as surely as that is proven, 0 to 1: at the same places, in the same
    colours, alike in every part."""


class Ranking(NamedTuple):
    """Candidates in their new order."""

    order: NDArray[np.intp]
    """Indices of the candidates, best first, shape (n,)."""
    distances: NDArray[np.float32]
    """What was sorted by, in the candidates' own order, shape (n,); smaller is better."""
    mode: Mode
    """What was really done."""
    hubness: NDArray[np.float32] | None = None
    """How strongly each candidate attracts past queries, in the candidates' own order, shape (n,), if that is known."""
    prints: Prints | None = None
    """None where they were not compared."""


class Reranker(Protocol):
    """One way to re-rank."""

    @property
    def mode(self) -> Mode:
        """What it is called in answers."""
        ...

    def rank(self, query: NDArray[np.float32], candidates: Vectors, plain: Ranking) -> Ranking:
        """Ranks the candidates, (n, dimension), for the query, (dimension,); `plain` is their order by similarity.

        Returns `plain` where it cannot help. Equal distances keep the candidates' order.
        """
        ...


def by_similarity(similarities: Sequence[float]) -> Ranking:
    """Candidates by cosine distance alone; equal ones keep their order."""
    return by_distance(1.0 - np.array(similarities, np.float32), "none")


def by_distance(distances: NDArray[np.float32], mode: Mode, hubness: NDArray[np.float32] | None = None) -> Ranking:
    """Candidates by a distance; equal ones keep their order."""
    return Ranking(np.argsort(distances, kind="stable"), distances, mode, hubness)
