"""Which SKUs are the same style: those that a classifier takes for each other.

p_ij = c_ij / n_i is the share of SKU i's pictures that are taken for j by a classifier over all SKUs which was not
trained on them (see confusion.py). Pairs whose mean of p_ij and p_ji reaches a high threshold are merged, the
classifier is trained again with what was merged as one class, and when nothing more merges the threshold is lowered.
One style sold as k SKUs has p of about 1 / k between any two of them, and more after each merge.

Rule. In a round the most confused pairs go first, and a class merges once, so that what it became is trained before it
merges again. A merge must hold for the whole group: every SKU of the one side must be at least `min_similarity` from
every SKU of the other (cosine of their mean vectors), whatever their classes' confusion. A SKU of one picture is never
tested; it merges by what is taken for it, and two of them never merge with each other. Equal pictures should be
collapsed first (see dedup.py): a classifier that was trained on one knows the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from offline.cleaning.confusion import (
    UNTESTED,
    Classes,
    Confusion,
    Vectors,
    class_means,
    confusion,
    nearest_classes,
    predict,
)

_SHOWN: Final = 5
"""Confused pictures that are kept as evidence, of each direction."""


class MergeRule(BaseModel):
    """Chosen for the released embedder; see docs/cleaning.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    thresholds: tuple[float, ...] = (0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07)
    """Of the mean of p_ij and p_ji, falling, each above 0 and at most 1."""
    min_similarity: float = Field(0.6, ge=-1.0, le=1.0)
    """Cosine between the mean vectors of any two SKUs of a group."""
    folds: int = Field(5, ge=2)
    shrinkage: float = Field(0.2, gt=0.0, le=1.0)
    """How far the covariance within classes is drawn to a sphere; 1: nearest mean by plain distance."""
    candidates: int = Field(16, ge=1)
    """Nearest SKUs, by mean vector, that the pictures of each may be taken for."""

    @model_validator(mode="after")
    def _falling(self) -> Self:
        if not self.thresholds or any(not 0.0 < each <= 1.0 for each in self.thresholds):
            msg = f"thresholds above 0 and at most 1 are expected, not {self.thresholds}"
            raise ValueError(msg)
        if list(self.thresholds) != sorted(self.thresholds, reverse=True):
            msg = f"falling thresholds are expected, not {self.thresholds}"
            raise ValueError(msg)
        return self


@dataclass(frozen=True, slots=True)
class Taken:
    """One direction of a confusion."""

    pictures: int
    """That were taken for the other side."""
    of: int
    """That were tested."""
    shown: tuple[str, ...]
    """Ids of the first few of the pictures."""

    @property
    def share(self) -> float:
        """p_ij; 0 where nothing was tested."""
        return self.pictures / self.of if self.of else 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """One merge: two groups of SKUs became one."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    forth: Taken
    """First's pictures taken for second's."""
    back: Taken
    threshold: float
    """Of the round."""
    similarity: float
    """The least between a SKU of the one and one of the other."""

    @property
    def confusion(self) -> float:
        """Mean of both directions."""
        return (self.forth.share + self.back.share) / 2


@dataclass(frozen=True, slots=True)
class Group:
    """SKUs that are one style."""

    skus: tuple[str, ...]
    """Two or more, in order."""
    steps: tuple[Step, ...]
    """How they came together, the first merge first."""

    @property
    def score(self) -> float:
        """0 to 1: the least confusion of its merges."""
        return min(step.confusion for step in self.steps)


@dataclass(frozen=True, slots=True)
class _Merge:
    """Of the groups numbered so; the first one's number goes on."""

    first: int
    second: int
    similarity: float


def merge(
    vectors: Vectors,
    skus: Sequence[str],
    pictures: Sequence[str],
    rule: MergeRule,
    watch: Callable[[float, int], None] | None = None,
) -> list[Group]:
    """The groups, in the order of their first SKUs; equal for equal rows in any order.

    vectors: (n, dimension), unit length. skus, pictures: ids, of n rows each. watch: is told of each round its
    threshold and the number of merges. Raises ValueError for rows that do not go together, or a picture given twice.
    """
    if not len(vectors) == len(skus) == len(pictures):
        msg = f"as many skus and pictures as vectors are expected: {len(skus)}, {len(pictures)} and {len(vectors)}"
        raise ValueError(msg)
    if len(set(pictures)) != len(pictures):
        msg = "ids of pictures must be unique"
        raise ValueError(msg)
    order = sorted(range(len(skus)), key=lambda row: (skus[row], pictures[row]))
    vectors, shown = vectors[order], [pictures[row] for row in order]
    names, of_sku = np.unique([skus[row] for row in order], return_inverse=True)
    means, _ = class_means(vectors, of_sku)
    near = nearest_classes(means, rule.candidates)
    units = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    members = {sku: [sku] for sku in range(len(names))}
    steps: dict[int, list[Step]] = defaultdict(list)
    for threshold in rule.thresholds:
        while True:
            group = _group_of(members, len(names))
            numbers, classes = np.unique(group, return_inverse=True)
            predicted = predict(vectors, classes[of_sku], classes[near[of_sku]], rule.folds, rule.shrinkage)
            found = confusion(classes[of_sku], predicted)
            merges = _merges(found, numbers.tolist(), members, units, threshold, rule.min_similarity)
            taken = _taken(merges, group[of_sku], predicted, numbers, shown)
            for each, (forth, back) in zip(merges, taken, strict=True):
                first, second = (_named(names, members[side]) for side in (each.first, each.second))
                step = Step(first, second, forth, back, threshold, each.similarity)
                steps[each.first] += [*steps.pop(each.second, []), step]
                members[each.first] += members.pop(each.second)
            if watch:
                watch(threshold, len(merges))
            if not merges or threshold != rule.thresholds[-1]:
                break
    return [Group(_named(names, members[number]), tuple(steps[number])) for number in sorted(steps)]


def _group_of(members: dict[int, list[int]], skus: int) -> Classes:
    group = np.empty(skus, np.int64)
    for number, own in members.items():
        group[own] = number
    return group


def _merges(
    found: Confusion,
    numbers: Sequence[int],
    members: dict[int, list[int]],
    units: Vectors,
    threshold: float,
    min_similarity: float,
) -> list[_Merge]:
    """The round's merges, the most confused first. numbers: of the groups, by class."""
    shares = found.counts / found.tested[found.rows]
    low, high = np.minimum(found.rows, found.columns), np.maximum(found.rows, found.columns)
    pairs, place = np.unique(np.stack([low, high]), axis=1, return_inverse=True)
    confused = np.bincount(place.ravel(), shares, minlength=pairs.shape[1]) / 2
    merges, merged = list[_Merge](), set[int]()
    # The least rounding must not decide what goes first.
    for each in np.lexsort((pairs[1], pairs[0], -confused.round(9))).tolist():
        if confused[each] < threshold - 1e-9:
            break
        first, second = (numbers[side] for side in pairs[:, each].tolist())
        if first in merged or second in merged:
            continue
        similarity = float((units[members[first]] @ units[members[second]].T).min())
        if similarity >= min_similarity:
            merges.append(_Merge(first, second, similarity))
            merged |= {first, second}
    return merges


def _taken(
    merges: Sequence[_Merge], group: Classes, predicted: Classes, numbers: NDArray[np.int64], pictures: Sequence[str]
) -> list[tuple[Taken, Taken]]:
    """Of each merge how many pictures of the one side were taken for the other, forth and back. group: of pictures."""
    other = {each.first: each.second for each in merges} | {each.second: each.first for each in merges}
    tested, taken = dict.fromkeys(other, 0), {number: list[str]() for number in other}
    for row in np.flatnonzero((predicted != UNTESTED) & np.isin(group, list(other))).tolist():
        number = int(group[row])
        tested[number] += 1
        if numbers[predicted[row]] == other[number]:
            taken[number].append(pictures[row])

    def side(number: int) -> Taken:
        return Taken(len(taken[number]), tested[number], tuple(taken[number][:_SHOWN]))

    return [(side(each.first), side(each.second)) for each in merges]


def _named(names: NDArray[np.str_], skus: Sequence[int]) -> tuple[str, ...]:
    return tuple(str(names[sku]) for sku in sorted(skus))
