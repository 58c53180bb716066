"""The hashes of picture files: MD5 of the bytes, and three perceptual ones of what they show."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from shiwu.vision.decode import Limits, decode
from shiwu.vision.hashes import Hashes, hashes

_POINTS: Final = 64
_LIMITS: Final = Limits()
_JPEG: Final = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a picture file is told from others by."""

    md5: str
    """Of the bytes, 32 hex digits: equal files."""
    hashes: Hashes
    width: int
    height: int
    """Of the whole picture, pixels."""


def fingerprint(data: bytes) -> Fingerprint:
    """Of an encoded picture. Raises ImageError, which says what is wrong with it."""
    gray, width, height = _gray(data)
    return Fingerprint(hashlib.md5(data, usedforsecurity=False).hexdigest(), hashes(gray), width, height)


def _gray(data: bytes) -> tuple[NDArray[np.uint8], int, int]:
    """The picture in gray with at least 64 points a side, if it has so many; its whole width and height.

    Of a JPEG only the luma is decoded, at an eighth of the size where that is enough: most of the time of hashing is
    decoding. Lanczos from there differs from Lanczos from the whole in a fraction of a bit.
    """
    if data.startswith(_JPEG):
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
            if width * height <= _LIMITS.max_pixels and min(width, height) >= _LIMITS.min_side:
                small = simplejpeg.decode_jpeg(data, "GRAY", min_height=_POINTS, min_width=_POINTS)
                return small[:, :, 0], width, height
        except ValueError:
            pass  # CMYK, 12 bits and other rare kinds, or no picture at all: the general decoder tells
    photo = decode(data, _LIMITS)
    return np.asarray(cv2.cvtColor(photo.pixels, cv2.COLOR_RGB2GRAY), np.uint8), photo.width, photo.height
