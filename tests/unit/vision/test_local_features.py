from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiwu.vision.local_features import MOST, SIDE, Agreement, _matches, compare, describe, pack, unpack
from shiwu.vision.resize import Image, shrunk

HEAD = 3 + 3 * 12 * 12
"""Version, size and thumbnail."""


def _print(seed: int) -> Image:
    """Something printed: shapes and letters."""
    rng = np.random.default_rng(seed)
    image = np.full((300, 220, 3), 235, np.uint8)
    for _ in range(25):
        colour = tuple(int(each) for each in rng.integers(0, 200, 3))
        corner = (int(rng.integers(0, 180)), int(rng.integers(0, 260)))
        cv2.circle(image, corner, int(rng.integers(4, 22)), colour, -1)
        text = "".join(chr(65 + int(each)) for each in rng.integers(0, 26, 4))
        cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.7, colour[::-1], 2)
    return image


def _seen(image: Image, angle: float, seed: int = 0) -> Image:
    """A photo of it: turned, smaller, darker, noisy."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 0.7)
    turn[:, 2] += 40
    photo = cv2.warpAffine(image, turn, (320, 320), borderValue=(120, 110, 100)).astype(np.float32)
    noise = np.random.default_rng(seed).normal(0, 6, photo.shape)
    return np.asarray(np.clip(photo * 0.8 + noise, 0, 255), np.uint8)


@pytest.mark.parametrize("angle", [0, 35, 90, 180])
def test_the_same_print_agrees_however_it_is_turned_and_another_does_not(angle: float) -> None:
    photo = describe(_seen(_print(0), angle))
    own, other = (compare(photo, describe(_print(seed))) for seed in (0, 1))
    assert own.features >= 20
    assert own.coverage > 0.5
    assert own.colour > 0.8
    assert other.features < 8


def test_a_picture_that_was_shrunk_before_has_the_same_features() -> None:
    assert pack(describe(shrunk(_print(0), SIDE))) == pack(describe(_print(0)))


def test_a_mirrored_print_is_another() -> None:
    photo = describe(_seen(_print(0), 0))
    assert compare(photo, describe(np.ascontiguousarray(_print(0)[:, ::-1]))).features < 8


def test_a_shared_part_of_the_print_covers_only_that() -> None:
    sibling = _print(0)
    sibling[150:] = _print(1)[150:]
    photo = describe(_seen(_print(0), 10))
    own, other = (compare(photo, describe(picture)) for picture in (_print(0), sibling))
    assert other.features >= 10
    assert other.coverage < 0.8 * own.coverage


def test_another_colour_is_told_from_the_same_one_in_other_light() -> None:
    shown = _print(0)
    warm = np.asarray(np.clip(_seen(shown, 10) * np.array([1.06, 1.0, 0.92]), 0, 255), np.uint8)
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
    photo, shown = describe(_seen(_print(2), 20)), describe(_print(2))
    agreement = compare(photo, shown)
    assert compare(photo, shown) == agreement
    assert compare(unpack(pack(photo)), unpack(pack(shown))) == agreement
    assert len(pack(shown)) == HEAD + 130 * len(shown.places) <= HEAD + 130 * MOST


@pytest.mark.parametrize("shape", [(1, 1, 3), (300, 2, 3), (64, 64, 3)])
def test_an_even_picture_has_no_features_and_agrees_with_nothing(shape: tuple[int, int, int]) -> None:
    even = describe(np.full(shape, 90, np.uint8))
    assert even.descriptors.shape == (0, 128)
    kept = unpack(pack(even))
    assert (kept.places.shape, kept.size) == ((0, 2), even.size)
    assert kept.thumbnail.tolist() == np.full((12, 12, 3), 90).tolist()
    printed = describe(_print(0))
    assert compare(even, printed) == compare(printed, even) == compare(even, even) == Agreement()


@given(st.binary(max_size=2 * HEAD) | st.binary(max_size=2 * HEAD).map(b"\x02".__add__))
def test_other_bytes_are_refused(data: bytes) -> None:
    if data[:1] == b"\x02" and len(data) >= HEAD and (len(data) - HEAD) % 130 == 0:
        return
    with pytest.raises(ValueError, match="no local features"):
        unpack(data)


def test_too_many_features_are_refused() -> None:
    with pytest.raises(ValueError, match="no local features"):
        unpack(b"\x02" + bytes(HEAD - 1 + 130 * (MOST + 1)))


@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.integers(0, 12))
def test_matches_are_those_of_a_plain_search(seed: int, first: int, second: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (12, 128), dtype=np.uint8)
    noise = rng.integers(0, 40, (12, 128))
    a, b = base[:first], np.clip(base.astype(int) + noise, 0, 255).astype(np.uint8)[rng.permutation(12)[:second]]
    assert _matches(a, b).tolist() == _slow_matches(a, b)


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


def test_random_places_are_no_agreement() -> None:
    """The same descriptors at places that no map explains."""
    features = describe(_print(0))
    shuffled = np.random.default_rng(0).permutation(len(features.places))
    assert compare(features, features._replace(places=features.places[shuffled])).features < 12
