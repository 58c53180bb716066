"""Which pictures are kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

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
