"""Flat products and their simulated phone shots."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import cv2
import numpy as np
import pytest

from evaluation.flat_art import KINDS, art
from evaluation.flat_covers import CATEGORIES, SIDE, covers
from evaluation.flat_shots import flat_shots
from shiwu.vision.boxes import iou

COUNT = 300


@pytest.fixture(scope="module")
def products():
    return covers(COUNT, 1)


def families(products):
    members = {}
    for each in products:
        members.setdefault(each.family, []).append(each)
    return list(members.values())


def same(members, *names):
    return all(getattr(each, name) == getattr(members[0], name) for each in members for name in names)


def test_a_seed_is_a_catalogue(products):
    assert covers(COUNT, 1) == products
    assert covers(50, 1) == products[:50]
    assert {each.product_id for each in covers(50, 2)}.isdisjoint(each.product_id for each in products)
    assert (covers(1, 1)[0].picture() == products[0].picture()).all()


def test_all_products_look_different(products):
    pictures = [each.picture() for each in products]
    assert len({picture.tobytes() for picture in pictures}) == COUNT
    assert all(max(picture.shape) == SIDE and picture.dtype == np.uint8 for picture in pictures)
    assert all(picture.std() > 5 for picture in pictures), "none is blank"


def test_families_differ_in_what_they_say(products):
    seen = Counter()
    for members in families(products)[:-1]:  # the last may be cut
        varies = members[0].varies
        seen[varies] += 1
        assert (len(members) == 1) == (varies == "alone")
        assert same(members, "brand", "layout", "fonts", "art", "size", "kind", "frame")
        assert len({each.title for each in members}) == len(members)
        if len(members) > 1:
            assert same(members, "palette") == (varies != "colour")
            assert same(members, "art_seed") == (varies != "art")
    assert min(seen[varies] for varies in ("alone", "name", "colour", "art")) >= 5
    assert Counter(each.kind for each in products).keys() == CATEGORIES.keys()


def test_relatives_look_more_alike_than_strangers(products):
    def small(cover):
        return cv2.resize(cover.picture(), (32, 32), interpolation=cv2.INTER_AREA).astype(float)

    alike = [members for members in families(products) if members[0].varies == "name"]
    near = [np.abs(small(members[0]) - small(members[1])).mean() for members in alike]
    far = [np.abs(small(a[0]) - small(b[0])).mean() for a, b in pairwise(alike)]
    assert np.median(near) < 0.25 * np.median(far)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_art_depends_on_its_seed(kind):
    palette = ((250, 240, 230), (20, 20, 40), (200, 40, 40), (40, 160, 200))
    first = art(kind, palette, 1, 90, 120)
    assert first.shape == (120, 90, 3)
    assert first.std() > 5
    assert (first == art(kind, palette, 1, 90, 120)).all()
    assert (first != art(kind, palette, 2, 90, 120)).any()


def test_shots_depend_on_their_seed_only(products):
    first = [each.photo for each in flat_shots(products[:3], 1)]
    assert first == [each.photo for each in flat_shots(products[:3], 1)]
    assert all(a != b.photo for a, b in zip(first, flat_shots(products[:3], 2), strict=True))


def test_the_box_holds_what_is_not_background():
    bright = covers(40, 1)
    shot = next(flat_shots(bright, 3, [np.zeros((8, 8, 3), np.uint8)]))
    pixels = cv2.imdecode(np.frombuffer(shot.photo, np.uint8), cv2.IMREAD_GRAYSCALE)
    _, _, stats, _ = cv2.connectedComponentsWithStats((pixels > 40).astype(np.uint8))
    left, top, width, height, _ = max(stats[1:].tolist(), key=lambda each: each[4])
    side = len(pixels)
    seen = np.array([[left / side, top / side, (left + width) / side, (top + height) / side]], np.float32)
    assert iou(seen, np.array([shot.box], np.float32))[0, 0] > 0.8
