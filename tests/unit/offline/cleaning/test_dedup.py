"""Which pictures are kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from offline.cleaning.dedup import Group, Item, groups

NEW, OLD = datetime(2026, 5, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)


def item(id_, hash_=0, side=100, date=None):
    return Item(id_, hash_, side, side, date)


def test_the_picture_with_more_pixels_is_kept_then_the_newer_then_by_id():
    assert groups([item("a"), item("b", 1, side=200), item("c", 3)], 5) == [Group("b", (("a", 1), ("c", 1)))]
    assert groups([item("a", date=OLD), item("b", date=NEW), item("c")], 5) == [Group("b", (("a", 0), ("c", 0)))]
    assert groups([item("b"), item("a")], 5) == [Group("a", (("b", 0),))]


def test_pictures_beyond_the_radius_stay_apart():
    assert groups([item("a"), item("b", 0b11_1111)], 5) == []
    assert groups([item("a"), item("b", 0b1_1111)], 5) == [Group("a", (("b", 5),))]


def test_a_chain_is_cut_where_it_leaves_the_radius():
    chain = [item("a", 0, side=300), item("b", 0b1111, side=200), item("c", 0b1111_1111, side=100)]
    assert groups(chain, 4) == [Group("a", (("b", 4),))]  # c is 4 from b, but 8 from what would stay for it


def test_the_order_of_the_pictures_changes_nothing():
    pictures = [item(f"p{i}", hash_=(1 << (i % 7)) - 1, side=50 + i % 3) for i in range(40)]
    assert groups(pictures, 3) == groups(pictures[::-1], 3)


def test_everything_equal_is_one_group_however_large():
    (group,) = groups([item(f"p{i:05}", 7) for i in range(10_000)], 5)
    assert (group.kept, len(group.dropped)) == ("p00000", 9_999)


def test_nothing_and_single_pictures_have_no_groups():
    assert groups([], 5) == []
    assert groups([item("a")], 5) == []


def test_an_id_that_occurs_twice_is_told():
    with pytest.raises(ValueError, match="unique"):
        groups([item("a"), replace(item("a"), hash=9)], 5)


def test_near_pictures_stay_apart_where_another_hash_disagrees():
    """Two shirts on the same hanger: alike in one hash, not in the next."""
    shirts = [
        Item("a", 0, 9, 9, others=(0, 0)),
        Item("b", 1, 8, 8, others=(0, 0b1111)),
        Item("c", 0, 7, 7, others=(0, 255)),
    ]
    assert groups(shirts, 5, agree=4) == [Group("a", (("b", 1),))]
    assert groups(shirts, 5, agree=8) == [Group("a", (("b", 1), ("c", 0)))]


def test_groups_are_those_of_a_plain_loop():
    draw = np.random.default_rng(3)
    centres = draw.integers(0, 1 << 63, (12, 3), np.uint64)
    hashes = centres[draw.integers(0, 12, 400)] ^ (np.uint64(1) << draw.integers(0, 64, (400, 3), np.uint64))
    items = [
        Item(f"p{i:03}", int(a), int(draw.integers(50, 90)), 60, others=(int(b), int(c)))
        for i, (a, b, c) in enumerate(hashes)
    ]
    for radius, agree in ((2, 2), (2, 1), (0, 2), (11, 64)):
        assert groups(items, radius, agree) == plain_groups(items, radius, agree)


def plain_groups(items, radius, agree):
    left = sorted(items, key=lambda each: (-each.width * each.height, each.id))
    found = []
    while left:
        kept, *left = left
        near = [each for each in left if is_near(kept, each, radius, agree)]
        left = [each for each in left if each not in near]
        if near:
            found.append(Group(kept.id, tuple((each.id, (each.hash ^ kept.hash).bit_count()) for each in near)))
    return sorted(found, key=lambda group: group.kept)


def is_near(one, other, radius, agree):
    others = zip(one.others, other.others, strict=True)
    return (one.hash ^ other.hash).bit_count() <= radius and all((a ^ b).bit_count() <= agree for a, b in others)
