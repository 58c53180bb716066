"""Which part of the photo is searched for: the one that the catalogue knows best.

The detector's box is mostly the best crop, and at times a bad one: a logo for the carton, a leaf for the plant. Search
tells: for the part that shows the product it finds a picture that is nearer, and nearer than those of other products.
Similarities of different parts cannot be compared as they are: the whole photo is like other pictures for its
background, too, and a small box has little to be unlike. So each kind of part has a logistic regression of its own,
fitted on validation photos, which says how likely the first product is the right one:

P = sigmoid(bias + similarity * s + margin * m + score * d + area * r)

s: cosine of the first hit; m: its lead over the first hit of another product; d: the detector's score, 0 for what is
none of its boxes; r: the part's share of the photo's area.

The part that is looked at first is looked at again with the others, by its middle: what fills its box is found better
without the edge, other things with it. A picture is as near as it is to the nearer of the two.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from typing import Final, NamedTuple

from services.gateway.cropping import Choice, centre
from services.gateway.ports import Box, Detected, Hit
from shiwu.inference.tuning import RegionKind, RegionRule

_WHOLE: Final = Box(0.0, 0.0, 1.0, 1.0)
_MIDDLE: Final = 0.72
"""Of each side; with the margin that crops get it is four fifths."""


class Region(NamedTuple):
    """A part of the photo. found: the detector's object there, if it is one."""

    kind: RegionKind
    box: Box
    found: Detected | None


class Signs(NamedTuple):
    """What speaks for a region, as in the module's formula."""

    similarity: float
    margin: float
    score: float
    area: float


def regions(choice: Choice, centre_share: float, kinds: Container[RegionKind]) -> list[Region]:
    """The parts of the photo that may show the product: first the one chosen, then others of these kinds.

    The middle of that one, the detector's two best boxes, the centre and the whole photo.
    """
    ranks: tuple[RegionKind, RegionKind] = ("detected", "second")
    found = [Region(kind, each.box, each) for kind, each in zip(ranks, choice.objects, strict=False)]
    others = [Region("centre", centre(centre_share), None), Region("whole", _WHOLE, None)]
    first, *rest = [*found, *others] if choice.source == "detected" else [others[0], *found, others[1]]
    middle = Region("middle", _middle(first.box), first.found)
    return [first, *(region for region in (middle, *rest) if region.kind in kinds)]


def _middle(box: Box) -> Box:
    x_min, y_min, x_max, y_max = box
    across, down = (1.0 - _MIDDLE) / 2.0 * (x_max - x_min), (1.0 - _MIDDLE) / 2.0 * (y_max - y_min)
    return Box(x_min + across, y_min + down, x_max - across, y_max - down)


def signs(region: Region, hits: Sequence[Hit]) -> Signs:
    """hits: nearest first, at least one. Without a second product there is no lead."""
    first = hits[0]
    other = next((hit for hit in hits if hit.product_id != first.product_id), first)
    x_min, y_min, x_max, y_max = region.box
    score = region.found.score if region.found else 0.0
    area = (x_max - x_min) * (y_max - y_min)
    return Signs(first.similarity, first.similarity - other.similarity, score, area)


def probability(region: Region, hits: Sequence[Hit], rule: RegionRule) -> float:
    """How likely the first hit shows the product, 0 to 1; 0 without hits or for a kind that the rule does not know."""
    weights = rule.scores.get(region.kind)
    if weights is None or not hits:
        return 0.0
    s, m, d, r = signs(region, hits)
    z = weights.bias + weights.similarity * s + weights.margin * m + weights.score * d + weights.area * r
    return 1.0 / (1.0 + math.exp(-z)) if z >= 0.0 else math.exp(z) / (1.0 + math.exp(z))


def is_sure(first: Region, hits: Sequence[Hit], rule: RegionRule) -> bool:
    """Whether looking at other regions is not worth its time; also where the rule knows nothing of the first's kind."""
    return first.kind not in rule.scores or probability(first, hits, rule) >= rule.sure


def best_of(candidates: Sequence[Region], hits: Sequence[Sequence[Hit]], rule: RegionRule) -> int:
    """Which of the regions to take: the likeliest, but the first unless another is likelier by more than `lead`."""
    odds = [probability(region, each, rule) for region, each in zip(candidates, hits, strict=True)]
    best = max(range(len(odds)), key=odds.__getitem__)
    return best if odds[best] > odds[0] + rule.lead else 0


def chosen(choice: Choice, region: Region) -> Choice:
    """The choice of that region instead."""
    if region.found is None:
        return Choice(choice.objects, region.box, "whole" if region.kind == "whole" else "centre")
    others = [each for each in choice.objects if each is not region.found]
    return Choice([region.found, *others], region.box, "detected")
