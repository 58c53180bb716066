"""Local features: what one printed thing is told by from another that looks like it, whichever way it is turned.

A vector says what a picture looks like as a whole; local features say what is where in it. SIFT (Lowe, IJCV 2004) with
root normalisation (Arandjelovic & Zisserman, CVPR 2012). A thumbnail is kept beside them, which agreement.py lays over
a photo.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from shiwu.vision.resize import Image, shrunk

Places = NDArray[np.float32]
"""x and y in pixels, (n, 2)."""

MOST: Final = 150
"""Features that are kept of a merchant's picture, the strongest ones."""
MOST_OF_PHOTO: Final = 400
"""Of a photo's crop: what lies around the thing has strong ones, too, which would leave its own no room."""
SIDE: Final = 192
"""Pixels of the longer side that features are looked for in; so places fit in a byte. SIFT doubles it itself."""
_CONTRAST: Final = 0.02
_LENGTH: Final = 128
_ROW: Final = 2 + _LENGTH
VERSION: Final = b"\x03"
"""First byte of what `pack` makes. What begins with another is of another release, and cannot be compared."""
CELLS: Final = 12
"""That colours are kept of, across and down."""
THUMBNAIL: Final = 96
"""Pixels of a thumbnail, across and down."""
_HEAD: Final = 5
"""Bytes before the colours: the version, width, height, and in two how many the thumbnail has."""
_COLOURS: Final = 3 * CELLS * CELLS
_QUALITY: Final = 85
_LARGEST_THUMBNAIL: Final = 12_288
"""Bytes; about 3,000 are usual, and 8,000 the most that noise makes."""
LARGEST: Final = _HEAD + _COLOURS + _LARGEST_THUMBNAIL + MOST * _ROW
"""Bytes that `pack` makes at most."""
USUAL: Final = _HEAD + _COLOURS + 3_000 + MOST * _ROW
"""Bytes that it makes of a picture with much print."""
_SCALE: Final = 512.0
"""Of a root-normalised descriptor as bytes: few of its numbers exceed a half."""


class LocalFeatures(NamedTuple):
    """Of one picture, n of them."""

    places: NDArray[np.uint8]
    """x and y in pixels of the picture with `SIDE` as its longer side, (n, 2)."""
    descriptors: NDArray[np.uint8]
    """(n, 128)."""
    size: tuple[int, int]
    """Width and height in such pixels."""
    colours: Image
    """The whole picture in RGB, (12, 12, 3)."""
    gray: NDArray[np.uint8] | bytes
    """The whole picture, its longer side at most `SIDE`; or as `pack` keeps it, a thumbnail's JPEG."""


def describe(image: Image, most: int = MOST) -> LocalFeatures:
    """The features of an RGB picture of any size, shrunk to `SIDE` already or not; of an even one there are none.

    most: so many at most, the strongest. `unpack` takes no more than `MOST`.
    """
    image = shrunk(image, SIDE)
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    colours = np.asarray(cv2.resize(image, (CELLS, CELLS), interpolation=cv2.INTER_AREA), np.uint8)
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    sized = cv2.resize(gray, size, interpolation=cv2.INTER_CUBIC)
    # An instance for each call: they are not safe to share between threads.
    keypoints, found = cv2.SIFT.create(most, contrastThreshold=_CONTRAST).detectAndCompute(sized, None)
    if found is None:
        return LocalFeatures(np.zeros((0, 2), np.uint8), np.zeros((0, _LENGTH), np.uint8), size, colours, gray)
    places = np.array([each.pt for each in keypoints[:most]], np.float32)
    root = np.sqrt(found[:most] / (found[:most].sum(axis=1, keepdims=True) + 1e-7))
    return LocalFeatures(_bytes(places), _bytes(root * _SCALE), size, colours, gray)


def pack(features: LocalFeatures) -> bytes:
    """As bytes: version, width, height, the thumbnail's length, colours, thumbnail, then 130 for each feature."""
    thumbnail = features.gray if isinstance(features.gray, bytes) else _encoded(features.gray)
    head = VERSION + bytes(features.size) + len(thumbnail).to_bytes(2, "big")
    rows = np.concatenate([features.places, features.descriptors], axis=1)
    return head + features.colours.tobytes() + thumbnail + rows.tobytes()


def is_current(data: bytes) -> bool:
    """Whether bytes are of this version of `pack`."""
    return data[:1] == VERSION


def is_outdated(data: bytes) -> bool:
    """Whether bytes are of an earlier version of `pack`."""
    return b"\0" < data[:1] < VERSION


def unpack(data: bytes) -> LocalFeatures:
    """The features of bytes that `pack` made. Raises ValueError for others; `gray_of` looks at the thumbnail."""
    after_colours = _HEAD + _COLOURS
    start = after_colours + int.from_bytes(data[3:_HEAD], "big")
    rows, rest = divmod(len(data) - start, _ROW)
    is_sized = start <= after_colours + _LARGEST_THUMBNAIL and 0 <= rows <= MOST and not rest and all(data[1:3])
    if not is_current(data) or not is_sized:
        msg = f"{len(data)} bytes that begin with {data[:1]!r} are no local features"
        raise ValueError(msg)
    colours = np.frombuffer(data[_HEAD:after_colours], np.uint8).reshape(CELLS, CELLS, 3)
    table = np.frombuffer(data, np.uint8, offset=start).reshape(-1, _ROW)
    return LocalFeatures(table[:, :2], table[:, 2:], (data[1], data[2]), colours, data[after_colours:start])


def gray_of(features: LocalFeatures) -> NDArray[np.uint8]:
    """What is kept of the whole picture, in any size. Raises ValueError where that is damaged."""
    if not isinstance(features.gray, bytes):
        return features.gray
    height, width, *_ = simplejpeg.decode_jpeg_header(features.gray)
    if (height, width) != (THUMBNAIL, THUMBNAIL):  # a few bytes can claim gigabytes
        msg = f"the thumbnail has {width} x {height} pixels; expected {THUMBNAIL} x {THUMBNAIL}"
        raise ValueError(msg)
    return np.asarray(simplejpeg.decode_jpeg(features.gray, "GRAY"), np.uint8)[..., 0]


def _encoded(gray: NDArray[np.uint8]) -> bytes:
    thumbnail = cv2.resize(gray, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(thumbnail[..., None]), _QUALITY, "GRAY"))


def _bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
