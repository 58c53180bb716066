"""Which of a set of pictures are the same one, and which of them to keep.

Rule. Pictures are looked at best first: those with more pixels before those with fewer, newer ones before older ones,
then by id. A picture that no group has yet begins one, and takes in every later one that is near it. So each picture
that goes is near the one that stays for it; chains, in which each is near the next and the ends are nothing alike, do
not form.

Near is within `radius` bits by one hash, `agree` bits by each of the others, and `chroma` steps of colour everywhere:
by one hash alone two shirts on the same hanger are one, and by hashes alone, which see no colour, two colours of one
shirt. Pictures of different products are never near: each product needs its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from offline.cleaning.near_duplicates import MAX_RADIUS, near_pairs


class Near(BaseModel):
    """When two pictures are the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    radius: int = Field(5, ge=0, le=MAX_RADIUS)
    """Bits of 64 in which their hashes may differ."""
    agree: int = Field(8, ge=0, le=64)
    """Bits in which each of their other hashes may differ."""
    chroma: int = Field(10, ge=0, le=255)
    """Steps of 255 in which the mean colour of a cell may differ. Another compression or size, or a crop of 2 %, stays
    within 5, brighter or darker by a fifth mostly within 10; other colours of a product mostly do not."""


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
    chroma: bytes = b""
    """Mean colours of the cells, a byte each; as many in every item."""
    product: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that show the same."""

    kept: str
    dropped: tuple[tuple[str, int], ...]
    """Id and distance to the kept one in bits, best first."""


def groups(items: Sequence[Item], near: Near) -> list[Group]:
    """Groups of two and more, in the order of the kept pictures' ids. Raises ValueError if an id occurs twice."""
    if len({item.id for item in items}) != len(items):
        msg = "ids must be unique"
        raise ValueError(msg)
    members: dict[_Looks, list[Item]] = {}
    for item in sorted(items, key=_worth):
        members.setdefault(_looks(item), []).append(item)
    leaders = _leaders(list(members), near) if members else {}
    followers: dict[_Looks, list[Item]] = {}
    for looks, own in members.items():
        followers.setdefault(leaders[looks], []).extend(own)
    found = [_group(sorted(own, key=_worth)) for own in followers.values() if len(own) > 1]
    return sorted(found, key=lambda group: group.kept)


_Looks = tuple[str, int, tuple[int, ...], bytes]
"""All that nearness goes by: pictures that share it are in one group."""


def _looks(item: Item) -> _Looks:
    return item.product, item.hash, item.others, item.chroma


def _worth(item: Item) -> tuple[int, float, str]:
    return -item.width * item.height, -item.date.timestamp() if item.date else float("inf"), item.id


def _leaders(best_first: Sequence[_Looks], near: Near) -> dict[_Looks, _Looks]:
    """For each look, the one whose group it is in."""
    by_hash = sorted(range(len(best_first)), key=lambda i: best_first[i][1])
    keys, starts = np.unique(np.array([best_first[i][1] for i in by_hash], np.uint64), return_index=True)
    ends = np.append(starts[1:], len(by_hash))
    of_key = np.searchsorted(keys, np.array([looks[1] for looks in best_first], np.uint64))
    near_keys, first_near = _neighbours(near_pairs(keys, near.radius), len(keys))
    leader = np.full(len(best_first), -1, np.int64)
    tables = _tables([best_first[i] for i in by_hash])
    places = np.argsort(by_hash)
    for place in places.tolist():
        if leader[place] >= 0:
            continue
        own = of_key[by_hash[place]]
        for key in (own, *near_keys[first_near[own] : first_near[own + 1]]):
            free = np.arange(starts[key], ends[key])[leader[starts[key] : ends[key]] < 0]
            leader[free[tables.agree(place, free, near)]] = place
    return {best_first[by_hash[place]]: best_first[by_hash[leader[place]]] for place in range(len(by_hash))}


@dataclass(frozen=True, slots=True)
class _Tables:
    """What looks are compared by beside the hash that finds them, a row each."""

    products: NDArray[np.int64]
    others: NDArray[np.uint64]
    chroma: NDArray[np.int16]

    def agree(self, one: int, those: NDArray[np.int64], near: Near) -> NDArray[np.bool_]:
        same = self.products[those] == self.products[one]
        bits = np.bitwise_count(self.others[those] ^ self.others[one])
        steps = np.abs(self.chroma[those] - self.chroma[one])
        return np.asarray(same & (bits <= near.agree).all(axis=1) & (steps <= near.chroma).all(axis=1))


def _tables(looks: Sequence[_Looks]) -> _Tables:
    numbers = {product: number for number, product in enumerate(sorted({product for product, *_ in looks}))}
    return _Tables(
        np.array([numbers[product] for product, *_ in looks]),
        np.array([others for _, _, others, _ in looks], np.uint64).reshape(len(looks), -1),
        np.array([list(chroma) for *_, chroma in looks], np.int16).reshape(len(looks), -1),
    )


def _neighbours(pairs: NDArray[np.int64], nodes: int) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """All nodes' neighbours, one node's after the other's, and where each one's begin."""
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    return both[:, 1], np.searchsorted(both[:, 0], np.arange(nodes + 1))


def _group(members: Sequence[Item]) -> Group:
    kept, *rest = members
    return Group(kept.id, tuple((item.id, (item.hash ^ kept.hash).bit_count()) for item in rest))
