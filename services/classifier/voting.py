"""The category vote.

The rule, with the parameters of `VoteRule` (w = detector_weight, T = temperature, a = rank_decay):

1. Neighbours are sorted by similarity s, nearest first (equal ones by image_id), and the first `neighbours` vote.
2. The neighbour of rank r = 1, 2, ... weighs exp(s / T) * r ** -a. The weights are divided by their sum.
   A small T lets the nearest decide, a large one counts heads; so does a = 0.
3. The detector's scores, divided by their sum, are its distribution over the categories. It is cast as one ballot.
4. The detector's share of the vote is w, the neighbours' together 1 - w. Where one side has nothing to say (no
   neighbours; no scores, or all of them 0) the other has the whole vote.
5. A category's score is its part of the detector's ballot plus the shares of the neighbours that are of it.

So every share is at least 0, and the detector's and all neighbours' sum to 1, as do the categories' scores.
Neighbours beyond the first `neighbours` have a share of 0.

Sources: weighting neighbours by similarity with a softmax is the rule of Wu et al., Unsupervised Feature Learning via
Non-Parametric Instance Discrimination (CVPR 2018); fusing a model's category with the neighbours' is that of Zhang et
al., Visual Search at Alibaba (KDD 2018).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiwu.categories import CATEGORIES
from shiwu.chassis.errors import InvalidInputError
from shiwu.inference.tuning import VoteRule

DEFAULT_RULE: Final = VoteRule(neighbours=20, detector_weight=0.3, temperature=0.1, rank_decay=0.5)
"""For an embedder that nobody has tuned: neighbours outvote the detector, the nearer ones count a few times more."""

MAX_NEIGHBOURS: Final = 1000

# Cosine similarities of float32 unit vectors may leave [-1, 1] by rounding, and no further.
_MAX_COSINE: Final = 1.0 + 1e-4

_RANK: Final = {category: rank for rank, category in enumerate(CATEGORIES)}


class Neighbour(NamedTuple):
    """A catalogue picture near the query."""

    image_id: str
    category: str
    similarity: float
    """Cosine, -1 to 1."""


class Share(NamedTuple):
    """What one neighbour's vote weighed."""

    image_id: str
    category: str
    share: float
    """Of the whole vote, 0 to 1."""


class Vote(NamedTuple):
    """The outcome."""

    categories: list[tuple[str, float]]
    """Category and score, highest first (equal ones as in CATEGORIES); without those of score 0. Sums to 1."""
    detector_share: float
    shares: list[Share]
    """One a neighbour, nearest first; with detector_share they sum to 1."""


def vote(detector: Sequence[tuple[str, float]], neighbours: Sequence[Neighbour], rule: VoteRule) -> Vote:
    """The weighted vote, see above.

    detector: category and score 0 to 1 each, a category at most once. neighbours: at most MAX_NEIGHBOURS, in any order.
    Raises InvalidInputError, which names the field as VoteRequest does, for anything else, and if nobody votes.
    """
    scores = _checked_scores(detector)
    _check_neighbours(neighbours)
    total = math.fsum(scores.values())
    if not neighbours and total == 0.0:
        msg = "nobody votes: send a detector score above 0 or at least one neighbour"
        raise InvalidInputError(msg)
    ranked = sorted(neighbours, key=lambda neighbour: (-neighbour.similarity, neighbour.image_id))
    detector_share = _detector_share(rule, has_scores=total > 0.0, has_neighbours=bool(ranked))
    weights = (1.0 - detector_share) * _weights(ranked, rule)
    tally = np.zeros(len(CATEGORIES))
    for category, score in scores.items():
        tally[_RANK[category]] += detector_share * score / total if total else 0.0
    np.add.at(tally, [_RANK[neighbour.category] for neighbour in ranked], weights)
    shares = [
        Share(neighbour.image_id, neighbour.category, share)
        for neighbour, share in zip(ranked, weights.tolist(), strict=True)
    ]
    return Vote(_distribution(tally), detector_share, shares)


def _detector_share(rule: VoteRule, *, has_scores: bool, has_neighbours: bool) -> float:
    if not has_scores:
        return 0.0
    return rule.detector_weight if has_neighbours else 1.0


def _weights(ranked: Sequence[Neighbour], rule: VoteRule) -> NDArray[np.float64]:
    """The weight of each neighbour, nearest first; sums to 1, unless there is none."""
    weights = np.zeros(len(ranked))
    similarities = np.array([neighbour.similarity for neighbour in ranked[: rule.neighbours]])
    if len(similarities):
        ranks = np.arange(1, len(similarities) + 1)
        # Relative to the nearest, so that a small temperature cannot overflow exp().
        raw = np.exp((similarities - similarities[0]) / rule.temperature) * ranks**-rule.rank_decay
        weights[: len(raw)] = raw / raw.sum()
    return weights


def _distribution(tally: NDArray[np.float64]) -> list[tuple[str, float]]:
    normal = (tally / tally.sum()).tolist()
    order = sorted(range(len(CATEGORIES)), key=lambda rank: (-normal[rank], rank))
    return [(CATEGORIES[rank], normal[rank]) for rank in order if normal[rank] > 0.0]


def _checked_scores(detector: Sequence[tuple[str, float]]) -> Mapping[str, float]:
    scores: dict[str, float] = {}
    for i, (category, score) in enumerate(detector):
        _check_category(category, f"detector[{i}].category")
        if category in scores:
            msg = f"{category} has a score already; send each category at most once"
            raise InvalidInputError(msg, field=f"detector[{i}].category")
        if not 0.0 <= score <= 1.0:
            msg = f"expected 0 to 1, got {score:g}"
            raise InvalidInputError(msg, field=f"detector[{i}].score")
        scores[category] = score
    return scores


def _check_neighbours(neighbours: Sequence[Neighbour]) -> None:
    if len(neighbours) > MAX_NEIGHBOURS:
        msg = f"expected at most {MAX_NEIGHBOURS} neighbours, got {len(neighbours)}"
        raise InvalidInputError(msg, field="neighbors")
    seen: set[str] = set()
    for i, (image_id, category, similarity) in enumerate(neighbours):
        _check_category(category, f"neighbors[{i}].category")
        if not -_MAX_COSINE <= similarity <= _MAX_COSINE:
            msg = f"expected a cosine from -1 to 1, got {similarity:g}"
            raise InvalidInputError(msg, field=f"neighbors[{i}].similarity")
        if not image_id:
            msg = "expected the key of a catalogue picture, got nothing"
            raise InvalidInputError(msg, field=f"neighbors[{i}].image_id")
        if image_id in seen:
            msg = f"{image_id!r} is there already; a picture votes once"
            raise InvalidInputError(msg, field=f"neighbors[{i}].image_id")
        seen.add(image_id)


def _check_category(category: str, field: str) -> None:
    if category not in _RANK:
        msg = f"unknown category {category!r}; expected one of {', '.join(CATEGORIES)}"
        raise InvalidInputError(msg, field=field)
