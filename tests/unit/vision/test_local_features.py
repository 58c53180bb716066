"""Local features and their bytes."""

from __future__ import annotations

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from shiwu.vision.agreement import Agreement, compare
from shiwu.vision.local_features import LARGEST, MOST, SIDE, VERSION, describe, gray_of, is_outdated, pack, unpack
from shiwu.vision.resize import shrunk
from tests.unit.vision.prints import printed

HEAD = 5 + 3 * 12 * 12
"""Version, size, how long the thumbnail is, and the colours."""


def test_a_picture_that_was_shrunk_before_has_the_same_features() -> None:
    assert pack(describe(shrunk(printed(0), SIDE))) == pack(describe(printed(0)))


@pytest.mark.parametrize("shape", [(1, 1, 3), (300, 2, 3), (64, 64, 3)])
def test_an_even_picture_has_no_features_and_agrees_with_nothing(shape: tuple[int, int, int]) -> None:
    even = describe(np.full(shape, 90, np.uint8))
    assert even.descriptors.shape == (0, 128)
    kept = unpack(pack(even))
    assert (kept.places.shape, kept.size) == ((0, 2), even.size)
    assert gray_of(kept).tolist() == np.full((96, 96), 90).tolist()
    assert kept.colours.tolist() == np.full((12, 12, 3), 90).tolist()
    other = describe(printed(0))
    assert compare(even, other) == compare(other, even) == compare(even, even) == Agreement()


def test_bytes_are_a_head_a_thumbnail_and_130_for_each_feature() -> None:
    shown = describe(printed(0))
    data = pack(shown)
    assert len(data) == HEAD + int.from_bytes(data[3:5], "big") + 130 * len(shown.places) <= LARGEST
    again = unpack(data)
    assert pack(again) == data
    assert (again.places == shown.places).all()
    assert (again.descriptors == shown.descriptors).all()


def test_noise_has_the_largest_thumbnail() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (192, 192, 3), np.uint8)
    assert len(pack(describe(noise))) <= LARGEST


@given(st.binary(max_size=2 * HEAD) | st.binary(max_size=2 * HEAD).map(VERSION.__add__))
def test_other_bytes_are_refused(data: bytes) -> None:
    start = HEAD + int.from_bytes(data[3:5], "big")
    if data[:1] == VERSION and len(data) >= start and (len(data) - start) % 130 == 0:
        return
    with pytest.raises(ValueError, match="no local features"):
        unpack(data)


def test_too_many_features_and_too_large_a_thumbnail_are_refused() -> None:
    head = VERSION + bytes((192, 192))
    with pytest.raises(ValueError, match="no local features"):
        unpack(head + bytes(HEAD - 3 + 130 * (MOST + 1)))
    with pytest.raises(ValueError, match="no local features"):
        unpack(head + (20_000).to_bytes(2, "big") + bytes(20_000 + HEAD - 5))


@pytest.mark.parametrize("side", [95, 4000])
def test_a_thumbnail_of_another_size_is_not_decoded(side: int) -> None:
    jpeg = simplejpeg.encode_jpeg(np.zeros((side, side, 1), np.uint8), 1, "GRAY")
    features = describe(printed(0))._replace(gray=jpeg)
    with pytest.raises(ValueError, match=f"{side} x {side} pixels; expected 96 x 96"):
        gray_of(features)


def test_earlier_versions_are_outdated_and_later_ones_unknown() -> None:
    first = VERSION[0]
    outdated = [is_outdated(bytes([each])) for each in (0, 1, first - 1, first, first + 1)]
    assert outdated == [False, True, True, False, False]
    assert not is_outdated(b"")
