"""Choosing how the prints of the nearest pictures count: pure functions on observed scans."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from evaluation.metrics import Retrieval, rank_of, retrieval
from evaluation.observations import COMPARED, Observation, Scans
from evaluation.reranking import NOISE, Ranker, Sets
from services.gateway.ranking import Reranker
from shiwu.inference.tuning import VerificationRule

By = Literal["picture", "style"]
_GROUPS: Final[Mapping[By, tuple[str, ...]]] = {
    "picture": ("appliances", "beauty", "books", "food", "other", "toys"),
    "style": ("bags", "clothing", "furniture", "jewellery", "shoes"),
}
"""What a print tells of things of these categories. The designs of the latter come in colours, and pictures of two
colourways agree in all that is printed."""
_CANDIDATES: Final = (COMPARED // 4, COMPARED // 2, COMPARED)
_TIE: Final = 0.001
"""Of mean average precision: rules as near as this to the best one are as good."""


@dataclass(frozen=True)
class Quality:
    """How well the photos of one set are answered, by product and by style."""

    products: Retrieval
    styles: Retrieval


@dataclass(frozen=True)
class VerificationFit:
    """rules: none for a group that nothing helps without costing something. before, after: each set without, with."""

    rules: tuple[VerificationRule, ...]
    before: Mapping[str, Quality]
    after: Mapping[str, Quality]


def fit_verification(scans: Mapping[str, Scans], reranker: Reranker | None) -> VerificationFit:
    """For each group the rule with the best mean average precision, of products or of styles.

    Of rules that are as good, the one that asks for fewest features: a small or plain print has no more. Every set with
    photos of the group counts as much. The rule must cost no set recall at 1 or 5, and compare no more pictures than
    help. A category whose photos lose recall at 1 by a rule is left out of it. What tells styles is chosen for photos
    whose own colourway is not there, too.
    """
    every = questions(scans)
    asked: Mapping[By, Sets] = {"picture": {name: every[name] for name in scans}, "style": every}
    rules = tuple(rule for by, sets in asked.items() if (rule := _best(sets, reranker, by)) is not None)
    before, after = (qualities(every, Ranker(reranker, own)) for own in ((), rules))
    return VerificationFit(rules, before, after)


def questions(scans: Mapping[str, Scans]) -> dict[str, Sequence[Observation]]:
    """All photos, and once more, without their own product in the catalogue, those whose style others there share."""
    others = {
        f"{name}, siblings only": [each for each in own.absent if each.style in each.styles]
        for name, own in scans.items()
    }
    return {name: own.present for name, own in scans.items()} | {name: each for name, each in others.items() if each}


def qualities(sets: Sets, ranker: Ranker) -> dict[str, Quality]:
    """Of every set's photos, ranked so."""
    return {name: _quality(photos, ranker) for name, photos in sets.items()}


def _best(sets: Sets, reranker: Reranker | None, by: By) -> VerificationRule | None:
    before = qualities(sets, Ranker(reranker))
    of_group = [name for name, photos in sets.items() if any(each.category in _GROUPS[by] for each in photos)]
    best, most = None, _mean(before, by, of_group)
    for candidates in _CANDIDATES:
        tried: list[tuple[float, VerificationRule]] = []
        for rule in _grid(by, candidates):
            own = rule.model_copy(update={"categories": _unharmed(sets, reranker, rule)})
            after = qualities(sets, Ranker(reranker, (own,)))
            if all(_costs_nothing(after[name], before[name]) for name in sets):
                tried.append((_mean(after, by, of_group), own))
        highest = max((mean for mean, _ in tried), default=most)
        if highest > most + NOISE:
            as_good = [(mean, rule) for mean, rule in tried if mean >= highest - _TIE]
            most, best = min(as_good, key=lambda each: (each[1].least, -each[0]))
    return best


def _grid(by: By, candidates: int) -> Iterator[VerificationRule]:
    for least, enough, weight in itertools.product((8, 12, 16), (20, 40, 80), (0.2, 0.4, 0.6)):
        yield VerificationRule(
            by=by, categories=_GROUPS[by], candidates=candidates, least=least, enough=enough, weight=weight
        )


def _unharmed(sets: Sets, reranker: Reranker | None, rule: VerificationRule) -> tuple[str, ...]:
    photos = [each for own in sets.values() for each in own]
    return tuple(
        category
        for category in rule.categories
        if _gain([each for each in photos if each.category == category], reranker, rule) >= -NOISE
    )


def _gain(photos: Sequence[Observation], reranker: Reranker | None, rule: VerificationRule) -> float:
    if not photos:
        return 0.0
    without, with_it = (_quality(photos, Ranker(reranker, rules)).products.recall_1 for rules in ((), (rule,)))
    return with_it - without


def _quality(photos: Sequence[Observation], ranker: Ranker) -> Quality:
    products, styles = [], []
    for each in photos:
        order = ranker.rank(each).order.tolist()
        products.append(rank_of(str(each.product), [each.products[i] for i in order]))
        styles.append(rank_of(str(each.style), [each.styles[i] for i in order]))
    return Quality(retrieval(products), retrieval(styles))


def _costs_nothing(own: Quality, other: Quality) -> bool:
    return all(
        mine.recall_1 >= theirs.recall_1 - NOISE and mine.recall_5 >= theirs.recall_5 - NOISE
        for mine, theirs in ((own.products, other.products), (own.styles, other.styles))
    )


def _mean(found: Mapping[str, Quality], by: By, names: Sequence[str]) -> float:
    of = (found[name].products if by == "picture" else found[name].styles for name in names)
    return float(np.mean([each.mean_average_precision for each in of] or [0.0]))
