"""A merchant's picture on its way into a gallery: read, cropped to the product."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from shiwu.v1 import vision_pb2
from shiwu.vision.crop import crop
from shiwu.vision.decode import Limits, Photo, decode
from shiwu.vision.resize import Image, shrunk
from shiwu.wire.images import to_photo
from shiwu.wire.models import EmbeddingModel, FoundObject

_MIN_SIDE = 1024
"""Pixels of the longer side that a JPEG is decoded to at least: a product that fills a quarter of it still has more
pixels than an embedder reads."""

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


def from_file(data: bytes, limits: Limits) -> Picture:
    """Reads a picture's file. Raises ImageError."""
    return Picture(decode(data, limits, _MIN_SIDE), hashlib.sha256(data).hexdigest())


def from_message(image: vision_pb2.Image, field: str, limits: Limits) -> Picture:
    """Reads a picture of a request. Raises InvalidInputError naming `field`."""
    data = image.encoded if image.WhichOneof("data") == "encoded" else image.raw.rgb
    return Picture(to_photo(image, field, limits, _MIN_SIDE), hashlib.sha256(data).hexdigest())


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


def crop_for(image: Image, found: FoundObject | None, model: EmbeddingModel) -> Image:
    """The part of an RGB picture that `model` should embed, in no more pixels than it can use."""
    if found is not None:
        height, width = image.shape[:2]
        x_min, y_min, x_max, y_max = found.box
        box = (x_min * width, y_min * height, x_max * width, y_max * height)
        image = crop(image, box, model.crop_margin)
    # The shorter side keeps what the model reads; of a long thin crop the longer side may be much longer.
    return shrunk(image, model.input_size * max(image.shape[:2]) // min(image.shape[:2]))
