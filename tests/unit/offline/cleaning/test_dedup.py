"""Which pictures are kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from offline.cleaning.dedup import Group, Item, Near, groups

NEW, OLD = datetime(2026, 5, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)


def bits(radius):
    return Near(radius=radius)


def item(id_, hash_=0, side=100, date=None):
    return Item(id_, hash_, side, side, date)


def test_the_picture_with_more_pixels_is_kept_then_the_newer_then_by_id():
    assert groups([item("a"), item("b", 1, side=200), item("c", 3)], bits(5)) == [Group("b", (("a", 1), ("c", 1)))]
    assert groups([item("a", date=OLD), item("b", date=NEW), item("c")], bits(5)) == [Group("b", (("a", 0), ("c", 0)))]
    assert groups([item("b"), item("a")], bits(5)) == [Group("a", (("b", 0),))]


def test_pictures_beyond_the_radius_stay_apart():
    assert groups([item("a"), item("b", 0b11_1111)], bits(5)) == []
    assert groups([item("a"), item("b", 0b1_1111)], bits(5)) == [Group("a", (("b", 5),))]


def test_a_chain_is_cut_where_it_leaves_the_radius():
    chain = [item("a", 0, side=300), item("b", 0b1111, side=200), item("c", 0b1111_1111, side=100)]
    assert groups(chain, bits(4)) == [Group("a", (("b", 4),))]  # c is 4 from b, but 8 from what would stay for it


def test_the_order_of_the_pictures_changes_nothing():
    pictures = [item(f"p{i}", hash_=(1 << (i % 7)) - 1, side=50 + i % 3) for i in range(40)]
    assert groups(pictures, bits(3)) == groups(pictures[::-1], bits(3))


def test_everything_equal_is_one_group_however_large():
    (group,) = groups([item(f"p{i:05}", 7) for i in range(10_000)], bits(5))
    assert (group.kept, len(group.dropped)) == ("p00000", 9_999)


def test_nothing_and_single_pictures_have_no_groups():
    assert groups([], bits(5)) == []
    assert groups([item("a")], bits(5)) == []


def test_an_id_that_occurs_twice_is_told():
    with pytest.raises(ValueError, match="unique"):
        groups([item("a"), replace(item("a"), hash=9)], bits(5))


def test_near_pictures_stay_apart_where_another_hash_disagrees():
    """Two shirts on the same hanger: alike in one hash, not in the next."""
    shirts = [
        Item("a", 0, 9, 9, others=(0, 0)),
        Item("b", 1, 8, 8, others=(0, 0b1111)),
        Item("c", 0, 7, 7, others=(0, 255)),
    ]
    assert groups(shirts, Near(radius=5, agree=4)) == [Group("a", (("b", 1),))]
    assert groups(shirts, Near(radius=5, agree=8)) == [Group("a", (("b", 1), ("c", 0)))]


def test_near_pictures_of_another_colour_or_product_stay_apart():
    gray, pale, red = bytes([128] * 32), bytes([128, 133] * 16), bytes([128] * 31 + [200])
    shirts = [Item("a", 0, 9, 9, chroma=gray), Item("b", 0, 8, 8, chroma=pale), Item("c", 0, 7, 7, chroma=red)]
    assert groups(shirts, Near()) == [Group("a", (("b", 0),))]
    assert groups([Item("a", 0, 9, 9, product="x"), Item("b", 0, 8, 8, product="y")], Near()) == []


def test_groups_are_those_of_a_plain_loop():
    draw = np.random.default_rng(3)
    centres = draw.integers(0, 1 << 63, (12, 3), np.uint64)
    hashes = centres[draw.integers(0, 12, 400)] ^ (np.uint64(1) << draw.integers(0, 64, (400, 3), np.uint64))
    chroma = draw.integers(120, 127, (400, 2), np.uint8)
    items = [
        Item(f"p{i:03}", one, int(side), 60, None, (two, three), bytes(colour), f"product {i % 3}")
        for i, ((one, two, three), side, colour) in enumerate(
            zip(hashes.tolist(), draw.integers(50, 90, 400), chroma, strict=True)
        )
    ]
    for near in (
        Near(radius=2, agree=2),
        Near(radius=3, agree=2, chroma=4),
        Near(radius=0),
        Near(radius=11, agree=64, chroma=3),
    ):
        assert groups(items, near) == plain_groups(items, near)
        assert groups(items, near)


def plain_groups(items, near):
    left = sorted(items, key=lambda each: (-each.width * each.height, each.id))
    found = []
    while left:
        kept, *left = left
        alike = [each for each in left if is_near(kept, each, near)]
        left = [each for each in left if each not in alike]
        if alike:
            found.append(Group(kept.id, tuple((each.id, (each.hash ^ kept.hash).bit_count()) for each in alike)))
    return sorted(found, key=lambda group: group.kept)


def is_near(one, other, near):
    bits = [(a ^ b).bit_count() for a, b in zip(one.others, other.others, strict=True)]
    steps = [abs(a - b) for a, b in zip(one.chroma, other.chroma, strict=True)]
    return (
        one.product == other.product
        and (one.hash ^ other.hash).bit_count() <= near.radius
        and max(bits, default=0) <= near.agree
        and max(steps, default=0) <= near.chroma
    )
