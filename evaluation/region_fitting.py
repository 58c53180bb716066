"""Fits the rule by which a scan chooses the part of the photo that it searches for.

Every kind of region gets a logistic regression of "its first product is the right one"; every set of photos counts as
much as any other. What decides between regions (`lead`), and when to look at others at all (`sure`), is chosen by what
photos of products left out of the regressions come to, in five folds by style.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from evaluation.looking import Looked, by_source
from services.gateway.regions import best_of, is_sure, signs
from shiwu.inference.tuning import RegionKind, RegionRule, RegionScore

_FOLDS: Final = 5
_LEADS: Final = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
_SURES: Final = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0)
_NOISE: Final = 0.005
"""Half a point of recall and of mean average precision each: of rules within it the one is taken that looks
further, and leaves the first region, less often."""
_RIDGE: Final = 0.1
_LEAST: Final = 20
"""Photos of each outcome that a kind of region needs for a regression."""


@dataclass(frozen=True)
class Gain:
    """What choosing brings to a set of photos: recall at 1 and mean reciprocal rank, each first and chosen."""

    photos: int
    recall_1: tuple[float, float]
    mean_average_precision: tuple[float, float]
    further: float
    """Share of the photos of which other regions were looked at."""
    hurts: bool
    """Whether more photos lost the right product than won it, by more than a standard error (over products) of that."""

    @property
    def value(self) -> float:
        return (
            self.recall_1[1] - self.recall_1[0] + self.mean_average_precision[1] - self.mean_average_precision[0]
        ) / 2


@dataclass(frozen=True)
class RegionFit:
    """rule: None where choosing does not pay. gains: by set, for photos of products left out."""

    rule: RegionRule | None
    gains: Mapping[str, Gain]


def fit_regions(looked: Sequence[Looked]) -> RegionFit:
    """The rule with the best mean gain that hurts no set; none where that gain is within noise."""
    folds = [crc32(each.query.style.encode()) % _FOLDS for each in looked]
    left_out = [fit_scores([each for each, own in zip(looked, folds, strict=True) if own != k]) for k in range(_FOLDS)]

    def gains(lead: float, sure: float) -> Mapping[str, Gain]:
        rules = [RegionRule(scores=scores, lead=lead, sure=sure) for scores in left_out]
        picked = [pick(each, rules[fold]) for each, fold in zip(looked, folds, strict=True)]
        return gains_of(looked, picked)

    tried = {lead: gains(lead, 1.0) for lead in _LEADS}
    safe = {lead: _mean(each) for lead, each in tried.items() if not any(gain.hurts for gain in each.values())}
    if not safe or max(safe.values()) <= _NOISE:
        return RegionFit(None, tried[_LEADS[-1]])
    lead = max(lead for lead, value in safe.items() if value >= max(safe.values()) - _NOISE)
    always = _mean(tried[lead])
    sure = next(sure for sure in _SURES if _mean(gains(lead, sure)) >= always - _NOISE)
    return RegionFit(RegionRule(scores=fit_scores(looked), lead=lead, sure=sure), gains(lead, sure))


def fit_scores(looked: Sequence[Looked]) -> dict[RegionKind, RegionScore]:
    """A regression for every kind of region that is found often enough."""
    weight = {source: 1.0 / len(photos) for source, photos in by_source(looked).items()}
    scores: dict[RegionKind, RegionScore] = {}
    for kind in get_args(RegionKind):
        places = [(each, place) for each in looked if (place := each.place(kind)) is not None]
        features = np.array([[1.0, *signs(each.regions[i], each.hits[i])] for each, i in places])
        right = np.array([each.rank(each.similarities[i]) == 1 for each, i in places], bool)
        if min(right.sum(), (~right).sum()) < _LEAST:
            continue
        weights = np.array([weight[each.source] for each, _ in places])
        bias, *others = logistic(features, right.astype(float), weights / weights.mean())
        similarity, margin, score, area = (round(value, 4) + 0.0 for value in others)  # no -0.0
        scores[kind] = RegionScore(bias=round(bias, 4), similarity=similarity, margin=margin, score=score, area=area)
    return scores


def pick(looked: Looked, rule: RegionRule) -> int | None:
    """The place of the region that a scan takes; None: the first, without looking at others."""
    if is_sure(looked.regions[0], looked.hits[0], rule):
        return None
    kept = [i for i, region in enumerate(looked.regions) if i == 0 or region.kind in rule.scores]
    if "middle" in (looked.regions[i].kind for i in kept):
        del kept[0]  # it stands for the first, too
    return kept[best_of([looked.regions[i] for i in kept], [looked.hits[i] for i in kept], rule)]


def gains_of(looked: Sequence[Looked], picked: Sequence[int | None]) -> dict[str, Gain]:
    """By set, with what was picked for each photo."""
    rows: dict[str, list[tuple[int, int, bool]]] = {}
    products: dict[str, list[str]] = {}
    for each, place in zip(looked, picked, strict=True):
        ranks = each.rank(each.similarities[0]), each.rank(each.similarities[place or 0])
        rows.setdefault(each.source, []).append((*ranks, place is not None))
        products.setdefault(each.source, []).append(each.query.product)
    return {source: _gain(np.array(ranks), np.array(products[source])) for source, ranks in rows.items()}


def _gain(rows: NDArray[np.int_], products: NDArray[np.str_]) -> Gain:
    first, taken, further = rows.T
    right = np.stack([first == 1, taken == 1])
    # Photos of one product win or lose together, so the error is that of a sum over products.
    _, of = np.unique(products, return_inverse=True)
    won = np.bincount(of, weights=right[1].astype(float) - right[0])
    return Gain(
        photos=len(rows),
        recall_1=(float(right[0].mean()), float(right[1].mean())),
        mean_average_precision=(float((1 / first).mean()), float((1 / taken).mean())),
        further=float(further.mean()),
        hurts=bool(-won.sum() > np.sqrt((won**2).sum())),
    )


def _mean(gains: Mapping[str, Gain]) -> float:
    return float(np.mean([gain.value for gain in gains.values()]))


def logistic(features: NDArray[np.float64], right: NDArray[np.float64], weights: NDArray[np.float64]) -> list[float]:
    """Weighted maximum likelihood with a slight ridge on all but the first feature, by Newton's method."""
    ridge = np.diag([1e-9, *[_RIDGE] * (features.shape[1] - 1)])
    beta = np.zeros(features.shape[1])
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(features @ beta, -30, 30)))
        gradient = features.T @ (weights * (p - right)) + ridge @ beta
        hessian = (features * (weights * p * (1 - p))[:, None]).T @ features + ridge
        step = np.linalg.solve(hessian, gradient)
        beta = beta - step
        if np.abs(step).max() < 1e-8:
            break
    return [float(value) for value in beta]
