"""Fitting the vote and the acceptance to observed scans: pure functions on arrays."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.observations import Observation, Scans
from evaluation.reranking import Ranker
from services.classifier.voting import vote
from services.gateway.acceptance import Signs, probability, signs_of, threshold
from shiwu.inference.tuning import AcceptanceRule, VoteRule

_MIN_FOR_OWN_THRESHOLD: Final = 40
_FOLDS: Final = 5
_SEED: Final = 7
_NOISE: Final = 0.002
"""Of a log loss: what more signs have to gain."""
_EXTRAS: Final = tuple(
    itertools.chain.from_iterable(
        itertools.combinations(("hubness", "agreement", "shared_print"), count) for count in range(4)
    )
)
"""Signs that acceptance may use beside similarity and lead."""


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


def detected(observation: Observation) -> str:
    """The category that the detector puts first; empty if it found nothing."""
    return observation.detector[0][0] if observation.detector else ""


def accuracy_of(observations: Sequence[Observation], rule: VoteRule) -> float:
    """The macro accuracy of the vote."""
    return macro_accuracy([each.category for each in observations], [voted(each, rule) for each in observations])


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
    table = np.zeros([len(axis) for axis in axes])
    for place in np.ndindex(table.shape):
        table[place] = accuracy_of(observations, _vote_rule(axes, place))
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
class Judged:
    """The best product of one scan, what is known of it and whether it was the one in the photo.

    weight: so that each set of photos counts as much as any other. present: whether the product was in the catalogue.
    """

    source: str
    category: str
    product: str
    signs: Signs
    right: bool
    present: bool
    weight: float = 1.0


def judge(sets: Mapping[str, Scans], ranker: Ranker) -> list[Judged]:
    """The best product of every scan, ranked as the gateway ranks."""
    judged = []
    for name, scans in sets.items():
        observations = [*scans.present, *scans.absent]
        judged += [_judged(each, name, ranker, 1.0 / len(observations)) for each in observations]
    return judged


def _judged(observation: Observation, source: str, ranker: Ranker, weight: float) -> Judged:
    ranking = ranker.rank(observation)
    order = ranking.order.tolist()
    best = observation.products[order[0]]
    similarity = observation.neighbours[order[0]].similarity
    others = (
        neighbour.similarity
        for neighbour, product in zip(observation.neighbours, observation.products, strict=True)
        if product != best
    )
    margin = similarity - next(others, similarity)
    signs = signs_of(ranking, observation.products, similarity=similarity, margin=margin)
    right = observation.present and best == observation.product
    return Judged(source, observation.category, str(observation.product), signs, right, observation.present, weight)


@dataclass(frozen=True)
class AcceptanceFit:
    """losses: the log loss of each choice of signs, by cross-validation over products."""

    rule: AcceptanceRule
    losses: Mapping[str, float]


def fit_acceptance(judged: Sequence[Judged], false_accepts: float) -> AcceptanceFit:
    """Logistic regression of `right` on the signs, with the lowest thresholds that keep to the rate.

    Which signs are used beside similarity and lead is decided by cross-validation over products. false_accepts: the
    share of photos whose product is absent that may be answered with a product. A category with enough absent photos
    gets a threshold of its own.
    """
    known = all(each.signs.hubness is not None for each in judged)
    choices = [extras for extras in _EXTRAS if known or "hubness" not in extras]
    losses = {extras: _cross_validated(judged, extras) for extras in choices}
    best = min(losses, key=lambda extras: losses[extras])
    rule = _regression(judged, best if losses[best] < losses[()] - _NOISE else ())
    odds = probabilities(judged, rule)
    absent = np.array([not each.present for each in judged])
    weights = np.array([each.weight for each in judged])
    categories = np.array([each.category for each in judged])
    own = {}
    for category in np.unique(categories):
        chosen = absent & (categories == category)
        if chosen.sum() >= _MIN_FOR_OWN_THRESHOLD:
            own[str(category)] = _threshold(odds[chosen], weights[chosen], false_accepts)
    limit = _threshold(odds[absent], weights[absent], false_accepts)
    named = {" + ".join(("similarity", "lead", *extras)): loss for extras, loss in losses.items()}
    return AcceptanceFit(rule.model_copy(update={"threshold": limit, "thresholds": own}), named)


def probabilities(judged: Sequence[Judged], rule: AcceptanceRule) -> NDArray[np.float64]:
    """How likely each is right by the rule, shape (n,)."""
    return np.array([probability(each.signs, rule) for each in judged])


def limits(judged: Sequence[Judged], rule: AcceptanceRule) -> NDArray[np.float64]:
    """The threshold that each has to reach, shape (n,)."""
    return np.array([threshold(each.category, rule) for each in judged])


def _threshold(odds: NDArray[np.float64], weights: NDArray[np.float64], rate: float) -> float:
    """The lowest from which on at most `rate` of the weight is accepted."""
    order = np.argsort(-odds, kind="stable")
    accepted = np.cumsum(weights[order]) / weights.sum()
    within = int(np.searchsorted(accepted, rate + 1e-9, side="right"))
    return round(min(1.0, float(odds[order][min(within, len(odds) - 1)]) + 1e-4), 4)


def _cross_validated(judged: Sequence[Judged], extras: tuple[str, ...]) -> float:
    """The weighted log loss on products that the regression was not fitted to."""
    products = sorted({each.product for each in judged})
    folds = dict(zip(np.random.default_rng(_SEED).permutation(products).tolist(), itertools.cycle(range(_FOLDS))))
    loss, weight = 0.0, 0.0
    for fold in range(_FOLDS):
        rest = [each for each in judged if folds[each.product] != fold]
        own = [each for each in judged if folds[each.product] == fold]
        if not own or not rest:
            continue
        odds = np.clip(probabilities(own, _regression(rest, extras)), 1e-9, 1.0 - 1e-9)
        right = np.array([each.right for each in own])
        weights = np.array([each.weight for each in own])
        loss -= float(weights @ np.log(np.where(right, odds, 1.0 - odds)))
        weight += float(weights.sum())
    return loss / weight


def _regression(judged: Sequence[Judged], extras: tuple[str, ...]) -> AcceptanceRule:
    """Maximum likelihood with a slight ridge, by Newton's method. Its threshold is not set."""
    weights = np.array([each.weight for each in judged])
    weights = weights * (len(judged) / weights.sum())
    attraction = np.array([each.signs.hubness or 0.0 for each in judged])
    typical = round(float(weights @ attraction / weights.sum()), 4) if "hubness" in extras else 0.0
    columns = {
        "bias": np.ones(len(judged)),
        "similarity": np.array([each.signs.similarity for each in judged]),
        "margin": np.array([each.signs.margin for each in judged]),
        "hubness": attraction - typical,
        "agreement": np.array([each.signs.agreement for each in judged]),
        "shared_print": np.array([each.signs.shared_print for each in judged]),
    }
    used = ["bias", "similarity", "margin", *extras]
    features = np.stack([columns[name] for name in used], axis=1)
    right = np.array([each.right for each in judged], float)
    ridge = 1e-2 * np.diag([0.0, *([1.0] * (len(used) - 1))])
    beta = np.zeros(len(used))
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(features @ beta, -30, 30)))
        gradient = features.T @ (weights * (p - right)) + ridge @ beta
        hessian = (features * (weights * p * (1 - p))[:, None]).T @ features + ridge + 1e-9 * np.eye(len(used))
        step = np.linalg.solve(hessian, gradient)
        beta = beta - step
        if np.abs(step).max() < 1e-8:
            break
    found = {name: round(float(value), 4) for name, value in zip(used, beta, strict=True)}
    return AcceptanceRule.model_validate(found | {"typical_hubness": typical, "threshold": 0.5})
