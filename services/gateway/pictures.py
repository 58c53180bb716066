"""The pixels that travel: as few as the models can use."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from services.gateway.ports import Box
from shiwu.vision.crop import crop
from shiwu.vision.resize import Image, shrunk, shrunk_by_halves


class Picture(NamedTuple):
    """A decoded photo in the two sizes that a scan needs."""

    pixels: Image
    small: Image
    """Fitted to the detector's input."""


def cropped(image: Image, box: Box, *, margin: float, size: int) -> Image:
    """The box, a share of the image, with `margin` of its side around it, at most `size` pixels a side."""
    height, width = image.shape[:2]
    pixels = np.array(box, np.float32) * np.array([width, height, width, height], np.float32)
    return shrunk(crop(image, pixels.tolist(), margin), size)


def prepared(pixels: Image, detector_size: int) -> Picture:
    """The photo for a scan."""
    return Picture(pixels, shrunk_by_halves(pixels, detector_size))
