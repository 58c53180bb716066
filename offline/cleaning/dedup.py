"""Which of a set of pictures are the same one, and which of them to keep.

Rule. Pictures are looked at best first: those with more pixels before those with fewer, newer ones before older ones,
then by id. A picture that no group has yet begins one, and takes in every later one that is within `radius` bits of
it by one hash, and within `agree` bits by each of the others: alone, a hash takes two shirts on the same hanger for
one. So each picture that goes is that near to the one that stays for it; chains, in which each is near the next and
the ends are nothing alike, do not form.
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
    others: tuple[int, ...] = ()
    """Hashes of other kinds, 64 bits each; as many in every item."""


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that show the same."""

    kept: str
    dropped: tuple[tuple[str, int], ...]
    """Id and distance to the kept one in bits, best first."""


def groups(items: Sequence[Item], radius: int, agree: int = 64) -> list[Group]:
    """Groups of two and more, in the order of the kept pictures' ids. Raises ValueError if an id occurs twice."""
    if len({item.id for item in items}) != len(items):
        msg = "ids must be unique"
        raise ValueError(msg)
    ordered = sorted(items, key=_worth)
    if not ordered:
        return []
    hashes = np.array([(item.hash, *item.others) for item in ordered], np.uint64)
    distinct, first, inverse = np.unique(hashes, axis=0, return_index=True, return_inverse=True)
    leader = _leaders(distinct, first, radius, agree)
    members: dict[int, list[int]] = {}
    for position, unique in enumerate(inverse.tolist()):
        members.setdefault(int(leader[unique]), []).append(position)
    found = [_group([ordered[i] for i in positions]) for positions in members.values() if len(positions) > 1]
    return sorted(found, key=lambda group: group.kept)


def _worth(item: Item) -> tuple[int, float, str]:
    return -item.width * item.height, -item.date.timestamp() if item.date else float("inf"), item.id


def _leaders(distinct: NDArray[np.uint64], rank: NDArray[np.intp], radius: int, agree: int) -> NDArray[np.int64]:
    """For each distinct row of hashes, the one whose group it is in. rank: of its best picture; lower is better."""
    # Rows are sorted by the first hash, so those that share it stand together.
    keys, starts = np.unique(distinct[:, 0], return_index=True)
    ends = np.append(starts[1:], len(distinct))
    of_key = np.searchsorted(keys, distinct[:, 0])
    near_keys, first_near = _neighbours(near_pairs(keys, radius), len(keys))
    leader = np.full(len(distinct), -1, np.int64)
    for each in np.argsort(rank).tolist():
        if leader[each] >= 0:
            continue
        own = of_key[each]
        for key in (own, *near_keys[first_near[own] : first_near[own + 1]]):
            free = np.arange(starts[key], ends[key])[leader[starts[key] : ends[key]] < 0]
            differ = np.bitwise_count(distinct[free, 1:] ^ distinct[each, 1:])
            leader[free[(differ <= agree).all(axis=1)]] = each
    return leader


def _neighbours(pairs: NDArray[np.int64], nodes: int) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """All nodes' neighbours, one node's after the other's, and where each one's begin."""
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    return both[:, 1], np.searchsorted(both[:, 0], np.arange(nodes + 1))


def _group(members: Sequence[Item]) -> Group:
    kept, *rest = members
    return Group(kept.id, tuple((item.id, (item.hash ^ kept.hash).bit_count()) for item in rest))
