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
    return Picture(pixels, shrunk(_halved(pixels, detector_size), detector_size, cv2.INTER_LINEAR))


def shrunk(image: Image, size: int, interpolation: int = cv2.INTER_AREA) -> Image:
    """The image with at most `size` pixels on its longer side; never enlarged.

    The sides are those of shiwu.vision.resize.fit, so that fitting the result into a model's square letterbox of
    `size` resizes nothing any more.
    """
    height, width = image.shape[:2]
    scale = size / max(height, width)
    if scale >= 1.0:
        return image
    target = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, target, interpolation=interpolation), np.uint8)


def _halved(image: Image, size: int) -> Image:
    """Averages 2 x 2 pixels while the longer side stays above `size`.

    That and a linear step for what is left cost a tenth of averaging by an odd factor, 0.4 against 3.4 ms for
    1152 x 864 pixels.
    """
    while max(image.shape[:2]) >= 2 * size and min(image.shape[:2]) >= 2:
        height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
        half = (width // 2, height // 2)
        image = np.asarray(cv2.resize(image[:height, :width], half, interpolation=cv2.INTER_AREA), np.uint8)
    return image
