"""Fitting the vote, the re-ranking and the acceptance to observed scans: pure functions on arrays."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.classifier.voting import Neighbour, vote
from services.gateway.ranking import Mode, by_similarity, rank
from shiwu.inference.manifest import AcceptanceRule, DomainMeans, RerankRule, VoteRule

Vectors = NDArray[np.float32]

_MIN_FOR_OWN_THRESHOLD = 40
_NOISE = 0.005


@dataclass(frozen=True)
class Observation:
    """A photo of known category or product, and the catalogue's pictures nearest to it, nearest first.

    source: the set that the photo is of. detector: category and score. vectors: of the neighbours, (n, dimension).
    """

    source: str
    category: str
    product: str | None
    detector: Sequence[tuple[str, float]]
    vector: NDArray[np.float32]
    neighbours: Sequence[Neighbour]
    products: Sequence[str]
    vectors: Vectors


def macro_accuracy(truth: Sequence[str], guesses: Sequence[str]) -> float:
    """Mean over the categories of the share of photos guessed right: the rare ones count as much."""
    rights: dict[str, list[bool]] = {}
    for category, guess in zip(truth, guesses, strict=True):
        rights.setdefault(category, []).append(category == guess)
    return float(np.mean([np.mean(right) for right in rights.values()]))


def voted(observation: Observation, rule: VoteRule) -> str:
    """The category that the vote puts first; empty if nobody votes."""
    if not observation.neighbours and not observation.detector:
        return ""
    return vote(observation.detector, observation.neighbours, rule).categories[0][0]


def fit_vote(observations: Sequence[Observation]) -> tuple[VoteRule, float]:
    """The rule with the best macro accuracy on a grid, and that accuracy; of equal ones the one nearest to the middle.

    Each rule's neighbours on the grid count as much as itself, so that a lucky cell does not win.
    """
    axes: tuple[Sequence[float], ...] = (
        (5, 10, 20, 30, 50),  # neighbours
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7),  # detector_weight
        (0.03, 0.06, 0.1, 0.2),  # temperature
        (0.0, 0.5, 1.0),  # rank_decay
    )
    truth = [observation.category for observation in observations]
    table = np.zeros([len(axis) for axis in axes])
    for place in np.ndindex(table.shape):
        rule = _vote_rule(axes, place)
        table[place] = macro_accuracy(truth, [voted(observation, rule) for observation in observations])
    place = tuple(int(i) for i in np.unravel_index(int((table + _smoothed(table)).argmax()), table.shape))
    return _vote_rule(axes, place), float(table[place])


def _vote_rule(axes: Sequence[Sequence[float]], place: Sequence[int]) -> VoteRule:
    k, weight, temperature, decay = (axis[i] for axis, i in zip(axes, place, strict=True))
    return VoteRule(neighbours=int(k), detector_weight=weight, temperature=temperature, rank_decay=decay)


def _smoothed(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each cell's mean with its neighbours along every axis."""
    total, count = np.zeros_like(table), np.zeros_like(table)
    padded, ones = np.pad(table, 1), np.pad(np.ones_like(table), 1)
    for shift in itertools.product((0, 1, 2), repeat=table.ndim):
        window = tuple(slice(s, s + n) for s, n in zip(shift, table.shape, strict=True))
        total += padded[window]
        count += ones[window]
    return np.asarray(total / count)


@dataclass(frozen=True)
class RankingQuality:
    """Over photos with a known product: recall at 1 and at 5, and the mean reciprocal rank."""

    recall_1: float
    recall_5: float
    mean_average_precision: float


def ranking_quality(observations: Sequence[Observation], orders: Sequence[Sequence[int]]) -> RankingQuality:
    """orders: of each observation its candidates' indices, best first."""
    ranks = []
    for each, order in zip(observations, orders, strict=True):
        products = list(dict.fromkeys(each.products[i] for i in order))
        ranks.append(products.index(each.product) + 1 if each.product in products else np.inf)
    found = np.array(ranks)
    return RankingQuality(float((found <= 1).mean()), float((found <= 5).mean()), float((1 / found).mean()))


def reranked(observation: Observation, rule: RerankRule, means: DomainMeans) -> Sequence[int]:
    """The candidates' order under a rule."""
    plain = by_similarity([neighbour.similarity for neighbour in observation.neighbours])
    mode: Mode = "domain" if rule.centre else "plain"
    ranking = rank(observation.vector, observation.vectors, plain, mode, rule, means)
    return [int(i) for i in ranking.order]


def fit_rerank(
    observations: Sequence[Observation], means: DomainMeans
) -> tuple[RerankRule, list[tuple[RerankRule, RankingQuality]]]:
    """The rule with the best mean reciprocal rank that costs no set of photos recall, and all that were tried.

    The mean is over the sets, each counting as much as any other. lambda 1, which leaves the order alone, is among the
    rules: it wins where re-ranking would hurt, or gains no more than noise, half a point.
    """
    grid = [(20, 6, 1.0, False)]
    grid += list(itertools.product((5, 8, 10, 20), (2, 3, 6), (0.3, 0.5, 0.7, 0.85), (False, True)))
    sets = {each.source: [other for other in observations if other.source == each.source] for each in observations}
    tried = []
    for k1, k2, lambda_, centre in grid:
        rule = RerankRule.model_validate({"k1": k1, "k2": k2, "lambda": lambda_, "centre": centre})
        tried.append((rule, [_quality(photos, rule, means) for photos in sets.values()]))
    base = tried[0][1]
    safe = [each for each in tried if all(map(_keeps_recall, each[1], base))]
    means_tried = [(rule, _mean_quality(qualities)) for rule, qualities in tried]
    best = max(safe, key=lambda each: _mean_quality(each[1]).mean_average_precision)
    gain = _mean_quality(best[1]).mean_average_precision - means_tried[0][1].mean_average_precision
    return (best if gain > _NOISE else tried[0])[0], means_tried


def _keeps_recall(new: RankingQuality, old: RankingQuality) -> bool:
    return new.recall_1 >= old.recall_1 - _NOISE and new.recall_5 >= old.recall_5 - _NOISE


def _quality(observations: Sequence[Observation], rule: RerankRule, means: DomainMeans) -> RankingQuality:
    return ranking_quality(observations, [reranked(observation, rule, means) for observation in observations])


def _mean_quality(qualities: Sequence[RankingQuality]) -> RankingQuality:
    table = np.array([(each.recall_1, each.recall_5, each.mean_average_precision) for each in qualities])
    return RankingQuality(*table.mean(axis=0).tolist())


@dataclass(frozen=True)
class Judged:
    """The best product of one scan. similarity: its cosine; lead: over the next product; right: whether it was it."""

    category: str
    similarity: float
    lead: float
    right: bool
    present: bool
    """Whether the product was in the catalogue at all."""


def fit_acceptance(judged: Sequence[Judged], false_accepts: float) -> AcceptanceRule:
    """Logistic regression of `right` on similarity and lead, with the lowest thresholds that keep to the rate.

    false_accepts: the share of photos whose product is absent that may be answered with a product. A category with
    enough absent photos gets a threshold of its own.
    """
    features = np.array([[1.0, each.similarity, each.lead] for each in judged])
    right = np.array([each.right for each in judged], float)
    bias, similarity, margin = _logistic(features, right)
    rule = AcceptanceRule(bias=bias, similarity=similarity, margin=margin, threshold=0.5)
    probabilities = 1.0 / (1.0 + np.exp(-features @ np.array([bias, similarity, margin])))
    absent = np.array([not each.present for each in judged])
    categories = np.array([each.category for each in judged])
    own = {
        str(category): _threshold(probabilities[absent & (categories == category)], false_accepts)
        for category in np.unique(categories)
        if (absent & (categories == category)).sum() >= _MIN_FOR_OWN_THRESHOLD
    }
    return rule.model_copy(update={"threshold": _threshold(probabilities[absent], false_accepts), "thresholds": own})


def _threshold(absent: NDArray[np.float64], rate: float) -> float:
    return round(min(1.0, float(np.quantile(absent, 1.0 - rate)) + 1e-4), 4)


def _logistic(features: NDArray[np.float64], right: NDArray[np.float64]) -> tuple[float, float, float]:
    """Maximum likelihood with a slight ridge, by Newton's method."""
    ridge = np.diag([0.0, 1e-2, 1e-2])
    beta = np.zeros(3)
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(features @ beta, -30, 30)))
        gradient = features.T @ (p - right) + ridge @ beta
        hessian = (features * (p * (1 - p))[:, None]).T @ features + ridge + 1e-9 * np.eye(3)
        step = np.linalg.solve(hessian, gradient)
        beta = beta - step
        if np.abs(step).max() < 1e-8:
            break
    bias, similarity, margin = (round(float(value), 4) for value in beta)
    return bias, similarity, margin
