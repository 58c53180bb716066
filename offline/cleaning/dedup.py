"""Which of a set of pictures are the same one, and which of them to keep.

Rule. Pictures are looked at best first: those with more pixels before those with fewer, newer ones before older ones,
then by id. A picture that no group has yet begins one, and takes in every later one that is the same file or within
`radius` bits of it. So each picture that goes is within the radius of the one that stays for it; chains, in which each
is near the next and the ends are nothing alike, do not form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from offline.cleaning.near_duplicates import near_pairs


@dataclass(frozen=True, slots=True)
class Item:
    """A picture as deduplication sees it."""

    id: str
    hash: int
    """64 bits."""
    width: int
    height: int
    date: datetime | None = None
    """None: older than any."""


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that show the same."""

    kept: str
    dropped: tuple[tuple[str, int], ...]
    """Id and distance to the kept one in bits, best first."""


def groups(items: Sequence[Item], radius: int) -> list[Group]:
    """Groups of two and more, in the order of the kept pictures' ids. Raises ValueError if an id occurs twice."""
    if len({item.id for item in items}) != len(items):
        msg = "ids must be unique"
        raise ValueError(msg)
    ordered = sorted(items, key=_worth)
    hashes, first, inverse = np.unique(
        np.array([item.hash for item in ordered], np.uint64), return_index=True, return_inverse=True
    )
    leader = _leaders(hashes, first, radius)
    members: dict[int, list[int]] = {}
    for position, unique in enumerate(inverse.tolist()):
        members.setdefault(int(leader[unique]), []).append(position)
    found = [_group([ordered[i] for i in positions]) for positions in members.values() if len(positions) > 1]
    return sorted(found, key=lambda group: group.kept)


def _worth(item: Item) -> tuple[int, float, str]:
    return -item.width * item.height, -item.date.timestamp() if item.date else float("inf"), item.id


def _leaders(hashes: NDArray[np.uint64], rank: NDArray[np.intp], radius: int) -> NDArray[np.int64]:
    """For each distinct hash, the one whose group it is in. rank: of its best picture; lower is better."""
    pairs = near_pairs(hashes, radius)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    starts = np.searchsorted(both[:, 0], np.arange(len(hashes) + 1))
    leader = np.full(len(hashes), -1, np.int64)
    for each in np.argsort(rank).tolist():
        if leader[each] < 0:
            near = both[starts[each] : starts[each + 1], 1]
            leader[near[leader[near] < 0]] = each
            leader[each] = each
    return leader


def _group(members: Sequence[Item]) -> Group:
    kept, *rest = members
    return Group(kept.id, tuple((item.id, (item.hash ^ kept.hash).bit_count()) for item in rest))
