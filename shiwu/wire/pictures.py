"""A merchant's picture on its way into a gallery: read, cropped to the product."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shiwu.v1 import vision_pb2
from shiwu.vision.crop import crop
from shiwu.vision.decode import Limits, Photo, decode
from shiwu.vision.resize import Image, shrunk
from shiwu.wire.images import to_photo
from shiwu.wire.models import EmbeddingModel, FoundObject

_FIRST_SIDE = 400
"""Pixels of the longer side that a picture is read with at least, at first: enough to find its product, and to embed it
where it fills the picture. A large JPEG is read several times faster so."""

_LARGE = 0.25
"""Share of the picture's area above which a thing fills it, and needs no crop."""
_SURE = 0.5
"""Score from which on a smaller one is taken for the product."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture."""

    photo: Photo
    sha256: str
    """Of the file (of the pixels, if it came as pixels), hexadecimal."""
    finer: Callable[[int], Image] | None = None
    """Its pixels again, with at least so many on the longer side; None where `photo` has all of them."""


def from_file(data: bytes, limits: Limits) -> Picture:
    """Reads a picture's file. Raises ImageError."""
    return _picture(decode(data, limits, _FIRST_SIDE), data, limits)


def from_message(image: vision_pb2.Image, field: str, limits: Limits) -> Picture:
    """Reads a picture of a request. Raises InvalidInputError naming `field`."""
    photo = to_photo(image, field, limits, _FIRST_SIDE)
    return _picture(photo, image.encoded if image.WhichOneof("data") == "encoded" else image.raw.rgb, limits)


def _picture(photo: Photo, data: bytes, limits: Limits) -> Picture:
    is_whole = photo.pixels.shape[:2] == (photo.height, photo.width)
    finer = None if is_whole else lambda side: decode(data, limits, side).pixels
    return Picture(photo, hashlib.sha256(data).hexdigest(), finer)


def main_product(objects: Sequence[FoundObject], category: str) -> FoundObject | None:
    """The thing in a merchant's picture that its product is; None: take the whole picture.

    Merchants fill their pictures with the product, and then the whole is a better crop than the detector's box, which
    may be a part of it: the drawing on a cover, a sleeve. Only where a thing of the product's own category is small in
    the picture, and the detector is sure of it, it is meant: the bag, not the model who carries it.
    """
    alike = [found for found in objects if found.category == category]
    best = max(alike, key=lambda found: found.score, default=None)
    if best is None or best.score < _SURE:
        return None
    x_min, y_min, x_max, y_max = best.box
    return best if (x_max - x_min) * (y_max - y_min) <= _LARGE else None


def crop_for(picture: Picture, found: FoundObject | None, model: EmbeddingModel) -> Image:
    """The part of a picture that `model` should embed, RGB, in as many pixels as it can use, if there are so many."""
    pixels = picture.photo.pixels
    part = _part(pixels, found, model)
    if picture.finer is not None and min(part.shape[:2]) < model.input_size:
        wanted = max(pixels.shape[:2]) * model.input_size / min(part.shape[:2])
        part = _part(picture.finer(math.ceil(wanted)), found, model)
    # The shorter side keeps what the model reads; of a long thin crop the longer side may be much longer.
    return shrunk(part, model.input_size * max(part.shape[:2]) // min(part.shape[:2]))


def _part(pixels: Image, found: FoundObject | None, model: EmbeddingModel) -> Image:
    if found is None:
        return pixels
    height, width = pixels.shape[:2]
    x_min, y_min, x_max, y_max = found.box
    return crop(pixels, (x_min * width, y_min * height, x_max * width, y_max * height), model.crop_margin)
