"""Cutting a box out of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence

from shiwu.vision.resize import Image


def crop(image: Image, box: Sequence[float], margin: float = 0.0) -> Image:
    """The pixels of a box, as a view of the image, shape (h, w, 3), at least one pixel.

    box: x_min, y_min, x_max, y_max in pixels. margin: how far the crop reaches beyond the box on each side, as a
    share of the box's width or height. What lies outside the image is left off; pixels touched in part are kept.
    Raises ValueError for a box that is inverted, not finite, or has no pixel in the image.
    """
    height, width = image.shape[:2]
    x_min, y_min, x_max, y_max = (float(side) for side in box)
    if not all(map(math.isfinite, (x_min, y_min, x_max, y_max))) or x_max <= x_min or y_max <= y_min:
        msg = f"box {(x_min, y_min, x_max, y_max)} has no area; expected finite x_min < x_max and y_min < y_max"
        raise ValueError(msg)
    across, down = margin * (x_max - x_min), margin * (y_max - y_min)
    left, right = max(0, _floor(x_min - across)), min(width, _ceil(x_max + across))
    top, bottom = max(0, _floor(y_min - down)), min(height, _ceil(y_max + down))
    if left >= right or top >= bottom:
        msg = f"box {(x_min, y_min, x_max, y_max)} lies outside the image of {width} x {height} pixels"
        raise ValueError(msg)
    return image[top:bottom, left:right]


def middle(image: Image, share: float) -> Image:
    """The middle of an image with `share` of its sides, as a view of it, at least one pixel."""
    height, width = image.shape[:2]
    inner_height, inner_width = max(1, round(height * share)), max(1, round(width * share))
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    return image[top : top + inner_height, left : left + inner_width]


# A box that was computed as 10.0000002 means 10: rounding noise must not add a row of pixels.
_NOISE = 1e-3


def _floor(value: float) -> int:
    return math.floor(value + _NOISE)


def _ceil(value: float) -> int:
    return math.ceil(value - _NOISE)
