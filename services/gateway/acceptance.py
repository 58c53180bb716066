"""Whether the best product found is the one in the photo.

P(right) = sigmoid of a weighted sum of what is known of the best product (`Signs`), a logistic regression fitted on
validation data:

- similarity: the cosine similarity of its best picture;
- margin: its lead over the best picture of any other product. The lead is counted against other products, not styles:
  where two merchants sell one design, none leads, and the confidence says that it may be either. It is negative where
  re-ranking preferred a less similar picture;
- hubness: how near its best picture is to photos of anything (query_bank.py), where a bank is in use;
- agreement: the share of the five best-ranked pictures that are of it;
- shared print: how much of its best picture's print is in the photo, at the same places, in the same colours and alike
  in every part (verification.py), less half of what another product's picture shares: where others of its brand have as
  much in common with the photo, it may be any of them, or one that is not there. Half, for two merchants may list one
  thing as two products.

Where not all of the catalogue was searched, no lead counts: what is missing may be as near and share as much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.gateway.ranking import Prints, Ranking
from shiwu.inference.tuning import AcceptanceRule

DEFAULT_RULE: Final = AcceptanceRule(bias=-9.0, similarity=12.0, margin=8.0, threshold=0.5)
"""For an embedder that nobody has tuned: cautious. Even odds at a cosine of .75 with no lead, .68 with one of .1."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What is known of the best product; see above."""

    similarity: float
    margin: float
    hubness: float | None
    """None where no bank is in use."""
    agreement: float
    shared_print: float = 0.0


_AGREEING: Final = 5
_RIVAL: Final = 0.5
"""How much of another product's shared print counts against the best one's. The more, the better are known and unknown
things told apart, and the fewer things are answered that are listed twice (docs/decisions/0043)."""


def agreement(products: Sequence[str]) -> float:
    """The share of the best-ranked pictures that are of the best product.

    products: of the pictures, best first; at least one.
    """
    first = products[:_AGREEING]
    return first.count(first[0]) / len(first)


def signs_of(
    ranking: Ranking, products: Sequence[str], *, similarity: float, margin: float, complete: bool = True
) -> Signs:
    """What is known of the best product. products: of the candidates, in their own order.

    complete: whether all of the catalogue was searched.
    """
    order = ranking.order.tolist()
    best = order[0]
    return Signs(
        similarity=similarity,
        margin=margin if complete else min(margin, 0.0),
        hubness=None if ranking.hubness is None else float(ranking.hubness[best]),
        agreement=agreement([products[i] for i in order]),
        shared_print=0.0 if ranking.prints is None else _shared_print(best, ranking.prints, products, complete),
    )


def _shared_print(best: int, prints: Prints, products: Sequence[str], complete: bool) -> float:
    own = float(prints.shared[best])
    others = [float(prints.shared[i]) for i, product in enumerate(products) if product != products[best]]
    return own - _RIVAL * max(others if complete else [own, *others], default=0.0)


def probability(signs: Signs, rule: AcceptanceRule) -> float:
    """How likely the best product is the right one, 0 to 1."""
    z = rule.bias + rule.similarity * signs.similarity + rule.margin * signs.margin
    z += rule.agreement * signs.agreement + rule.shared_print * signs.shared_print
    if signs.hubness is not None:
        z += rule.hubness * (signs.hubness - rule.typical_hubness)
    return 1.0 / (1.0 + math.exp(-z)) if z >= 0.0 else math.exp(z) / (1.0 + math.exp(z))


def threshold(category: str, rule: AcceptanceRule) -> float:
    """The probability from which on a product of `category` is accepted."""
    return rule.thresholds.get(category, rule.threshold)
