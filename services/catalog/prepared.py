"""Pictures that come with their vectors: what a bulk job has made of them already, in a feed's column `prepared`.

An entry for each of the row's images, in their order: "SHA256 WIDTHxHEIGHT features:FEATURES MODEL VECTOR", and MODEL
VECTOR again for each further version; the digest is the file's, the features are those of the crop as
shiwu/vision/local_features.py packs them, the vector is little-endian float32, both in base64. The features may be left
out; then none are known of the picture, nor if another release has made them. Or "-": not prepared.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.catalog.feed_records import FieldError, Record
from shiwu.vision.local_features import gray_of, is_outdated, unpack
from shiwu.wire.models import EmbeddingModel
from shiwu.wire.vectors import to_vector

COLUMN: Final = "prepared"
_NONE: Final = "-"
_ENTRY: Final = re.compile(
    r"([0-9a-f]{64}) ([1-9][0-9]{0,5})x([1-9][0-9]{0,5})(?: features:([A-Za-z0-9+/=]+))?((?: \S+ [A-Za-z0-9+/=]+)+)"
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture's facts and vectors."""

    sha256: str
    width: int
    height: int
    vectors: Mapping[str, bytes]
    """By the model's name@version; little-endian float32."""
    local_features: bytes = b""

    def fits(self, models: Sequence[EmbeddingModel]) -> bool:
        """Whether it has a vector by each of these. Raises InvalidInputError if one is not of its model's dimension."""
        if not all(model.model in self.vectors for model in models):
            return False
        for model in models:
            to_vector(self.vectors[model.model], model.dimension, f"{COLUMN}: the vector by {model.model}")
        return True


def prepared(record: Record, images: Sequence[str]) -> dict[str, Prepared]:
    """By the address of the image. Raises FieldError."""
    entries = record.values.get(COLUMN, [])
    if not isinstance(entries, list) or (entries and len(entries) != len(images)):
        count = len(entries) if isinstance(entries, list) else 1
        raise FieldError(COLUMN, f"has {count} entries; expected a list of {len(images)}, one for each image")
    return {image: _read(entry) for image, entry in zip(images, entries, strict=False) if entry != _NONE}


def _read(entry: str) -> Prepared:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise FieldError(
            COLUMN,
            f"{entry[:120]!r} is not understood; expected 'SHA256 WIDTHxHEIGHT features:FEATURES MODEL VECTOR' or '-'",
        )
    sha256, width, height, features, rest = match.groups()
    words = rest.split()
    try:
        vectors = {
            model: base64.b64decode(data, validate=True) for model, data in zip(words[::2], words[1::2], strict=True)
        }
    except ValueError as error:
        raise FieldError(COLUMN, f"has a vector that is not base64: {error}") from error
    return Prepared(sha256, int(width), int(height), vectors, _features(features) if features else b"")


def _features(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
        if is_outdated(data):
            return b""
        gray_of(unpack(data))  # a damaged one would fail every scan that comes near
    except ValueError as error:
        raise FieldError(COLUMN, f"has features that are none: {error}") from error
    return data
