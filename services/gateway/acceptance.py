"""Whether the best product found is the one in the photo.

P(right) = sigmoid(bias + similarity * s + margin * m), a logistic regression fitted on validation data:
s is the cosine similarity of the best product's best picture, m its lead over the best picture of any other product.
The lead is counted against other products, not styles: where two merchants sell one design, none leads, and the
confidence says that it may be either. It is negative where re-ranking preferred a less similar picture.
"""

from __future__ import annotations

import math
from typing import Final

from shiwu.inference.manifest import AcceptanceRule

DEFAULT_RULE: Final = AcceptanceRule(bias=-9.0, similarity=12.0, margin=8.0, threshold=0.5)
"""For an embedder that nobody has tuned: cautious. Even odds at a cosine of .75 with no lead, .68 with one of .1."""


def probability(similarity: float, lead: float, rule: AcceptanceRule) -> float:
    """How likely the best product is the right one, 0 to 1."""
    z = rule.bias + rule.similarity * similarity + rule.margin * lead
    return 1.0 / (1.0 + math.exp(-z)) if z >= 0.0 else math.exp(z) / (1.0 + math.exp(z))


def threshold(category: str, rule: AcceptanceRule) -> float:
    """The probability from which on a product of `category` is accepted."""
    return rule.thresholds.get(category, rule.threshold)
