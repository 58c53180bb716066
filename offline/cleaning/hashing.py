"""The hashes of picture files: MD5 of the bytes, three perceptual ones of what they show, and its colours."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import simplejpeg

from shiwu.vision.decode import Limits, decode
from shiwu.vision.hashes import Hashes, gray_and_chroma, hashes
from shiwu.vision.resize import Image

_POINTS: Final = 64
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
    small, width, height = _small(data)
    gray, chroma = gray_and_chroma(small)
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return Fingerprint(md5, hashes(gray), chroma, width, height)


def _small(data: bytes) -> tuple[Image, int, int]:
    """The picture with at least 64 points a side, if it has so many; its whole width and height.

    A JPEG is decoded at an eighth of its size where that is enough: most of the time of hashing is decoding. Lanczos
    from there differs from Lanczos from the whole in a fraction of a bit.
    """
    if data.startswith(_JPEG):
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
            if width * height <= _LIMITS.max_pixels and min(width, height) >= _LIMITS.min_side:
                return simplejpeg.decode_jpeg(data, "RGB", min_height=_POINTS, min_width=_POINTS), width, height
        except ValueError:
            pass  # CMYK, 12 bits and other rare kinds, or no picture at all: the general decoder tells
    photo = decode(data, _LIMITS)
    return photo.pixels, photo.width, photo.height
