"""Trying every way to re-rank, and choosing one by value: pure functions on observed scans."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import Retrieval, rank_of, retrieval
from evaluation.neighbour_lists import NeighbourLists, order
from evaluation.observations import Observation, Vectors
from services.gateway.k_reciprocal import KReciprocal
from services.gateway.query_bank import QueryBank, corrected, hubness
from services.gateway.query_expansion import QueryExpansion
from services.gateway.ranking import Prints, Ranking, Reranker, by_distance, by_similarity
from services.gateway.verification import Compared, comparable, judged, verified
from shiwu.inference.tuning import (
    DomainMeans,
    KReciprocalRule,
    QueryBankRule,
    QueryExpansionRule,
    RerankRule,
    VerificationRule,
)

NOISE: Final = 0.005
LISTS: Final = "neighbour-lists"

Order = Callable[[Observation], Sequence[int]]
Sets = Mapping[str, Sequence[Observation]]


@dataclass(frozen=True)
class Way:
    """One way to re-rank. rule: None for none, and for what is not served.

    whole: all that a scan has to do; order: the same, but what does not depend on the photo is done once.
    """

    kind: str
    parameters: str
    rule: RerankRule | None
    whole: Order
    order: Order


@dataclass(frozen=True)
class Tried:
    """One way with its parameters and what it made of each set."""

    way: Way
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
    return [Tried(way, {name: quality(photos, way.order) for name, photos in sets.items()}) for way in ways]


def choose(tried: Sequence[Tried]) -> Tried:
    """The way with the best mean average precision that costs no set recall; none, unless it gains more than noise.

    Only ways that are served can be chosen.
    """
    base = tried[0]
    safe = [each for each in tried if each.way.rule is not None and each.costs_nothing(base)]
    best = max(safe, key=lambda each: each.mean_average_precision, default=base)
    return best if best.mean_average_precision - base.mean_average_precision > NOISE else base


def best_of_each_kind(tried: Sequence[Tried]) -> list[Tried]:
    """Of each kind the best that costs nothing, or the best where all cost something."""
    found = []
    for kind in dict.fromkeys(each.way.kind for each in tried):
        own = [each for each in tried if each.way.kind == kind]
        safe = [each for each in own if each.costs_nothing(tried[0])]
        found.append(max(safe or own, key=lambda each: each.mean_average_precision))
    return found


def quality(observations: Sequence[Observation], order: Order) -> Retrieval:
    """Of photos with a known product."""
    return retrieval([rank_of(str(each.product), [each.products[i] for i in order(each)]) for each in observations])


def milliseconds(observations: Sequence[Observation], way: Way) -> float:
    """The median CPU time of the whole way a photo, its candidates' vectors being at hand."""
    taken = []
    for each in observations:
        way.whole(each)  # lists are stored at ingest, not in a scan
        start = time.process_time()
        way.whole(each)
        taken.append((time.process_time() - start) * 1e3)
    return float(np.median(taken))


def similarity_ranking(observation: Observation) -> Ranking:
    """The candidates as search returns them."""
    return by_similarity([neighbour.similarity for neighbour in observation.neighbours])


@dataclass(frozen=True)
class Ranker:
    """Ranks as the gateway does. reranker: None: without."""

    reranker: Reranker | None = None
    verification: Sequence[VerificationRule] = ()

    def rank(self, observation: Observation) -> Ranking:
        """The candidates of one photo."""
        ranking = similarity_ranking(observation)
        if self.reranker is not None:
            ranking = self.reranker.rank(observation.vector, observation.vectors, ranking)
        return verified(ranking, _judged(observation, self.verification)) if self.verification else ranking


def _judged(observation: Observation, rules: Sequence[VerificationRule]) -> Prints:
    neighbours = observation.neighbours
    compared = set(comparable([each.category for each in neighbours], rules))
    return judged(
        [
            Compared(each.category, style, each.similarity, observation.agreements[i] if i in compared else None)
            for i, (each, style) in enumerate(zip(neighbours, observation.styles, strict=True))
        ],
        rules,
    )


def _nothing() -> Way:
    return Way("none", "", None, _as_found, _as_found)


def _as_found(observation: Observation) -> Sequence[int]:
    return range(len(observation.rows))


def _served(reranker: Reranker, parameters: str, rule: RerankRule, order: Order | None = None) -> Way:
    ranker = Ranker(reranker)

    def whole(observation: Observation) -> Sequence[int]:
        return [int(i) for i in ranker.rank(observation).order]

    return Way(reranker.mode, parameters, rule, whole, order or whole)


def _k_reciprocal(means: DomainMeans) -> Iterator[Way]:
    for centre, k1, k2, lambda_ in itertools.product((False, True), (5, 10, 20), (2, 6), (0.5, 0.7, 0.85)):
        rule = KReciprocalRule.model_validate({"k1": k1, "k2": k2, "lambda": lambda_, "centre": centre})
        yield _served(KReciprocal(rule, means if centre else None), f"k1 {k1}, k2 {k2}, lambda {lambda_}", rule)


def _expansion() -> Iterator[Way]:
    for pictures, alpha in itertools.product((1, 2, 5), (0.0, 3.0)):
        rule = QueryExpansionRule(pictures=pictures, alpha=alpha)
        yield _served(QueryExpansion(rule), f"pictures {pictures}, alpha {alpha:g}", rule)


def _bank(bank: Vectors) -> Iterator[Way]:
    for neighbours in (3, 5, 10, 20):
        attraction = _Hubness(bank, neighbours)
        for weight in (0.05, 0.1, 0.15, 0.2, 0.3):
            rule = QueryBankRule(neighbours=neighbours, weight=weight)
            parameters = f"neighbours {neighbours}, weight {weight}"
            yield _served(QueryBank(rule, bank), parameters, rule, partial(_less_hubness, attraction, weight))


class _Hubness:
    """A picture's hubness does not depend on the photo: it is computed once a catalogue."""

    def __init__(self, bank: Vectors, neighbours: int) -> None:
        self._bank = bank
        self._neighbours = neighbours
        self._known: dict[int, NDArray[np.float32]] = {}

    def of(self, observation: Observation) -> NDArray[np.float32]:
        key = id(observation.gallery)
        if key not in self._known:
            self._known[key] = hubness(observation.gallery, self._bank, self._neighbours)
        return self._known[key][observation.rows]


def _less_hubness(attraction: _Hubness, weight: float, observation: Observation) -> Sequence[int]:
    distances = corrected(similarity_ranking(observation).distances, attraction.of(observation), weight)
    return [int(i) for i in by_distance(distances, "query-bank").order]


def _lists() -> Iterator[Way]:
    for k1, k2 in itertools.product((5, 10), (2, 6)):
        lists, known = NeighbourLists(k1, k2), _Jaccards(NeighbourLists(k1, k2))
        for lambda_ in (0.5, 0.7, 0.85):
            parameters = f"k1 {k1}, k2 {k2}, lambda {lambda_}"
            whole = partial(_by_lists, lists.jaccard, lambda_)
            yield Way(LISTS, parameters, None, whole, partial(_by_lists, known.of, lambda_))


class _Jaccards:
    """The distances of the lists, which do not depend on lambda: computed once a photo."""

    def __init__(self, lists: NeighbourLists) -> None:
        self._lists = lists
        self._known: dict[int, NDArray[np.float32]] = {}

    def of(self, observation: Observation) -> NDArray[np.float32]:
        key = id(observation)
        if key not in self._known:
            self._known[key] = self._lists.jaccard(observation)
        return self._known[key]


def _by_lists(
    jaccard: Callable[[Observation], NDArray[np.float32]], lambda_: float, observation: Observation
) -> Sequence[int]:
    return order(similarity_ranking(observation).distances, jaccard(observation), lambda_)
