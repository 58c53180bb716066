"""Comparing the print in the photo with that in the nearest catalogue pictures.

Vectors find what looks alike; among that, local features tell the same print from a similar one. How many of them agree
(shiwu/vision/local_features.py) makes a candidate's proof, from 0 to 1, which lets it rise. That is spatial
verification as in Philbin et al., CVPR 2007, with the vectors' similarity kept where nothing is printed.

It counts only in categories where it was tuned to: a garment's colourways share their pictures but for the colour.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np

from services.gateway.candidates import nearest
from services.gateway.ports import Catalog, Hit
from services.gateway.ranking import Proofs, Ranking
from shiwu.chassis.abandoning import abandon
from shiwu.chassis.errors import UnavailableError
from shiwu.inference.tuning import VerificationRule
from shiwu.vision.local_features import LocalFeatures, agreeing, describe, unpack
from shiwu.vision.resize import Image


class Verifying:
    """The comparison under way, while the vote is. Abandon it when the scan ends."""

    def __init__(
        self, catalog: Catalog[object], crop: Image, hits: Sequence[Hit], rule: VerificationRule, *, seconds: float
    ) -> None:
        """crop: what was searched for. hits: nearest first."""
        compared = [hit for hit in nearest(hits, rule.candidates) if hit.category in rule.categories]
        self._rule = rule
        self._asked = asyncio.ensure_future(_counts(catalog, crop, compared, seconds))

    async def ranked(self, candidates: Sequence[Hit], ranking: Ranking) -> Ranking:
        """The candidates with what is proven of them. Raises what `Catalog.local_features` raises."""
        # Shielded: a scan that is cancelled must not cancel the call.
        counts = await asyncio.shield(self._asked)
        return verified(ranking, proofs([counts.get(hit.image_id, 0) for hit in candidates], self._rule), self._rule)

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        abandon(self._asked)


def proofs(counts: Sequence[int], rule: VerificationRule) -> Proofs:
    """From numbers of agreeing features: 0 up to the rule's `least`, 1 from its `enough` on, and even between."""
    beyond = np.array(counts, np.float32) - rule.least
    return np.asarray(np.clip(beyond / (rule.enough - rule.least), 0.0, 1.0), np.float32)


def verified(ranking: Ranking, proven: Proofs, rule: VerificationRule) -> Ranking:
    """Candidates by their distance less the proof's worth; equal ones keep their order."""
    distances = ranking.distances - np.float32(rule.weight) * proven
    order = ranking.order[np.argsort(distances[ranking.order], kind="stable")]
    return ranking._replace(order=order, distances=distances, proofs=proven)


def count_agreeing(photo: LocalFeatures, pictures: Mapping[str, bytes]) -> dict[str, int]:
    """How many features of the photo are in each picture. Raises UnavailableError if one is packed wrongly."""
    try:
        return {image_id: agreeing(photo, unpack(packed)) for image_id, packed in pictures.items()}
    except ValueError as error:
        msg = f"catalog: {error}"
        raise UnavailableError(msg) from error


async def _counts(catalog: Catalog[object], crop: Image, hits: Sequence[Hit], seconds: float) -> dict[str, int]:
    if not hits:
        return {}
    photo, pictures = await asyncio.gather(
        asyncio.to_thread(describe, crop),
        catalog.local_features([hit.image_id for hit in hits], seconds=seconds),
    )
    return await asyncio.to_thread(count_agreeing, photo, pictures)
