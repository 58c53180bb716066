"""A merchant's picture on its way into the catalogue: read, cropped to the product."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from services.catalog.peers import EmbeddingModel, FoundObject
from shiwu.v1 import vision_pb2
from shiwu.vision.crop import crop
from shiwu.vision.decode import Limits, Photo, decode
from shiwu.vision.resize import Image
from shiwu.wire.images import to_photo

_MIN_SIDE = 1024
"""Pixels of the longer side that a JPEG is decoded to at least: a product that fills a quarter of it still has more
pixels than an embedder reads."""

_LARGE = 0.25
"""Share of the picture's area from which on a thing is taken for the product."""
_SURE = 0.5
"""Score from which on a smaller one of the product's category is, too."""


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

    The catalogue knows the product's category, so the most confident thing of that category is meant: the bag, not
    the coat of the model who carries it. If there is none, the most confident thing of all. But merchants fill their
    pictures with the product: a small thing is more likely a detail of it, or a mistake, than all of it, and counts
    only if the detector is sure of it and of its category.
    """
    alike = [found for found in objects if found.category == category]
    best = max(alike or objects, key=lambda found: found.score, default=None)
    if best is None:
        return None
    x_min, y_min, x_max, y_max = best.box
    large = (x_max - x_min) * (y_max - y_min) >= _LARGE
    return best if large or (alike and best.score >= _SURE) else None


def crop_for(image: Image, found: FoundObject | None, model: EmbeddingModel) -> Image:
    """The part of an RGB picture that `model` should embed, in no more pixels than it can use."""
    if found is not None:
        height, width = image.shape[:2]
        x_min, y_min, x_max, y_max = found.box
        box = (x_min * width, y_min * height, x_max * width, y_max * height)
        image = crop(image, box, model.crop_margin)
    # The shorter side keeps what the model reads; of a long thin crop the longer side may be much longer.
    return shrunk(image, model.input_size * max(image.shape[:2]) // min(image.shape[:2]))


def shrunk(image: Image, side: int) -> Image:
    """The picture with its longer side at most `side` pixels."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return np.ascontiguousarray(image)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
