from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiwu.vision.resize import fit


@pytest.mark.parametrize("how", ["letterbox", "stretch"])
@given(width=st.integers(1, 300), height=st.integers(1, 300))
def test_a_box_goes_into_the_square_and_back(how: str, width: int, height: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    square, placement = fit(image, 64, how)
    assert square.shape == (64, 64, 3)
    box = np.array([[0, 0, width, height], [0, 0, width / 2, height / 2]], np.float32)
    inside = placement.to_square(box)
    assert (inside >= 0).all()
    assert (inside <= 64.001).all()
    assert np.allclose(placement.to_image(inside), box, atol=width * 1e-4 + height * 1e-4 + 1e-3)


def test_a_letterbox_keeps_the_shape_and_fills_the_rest() -> None:
    square, placement = fit(np.full((30, 60, 3), 200, np.uint8), 64, "letterbox", fill=7)
    assert (square[:16] == 7).all()
    assert (square[16:48] == 200).all()
    assert (square[48:] == 7).all()
    assert placement.offset == (0.0, 16.0)


def test_shrinking_averages() -> None:
    checks = np.indices((64, 64)).sum(axis=0) % 2 * 255
    square, _ = fit(np.repeat(checks[..., None], 3, axis=2).astype(np.uint8), 16, "stretch")
    assert np.abs(square.astype(int) - 127).max() <= 1


@given(width=st.integers(1, 300), height=st.integers(1, 300), size=st.integers(1, 300), seed=st.integers(0, 9))
def test_the_average_is_that_of_opencv(width: int, height: int, size: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    square, _ = fit(image, size, "stretch")
    shrinks = size * size < width * height
    expected = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    assert (square == expected).all()


def test_pixels_that_may_not_be_written_are_fine() -> None:
    pixels = np.frombuffer(bytes(48 * 32 * 3), np.uint8).reshape(32, 48, 3)
    assert fit(pixels, 16, "letterbox")[0].shape == (16, 16, 3)
