"""The hashes of picture files: MD5 of the bytes, three perceptual ones of what they show, and its colours."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, NamedTuple

import simplejpeg

from shiwu.vision.decode import Limits, decode
from shiwu.vision.hashes import Hashes, gray_and_chroma, hashes
from shiwu.vision.resize import Image

_POINTS: Final = 64
_EIGHTH: Final = 480
"""Sides from which a JPEG is decoded at an eighth of its size."""
_LIMITS: Final = Limits()
_JPEG: Final = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a picture file is told from others by."""

    md5: str
    """Of the bytes, 32 hex digits: equal files."""
    hashes: Hashes
    chroma: bytes
    """Colour without brightness in 4 x 4 cells, as of `shiwu.vision.hashes.gray_and_chroma`."""
    width: int
    height: int
    """Of the whole picture, pixels."""


def fingerprint(data: bytes) -> Fingerprint:
    """Of an encoded picture. Raises ImageError, which says what is wrong with it."""
    small = _small(data)
    gray, chroma = gray_and_chroma(small.pixels)
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    extent = (small.height * small.scale, small.width * small.scale)
    return Fingerprint(md5, hashes(gray, extent), chroma, small.width, small.height)


class _Small(NamedTuple):
    """A picture at a scale of at most 1; its whole width and height."""

    pixels: Image
    width: int
    height: int
    scale: float


def _small(data: bytes) -> _Small:
    """The picture with about 64 points a side, if it has so many.

    Most of the time of hashing is decoding, which is cheapest at an eighth of the size. Lanczos from there differs from
    Lanczos from the whole in a fraction of a bit, with 60 points as well.
    """
    if data.startswith(_JPEG):
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
            side = min(width, height)
            if width * height <= _LIMITS.max_pixels and side >= _LIMITS.min_side:
                least = min(_POINTS, side // 8) if side >= _EIGHTH else _POINTS
                pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=least, min_width=least)
                return _Small(pixels, width, height, round(8 * pixels.shape[1] / width) / 8)
        except ValueError:
            pass  # CMYK, 12 bits and other rare kinds, or no picture at all: the general decoder tells
    photo = decode(data, _LIMITS)
    return _Small(photo.pixels, photo.width, photo.height, 1.0)
