"""The same print and similar ones: what they have in common, and what tells them apart."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.flat_covers import covers
from evaluation.flat_shots import flat_shots
from services.gateway.pictures import cropped
from shiwu.vision.agreement import _matches, _products, _unit, compare, compare_all
from shiwu.vision.decode import Limits, decode
from shiwu.vision.local_features import (
    MOST,
    MOST_OF_PHOTO,
    SIDE,
    THUMBNAIL,
    LocalFeatures,
    describe,
    pack,
    unpack,
)
from tests.unit.vision.prints import printed, seen


@pytest.mark.parametrize("angle", [0, 35, 90, 180])
def test_the_same_print_agrees_however_it_is_turned_and_another_does_not(angle: float) -> None:
    photo = describe(seen(printed(0), angle))
    own, other = (compare(photo, describe(printed(seed))) for seed in (0, 1))
    assert own.features >= 20
    assert own.coverage > 0.5
    assert own.colour > 0.8
    assert other.features < 8


@pytest.mark.parametrize("seed", range(4))
def test_a_photo_has_room_for_the_features_of_a_print_among_others(seed: int) -> None:
    shelf = cv2.resize(printed(seed + 20), (300, 300))
    shelf[70:230, 70:230] = cv2.resize(printed(seed), (160, 160), interpolation=cv2.INTER_AREA)
    picture = describe(printed(seed))
    few, many = (compare(describe(shelf, most), picture).features for most in (MOST, MOST_OF_PHOTO))
    assert many > max(1.3 * few, 20)


def test_a_mirrored_print_is_another() -> None:
    photo = describe(seen(printed(0), 0))
    assert compare(photo, describe(np.ascontiguousarray(printed(0)[:, ::-1]))).features < 8


def test_a_shared_part_of_the_print_covers_only_that() -> None:
    sibling = printed(0)
    sibling[150:] = printed(1)[150:]
    photo = describe(seen(printed(0), 10))
    own, other = (compare(photo, describe(picture)) for picture in (printed(0), sibling))
    assert other.features >= 10
    assert other.coverage < 0.8 * own.coverage


def test_another_name_on_the_same_cover_is_a_worse_detail() -> None:
    drawn = [each for each in covers(100, seed=5) if each.varies == "name"]
    pictures = {each: unpack(pack(describe(each.picture()))) for each in drawn}
    gaps = []
    for shot in flat_shots(drawn, seed=5):
        photo = describe(cropped(decode(shot.photo, Limits()).pixels, shot.box, margin=0.0, size=SIDE))
        siblings = [each for each in drawn if each.family == shot.cover.family and each is not shot.cover]
        own = compare(photo, pictures[shot.cover]).detail
        gaps += [own - compare(photo, pictures[each]).detail for each in siblings]
    assert len(gaps) > 30
    assert np.median(gaps) > 0.25
    assert np.mean(np.array(gaps) > -0.05) > 0.9


def test_without_a_print_in_view_no_part_differs() -> None:
    photo, picture = describe(seen(printed(0), 0)), describe(printed(0))
    damaged = picture._replace(gray=b"no JPEG")
    with pytest.raises(ValueError, match=r"decode|JPEG|header"):
        compare(photo, damaged)
    even = picture._replace(gray=np.full((96, 96), 90, np.uint8))
    assert compare(photo, even).detail == 1.0


def test_another_colour_is_told_from_the_same_one_in_other_light() -> None:
    shown = printed(0)
    warm = np.asarray(np.clip(seen(shown, 10) * np.array([1.06, 1.0, 0.92]), 0, 255), np.uint8)
    left_orange = shown.copy()
    left_orange[:, :110] = np.minimum(left_orange[:, :110], (255, 150, 40))
    own, other, dyed = (
        compare(describe(warm), describe(picture))
        for picture in (shown, left_orange, np.minimum(shown, np.array((255, 150, 40), np.uint8)))
    )
    assert own.colour > 0.9
    assert max(other.colour, dyed.colour) < 0.3
    assert min(other.features, dyed.features) >= 20


def test_a_picture_always_agrees_as_much_and_keeps_that_as_bytes() -> None:
    photo, shown = describe(seen(printed(2), 20)), describe(printed(2))
    kept = unpack(pack(shown))
    agreement = compare(photo, kept)
    assert compare(photo, kept) == agreement
    assert list(agreement) == pytest.approx(list(compare(photo, shown)), abs=0.03)


@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.integers(0, 12))
def test_matches_are_those_of_a_plain_search(seed: int, first: int, second: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (12, 128), dtype=np.uint8)
    noise = rng.integers(0, 40, (12, 128))
    a, b = base[:first], np.clip(base.astype(int) + noise, 0, 255).astype(np.uint8)[rng.permutation(12)[:second]]
    assert _matches(_unit(a), _unit(b)).tolist() == _slow_matches(a, b)


def _slow_matches(first: np.ndarray, second: np.ndarray) -> list[list[int]]:
    if len(first) < 2 or len(second) < 2:
        return []
    units = [each.astype(float) / np.linalg.norm(each, axis=1, keepdims=True) for each in (first, second)]
    found = []
    for i, one in enumerate(units[0]):
        distances = [float(np.linalg.norm(one - other)) for other in units[1]]
        j = int(np.argmin(distances))
        back = [float(np.linalg.norm(units[1][j] - each)) for each in units[0]]
        if int(np.argmin(back)) == i and distances[j] < 0.85 * sorted(distances)[1]:
            found.append([i, j])
    return found


def test_many_pictures_are_compared_in_their_order() -> None:
    photo = describe(seen(printed(0), 10))
    pictures = [describe(printed(seed)) for seed in (1, 0, 2)]
    agreements = compare_all(photo, pictures)
    assert agreements == [compare(photo, each) for each in pictures]
    assert agreements[1].features > 20 > max(agreements[0].features, agreements[2].features)


def test_blocks_are_laid_over_the_photo_at_every_shift() -> None:
    """Against the plain sums: blocks of 10 x 10 pixels every 5, shifts of up to 3 pixels."""
    rng = np.random.default_rng(0)
    thumbnail, laid = (rng.uniform(0, 255, (side, side)).astype(np.float32) for side in (THUMBNAIL, THUMBNAIL + 6))
    found = _products(thumbnail, laid)
    assert found.shape == (7, 7, 18, 18)
    for down, across, row, column in rng.integers(0, (7, 7, 18, 18), (50, 4)).tolist():
        y, x = 5 * row, 5 * column
        beside = laid[y + down : y + down + 10, x + across : x + across + 10]
        expected = (thumbnail[y : y + 10, x : x + 10] * beside).mean()
        assert found[down, across, row, column] == pytest.approx(expected, rel=1e-4)


def test_random_places_are_no_agreement() -> None:
    """The same descriptors at places that no map explains."""
    features = describe(printed(0))
    shuffled = np.random.default_rng(0).permutation(len(features.places))
    assert compare(features, features._replace(places=features.places[shuffled])).features < 12


@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 255), st.integers(1, 255)), st.floats(0.0, 80.0))
def test_whatever_a_feed_brings_is_compared(seed: int, size: tuple[int, int], spread: float) -> None:
    """Places that lie anywhere, also all on a line or a point, of a picture of any size."""
    rng = np.random.default_rng(seed)
    descriptors = rng.integers(0, 256, (40, 128), dtype=np.uint8)
    places = rng.integers(0, 192, (40, 2)) * rng.integers(0, 2, 2)
    moved = np.clip(places + rng.normal(0.0, spread, places.shape), 0, 255).astype(np.uint8)
    colours, gray = rng.integers(0, 256, (12, 12, 3), np.uint8), rng.integers(0, 256, (96, 96), np.uint8)
    photo = LocalFeatures(moved, descriptors, (192, 150), colours, gray)
    picture = unpack(pack(LocalFeatures(places.astype(np.uint8), descriptors, size, colours, gray)))
    agreement = compare(photo, picture)
    assert 0 <= agreement.features <= 40
    assert all(0.0 <= each <= 1.0 for each in agreement[1:])
