from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiwu.vision.crop import crop, middle

IMAGE = np.arange(60 * 80 * 3, dtype=np.uint32).reshape(60, 80, 3).astype(np.uint8)


def test_cuts_the_pixels_of_the_box() -> None:
    assert np.array_equal(crop(IMAGE, (10, 20, 30, 50)), IMAGE[20:50, 10:30])


def test_the_margin_is_a_share_of_each_side() -> None:
    assert np.array_equal(crop(IMAGE, (20, 20, 40, 30), margin=0.5), IMAGE[15:35, 10:50])


def test_is_cut_off_at_the_borders() -> None:
    assert np.array_equal(crop(IMAGE, (-5, 50, 10, 70), margin=0.2), IMAGE[46:60, 0:13])


def test_rounding_noise_adds_no_pixels() -> None:
    assert crop(IMAGE, (9.999999, 20.0000003, 30.000002, 49.99999)).shape == (30, 20, 3)


@pytest.mark.parametrize(
    "box", [(5, 5, 5, 9), (9, 5, 5, 9), (5, 9, 9, 5), (math.nan, 0, 5, 5), (0, 0, math.inf, 5), (0, 0, 0, 0)]
)
def test_boxes_without_area_are_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="has no area; expected finite"):
        crop(IMAGE, box)


@pytest.mark.parametrize("box", [(-9, 0, -1, 5), (80, 0, 90, 5), (0, 60, 5, 61), (0, -7, 5, -2)])
def test_boxes_outside_are_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="outside the image of 80 x 60 pixels"):
        crop(IMAGE, box)


side = st.floats(-10, 26, allow_nan=False, width=32)


@given(side, side, side, side, st.floats(0, 1))
def test_holds_every_whole_pixel_of_the_box_and_no_other(
    x0: float, y0: float, x1: float, y1: float, margin: float
) -> None:
    """Against looking at each pixel: inside the grown box it must be there, off by a whole one it must not."""
    box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    marks = np.arange(12 * 16).reshape(12, 16, 1)
    try:
        kept = set(crop(marks, box, margin).ravel().tolist())
    except ValueError:
        kept = set()
    dx, dy = margin * (box[2] - box[0]), margin * (box[3] - box[1])
    left, top, right, bottom = box[0] - dx, box[1] - dy, box[2] + dx, box[3] + dy
    for y in range(12):
        for x in range(16):
            inside = x >= left and x + 1 <= right and y >= top and y + 1 <= bottom
            apart = x + 1 <= left - 0.01 or x >= right + 0.01 or y + 1 <= top - 0.01 or y >= bottom + 0.01
            if inside:
                assert y * 16 + x in kept
            if apart:
                assert y * 16 + x not in kept


def test_the_middle_keeps_its_share_of_each_side() -> None:
    image = np.arange(10 * 20 * 3).reshape(10, 20, 3).astype(np.uint8)
    assert (middle(image, 0.5) == image[2:7, 5:15]).all()
    assert (middle(image, 1.0) == image).all()
    assert middle(image, 0.01).shape == (1, 1, 3)
