"""The pixels that travel: as few as the models can use."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from services.gateway.ports import Box
from shiwu.vision.crop import crop
from shiwu.vision.resize import Image


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
    return Picture(pixels, shrunk(pixels, detector_size))


def shrunk(image: Image, size: int) -> Image:
    """The image with at most `size` pixels on its longer side; never enlarged.

    The sizes and the filter are those of shiwu.vision.resize.fit, so that fitting the result into a model's square
    letterbox of `size` changes no pixel any more.
    """
    height, width = image.shape[:2]
    scale = size / max(height, width)
    if scale >= 1.0:
        return image
    target = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, target, interpolation=cv2.INTER_AREA), np.uint8)
