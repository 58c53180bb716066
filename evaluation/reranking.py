"""Trying every way to re-rank, and choosing one by value: pure functions on observed scans."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from evaluation.metrics import Retrieval, rank_of, retrieval
from evaluation.neighbour_lists import NeighbourLists, order
from evaluation.observing import Observation, Vectors
from services.gateway.k_reciprocal import KReciprocal
from services.gateway.query_bank import corrected, hubness
from services.gateway.query_expansion import QueryExpansion
from services.gateway.ranking import Ranking, Reranker, by_distance, by_similarity
from shiwu.inference.manifest import DomainMeans, KReciprocalRule, QueryBankRule, QueryExpansionRule, RerankRule

NOISE: Final = 0.005
LISTS: Final = "neighbour-lists"

Order = Callable[[Observation], Sequence[int]]
Sets = Mapping[str, Sequence[Observation]]


@dataclass(frozen=True)
class Tried:
    """One way with its parameters and what it made of each set. rule: None for none, and for what is not served."""

    kind: str
    parameters: str
    rule: RerankRule | None
    qualities: Mapping[str, Retrieval]

    @property
    def mean_average_precision(self) -> float:
        """The mean over the sets, each counting as much as any other."""
        return float(np.mean([each.mean_average_precision for each in self.qualities.values()]))

    def costs_nothing(self, base: Tried) -> bool:
        """Whether no set loses recall at 1 or at 5 beyond noise."""
        return all(
            own.recall_1 >= other.recall_1 - NOISE and own.recall_5 >= other.recall_5 - NOISE
            for own, other in ((self.qualities[name], base.qualities[name]) for name in base.qualities)
        )


def try_all(sets: Sets, bank: Vectors, means: DomainMeans) -> list[Tried]:
    """Every way on the grid; the first is none."""
    ways = [_nothing(), *_k_reciprocal(means), *_expansion(), *_bank(bank), *_lists()]
    return [
        Tried(kind, parameters, rule, {name: quality(photos, way) for name, photos in sets.items()})
        for kind, parameters, rule, way in ways
    ]


def choose(tried: Sequence[Tried]) -> Tried:
    """The way with the best mean average precision that costs no set recall; none, unless it gains more than noise.

    Only ways that are served can be chosen.
    """
    base = tried[0]
    safe = [each for each in tried if each.rule is not None and each.costs_nothing(base)]
    best = max(safe, key=lambda each: each.mean_average_precision, default=base)
    return best if best.mean_average_precision - base.mean_average_precision > NOISE else base


def best_of_each_kind(tried: Sequence[Tried]) -> list[Tried]:
    """Of each kind the best that costs nothing, or the best where all cost something."""
    found = []
    for kind in dict.fromkeys(each.kind for each in tried):
        own = [each for each in tried if each.kind == kind]
        safe = [each for each in own if each.costs_nothing(tried[0])]
        found.append(max(safe or own, key=lambda each: each.mean_average_precision))
    return found


def quality(observations: Sequence[Observation], way: Order) -> Retrieval:
    """Of photos with a known product."""
    return retrieval([rank_of(str(each.product), [each.products[i] for i in way(each)]) for each in observations])


def similarity_ranking(observation: Observation) -> Ranking:
    """The candidates as search returns them."""
    return by_similarity([neighbour.similarity for neighbour in observation.neighbours])


def ranked(observation: Observation, reranker: Reranker | None) -> Ranking:
    """As the gateway ranks."""
    plain = similarity_ranking(observation)
    return plain if reranker is None else reranker.rank(observation.vector, observation.vectors, plain)


_Way = tuple[str, str, RerankRule | None, Order]


def _nothing() -> _Way:
    return "none", "", None, lambda each: range(len(each.rows))


def _served(reranker: Reranker) -> Order:
    return lambda each: [int(i) for i in ranked(each, reranker).order]


def _k_reciprocal(means: DomainMeans) -> Iterator[_Way]:
    for centre, k1, k2, lambda_ in itertools.product((False, True), (5, 10, 20), (2, 6), (0.5, 0.7, 0.85)):
        rule = KReciprocalRule.model_validate({"k1": k1, "k2": k2, "lambda": lambda_, "centre": centre})
        reranker = KReciprocal(rule, means if centre else None)
        yield reranker.mode, f"k1 {k1}, k2 {k2}, lambda {lambda_}", rule, _served(reranker)


def _expansion() -> Iterator[_Way]:
    for pictures, alpha in itertools.product((1, 2, 5), (0.0, 3.0)):
        rule = QueryExpansionRule(pictures=pictures, alpha=alpha)
        reranker = QueryExpansion(rule)
        yield reranker.mode, f"{pictures} pictures, alpha {alpha:g}", rule, _served(reranker)


def _bank(bank: Vectors) -> Iterator[_Way]:
    """A picture's hubness does not depend on the photo: it is computed once a catalogue."""
    for neighbours in (3, 5, 10, 20):
        of_catalogue: dict[int, Vectors] = {}
        for weight in (0.1, 0.15, 0.2, 0.25, 0.3):

            def way(
                each: Observation,
                neighbours: int = neighbours,
                weight: float = weight,
                known: dict[int, Vectors] = of_catalogue,
            ) -> Sequence[int]:
                key = id(each.gallery)
                if key not in known:
                    known[key] = hubness(each.gallery, bank, neighbours)
                distances = corrected(similarity_ranking(each).distances, known[key][each.rows], weight)
                return [int(i) for i in by_distance(distances, "query-bank").order]

            yield (
                "query-bank",
                f"{neighbours} nearest, weight {weight}",
                QueryBankRule(neighbours=neighbours, weight=weight),
                way,
            )


def _lists() -> Iterator[_Way]:
    for k1, k2 in itertools.product((5, 10), (2, 6)):
        lists = NeighbourLists(k1, k2)
        jaccards: dict[int, Vectors] = {}
        for lambda_ in (0.5, 0.7, 0.85):

            def way(
                each: Observation,
                lists: NeighbourLists = lists,
                known: dict[int, Vectors] = jaccards,
                lambda_: float = lambda_,
            ) -> Sequence[int]:
                if id(each) not in known:
                    known[id(each)] = lists.jaccard(each)
                return order(similarity_ranking(each).distances, known[id(each)], lambda_)

            yield LISTS, f"k1 {k1}, k2 {k2}, lambda {lambda_}", None, way
