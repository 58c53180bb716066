"""Comparing the print in the photo with that in the nearest catalogue pictures.

Vectors find what looks alike; among that, local features tell the same print from a similar one. The catalogue, which
keeps those of its pictures, compares them with the photo's (shiwu/vision/local_features.py). How many agree makes a
candidate's proof, from 0 to 1, which lets it rise. That is spatial verification as in Philbin et al., CVPR 2007, with
the vectors' similarity kept where nothing is printed.

What a print tells depends on the thing, and so each group of categories has its own tuned rule. A package's print tells
it from all others, if its colours are the same, too. A garment's colourways agree in all but the colour of the cloth:
there a print proves the style, with all of its pictures. Within it, pictures that show the print in other colours fall
behind, and which of the others is the nearest is left to the vectors.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.gateway.candidates import nearest
from services.gateway.ports import Catalog, Hit
from services.gateway.ranking import Prints, Ranking
from shiwu.chassis.abandoning import abandon
from shiwu.inference.tuning import VerificationRule
from shiwu.vision.agreement import Agreement
from shiwu.vision.resize import Image

Rules = Sequence[VerificationRule]
Values = NDArray[np.float64]
"""(n,)"""
_NOTHING: Final = Agreement()


class Compared(NamedTuple):
    """A candidate. style: what its design is known by; agreement: None where it was not compared."""

    category: str
    style: str
    similarity: float
    agreement: Agreement | None


class Verifying:
    """The comparison under way, while the vote is. Abandon it when the scan ends."""

    def __init__(
        self, catalog: Catalog[object], crop: Image, hits: Sequence[Hit], rules: Rules, *, seconds: float
    ) -> None:
        """crop: what was searched for. hits: nearest first."""
        first = nearest(hits, max(rule.candidates for rule in rules))
        compared = [first[i] for i in comparable([hit.category for hit in first], rules)]
        self._rules = rules
        asked = catalog.compare(crop, [hit.image_id for hit in compared], seconds=seconds) if compared else _nothing()
        self._asked = asyncio.ensure_future(asked)

    async def ranked(self, candidates: Sequence[Hit], ranking: Ranking) -> Ranking:
        """The candidates with what is proven of them. Raises what `Catalog.compare` raises."""
        # Shielded: a scan that is cancelled must not cancel the call.
        found = await asyncio.shield(self._asked)
        compared = [
            Compared(hit.category, hit.style_id or hit.product_id, hit.similarity, found.get(hit.image_id))
            for hit in candidates
        ]
        return verified(ranking, judged(compared, self._rules))

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        abandon(self._asked)


def comparable(categories: Sequence[str], rules: Rules) -> list[int]:
    """Which pictures are compared, from their products' categories, nearest first."""
    return [
        i
        for i, category in enumerate(categories)
        if any(i < rule.candidates and category in rule.categories for rule in rules)
    ]


def judged(candidates: Sequence[Compared], rules: Rules) -> Prints:
    """What was compared, by each one's rule."""
    agreements = np.array([each.agreement or _NOTHING for each in candidates]).reshape(-1, len(_NOTHING))
    prints = Prints(*(np.zeros(len(candidates), np.float32) for _ in Prints._fields))
    for rule in rules:
        own = np.flatnonzero([each.category in rule.categories for each in candidates])
        features, coverage, colours, detail = agreements[own].T
        proofs = _proofs(features, rule)
        if rule.by == "picture":
            prints.proofs[own] = proofs * colours * (1.0 + detail) / 2.0  # pictures that differ in a part prove half
            prints.worth[own] = rule.weight * prints.proofs[own]
            prints.shared[own] = proofs * coverage * colours * detail
        else:
            others = rule.weight * proofs * (1.0 - colours)
            prints.proofs[own], prints.worth[own] = _of_styles(
                [candidates[i] for i in own.tolist()], proofs, others, rule
            )
    return prints


def verified(ranking: Ranking, prints: Prints) -> Ranking:
    """Candidates by their distance less what is proven of them; equal ones keep their order."""
    distances = ranking.distances - prints.worth
    order = ranking.order[np.argsort(distances[ranking.order], kind="stable")]
    return ranking._replace(order=order, distances=distances, prints=prints)


def _proofs(features: Values, rule: VerificationRule) -> Values:
    """0 up to the rule's `least`, 1 from its `enough` on; between, each further feature proves less."""
    beyond = np.maximum(0.0, features - rule.least)
    return np.minimum(1.0, np.log1p(beyond) / math.log1p(rule.enough - rule.least))


def _of_styles(
    candidates: Sequence[Compared], proofs: Values, others: Values, rule: VerificationRule
) -> tuple[Values, Values]:
    """What is proven of each one's style, and its worth.

    others: by how much each falls for showing the print in other colours. The nearest of a style stays as near as it
    is without that: where only other colourways are in the catalogue, the style is found all the same.
    """
    styles = np.array([each.style for each in candidates])
    similarities = np.array([each.similarity for each in candidates])
    proven, worth = np.zeros_like(proofs), -others
    for style in set(styles[proofs > 0.0].tolist()):
        own = styles == style
        proven[own] = proofs[own].max()
        worth[own] += rule.weight * proven[own] + similarities[own].max() - (similarities - others)[own].max()
    return proven, worth


async def _nothing() -> dict[str, Agreement]:
    return {}
