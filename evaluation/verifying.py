"""Choosing how the prints of the nearest pictures count: pure functions on observed scans."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from evaluation.metrics import Retrieval
from evaluation.observing import COMPARED, Observation
from evaluation.reranking import NOISE, Ranker, Sets, quality
from services.gateway.ranking import Reranker
from shiwu.inference.tuning import VerificationRule

_PRINTED: Final = ("appliances", "beauty", "books", "food", "other", "toys")
"""Categories of things that bear print. Clothes, shoes, bags, jewellery and furniture are not: their designs come in
colours, and pictures of two colourways agree in all that is printed."""


@dataclass(frozen=True)
class VerificationFit:
    """rule: None: nothing helps without costing something. Qualities of each set, without it and with it."""

    rule: VerificationRule | None
    before: Mapping[str, Retrieval]
    after: Mapping[str, Retrieval]


def fit_verification(sets: Sets, reranker: Reranker | None) -> VerificationFit:
    """The rule with the best mean average precision that costs no set recall at 1 or 5; every set counts as much.

    A category whose photos lose recall at 1 by a rule is left out of it.
    """
    before = qualities(sets, Ranker(reranker))
    best, after, most = None, before, _mean(before) + NOISE
    for rule in _grid():
        own = rule.model_copy(update={"categories": _unharmed(sets, reranker, rule)})
        gained = qualities(sets, Ranker(reranker, own))
        if _mean(gained) > most and all(_costs_nothing(gained[name], before[name]) for name in sets):
            best, after, most = own, gained, _mean(gained)
    return VerificationFit(best, before, after)


def qualities(sets: Sets, ranker: Ranker) -> dict[str, Retrieval]:
    """Of every set's photos, ranked so."""
    return {name: quality(photos, lambda each: ranker.rank(each).order.tolist()) for name, photos in sets.items()}


def _grid() -> Iterator[VerificationRule]:
    for least, enough, weight in itertools.product((6, 8, 12), (20, 40, 80), (0.1, 0.2, 0.4)):
        yield VerificationRule(categories=_PRINTED, candidates=COMPARED, least=least, enough=enough, weight=weight)


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
    without, with_it = (qualities({"": photos}, Ranker(reranker, each))[""].recall_1 for each in (None, rule))
    return with_it - without


def _costs_nothing(own: Retrieval, other: Retrieval) -> bool:
    return own.recall_1 >= other.recall_1 - NOISE and own.recall_5 >= other.recall_5 - NOISE


def _mean(found: Mapping[str, Retrieval]) -> float:
    return float(np.mean([each.mean_average_precision for each in found.values()]))
