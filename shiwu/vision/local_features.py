"""Local features: what tells one printed thing from another that looks like it, whichever way it is turned.

A vector says what a picture looks like as a whole; local features say whether the same print, at the same places, is in
both; and a coarse thumbnail says whether its colours are the same, too. SIFT (Lowe, IJCV 2004) with root normalisation
(Arandjelovic & Zisserman, CVPR 2012), matched both ways by Lowe's ratio, and counted where one affine map explains them
(Fischler & Bolles, RANSAC, CACM 1981).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from shiwu.vision.resize import Image, shrunk

Places = NDArray[np.float32]
"""x and y in pixels, (n, 2)."""
Affine = NDArray[np.float64]
"""Of the picture's places to the photo's, (2, 3)."""

MOST: Final = 150
"""Features of a picture, the strongest ones."""
SIDE: Final = 192
"""Pixels of the longer side that features are looked for in; so places fit in a byte. SIFT doubles it itself."""
_CONTRAST: Final = 0.02
_LENGTH: Final = 128
_ROW: Final = 2 + _LENGTH
VERSION: Final = b"\x02"
"""First byte of what `pack` makes. What begins with another is of another release, and cannot be compared."""
_CELLS: Final = 12
"""Of a thumbnail, across and down."""
_HEAD: Final = 3 + 3 * _CELLS * _CELLS
"""Bytes before the first feature."""
LARGEST: Final = _HEAD + MOST * _ROW
"""Bytes that `pack` makes at most."""
_SCALE: Final = 512.0
"""Of a root-normalised descriptor as bytes: few of its numbers exceed a half."""

_RATIO: Final = 0.85
_TOLERANCE: Final = 6.0
"""Pixels that a matched place may lie from where the map puts it."""
_FEWEST: Final = 9
"""Matches: most pairs of pictures have fewer by chance, and finding a map that explains some of them costs most."""
_FEWEST_CELLS: Final = 4
"""Of a thumbnail, to tell their colours."""
_TRIES: Final = 500
_SEED: Final = 1
_SQUEEZED: Final = 3.0
"""Largest ratio of the two scales of a map; one that squeezes more is no view of a thing."""
_SMALLEST: Final = 0.15
"""Smallest scale of a map."""
_SAME_COLOUR: Final = 4.0
"""Mean gap in CIELAB's a and b that is still none."""
_OTHER_COLOUR: Final = 16.0
"""From here on colours are not alike at all."""
_LIGHT: Final = 8.0
"""So far a and b may be shifted everywhere by the colour of the light; what goes beyond is the thing's own."""


class LocalFeatures(NamedTuple):
    """Of one picture, n of them."""

    places: NDArray[np.uint8]
    """x and y in pixels of the picture with `SIDE` as its longer side, (n, 2)."""
    descriptors: NDArray[np.uint8]
    """(n, 128)."""
    size: tuple[int, int]
    """Width and height in such pixels."""
    thumbnail: Image
    """The whole picture in RGB, (12, 12, 3)."""


class Agreement(NamedTuple):
    """What a photo and a picture have in common. All 0 where that is little, or no map explains it."""

    features: int = 0
    coverage: float = 0.0
    """The share that they span of the area of all of the picture's features that lie within the photo."""
    colour: float = 0.0
    """How alike the colours are there, 0 to 1, but for the light's."""


def describe(image: Image) -> LocalFeatures:
    """The features of an RGB picture of any size, shrunk to `SIDE` already or not; of an even one there are none."""
    image = shrunk(image, SIDE)
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    gray = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_CUBIC)
    thumbnail = np.asarray(cv2.resize(image, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA), np.uint8)
    # An instance for each call: they are not safe to share between threads.
    keypoints, found = cv2.SIFT.create(MOST, contrastThreshold=_CONTRAST).detectAndCompute(gray, None)
    if found is None:
        return LocalFeatures(np.zeros((0, 2), np.uint8), np.zeros((0, _LENGTH), np.uint8), size, thumbnail)
    places = np.array([each.pt for each in keypoints[:MOST]], np.float32)
    root = np.sqrt(found[:MOST] / (found[:MOST].sum(axis=1, keepdims=True) + 1e-7))
    return LocalFeatures(_bytes(places), _bytes(root * _SCALE), size, thumbnail)


def pack(features: LocalFeatures) -> bytes:
    """As bytes: a version, width, height, the thumbnail, then 130 for each feature."""
    rows = np.concatenate([features.places, features.descriptors], axis=1)
    return VERSION + bytes(features.size) + features.thumbnail.tobytes() + rows.tobytes()


def is_current(data: bytes) -> bool:
    """Whether bytes are of this version of `pack`."""
    return data[:1] == VERSION


def unpack(data: bytes) -> LocalFeatures:
    """The features of bytes that `pack` made. Raises ValueError for others."""
    if not is_current(data) or not _HEAD <= len(data) <= LARGEST or (len(data) - _HEAD) % _ROW:
        msg = f"{len(data)} bytes that begin with {data[:1]!r} are no local features"
        raise ValueError(msg)
    thumbnail = np.frombuffer(data[3:_HEAD], np.uint8).reshape(_CELLS, _CELLS, 3)
    table = np.frombuffer(data, np.uint8, offset=_HEAD).reshape(-1, _ROW)
    return LocalFeatures(table[:, :2], table[:, 2:], (data[1], data[2]), thumbnail)


def compare(photo: LocalFeatures, picture: LocalFeatures) -> Agreement:
    """How many features of a picture are in the photo, at places that one affine map explains, and what they span."""
    matches = _matches(photo.descriptors, picture.descriptors)
    if len(matches) < _FEWEST:
        return Agreement()
    # RANSAC draws from OpenCV's own generator, one for each thread: the same pictures always agree as much.
    cv2.setRNGSeed(_SEED)
    agreeing = picture.places[matches[:, 1]].astype(np.float32)
    found, inliers = cv2.estimateAffine2D(
        agreeing,
        photo.places[matches[:, 0]].astype(np.float32),
        method=cv2.RANSAC,
        ransacReprojThreshold=_TOLERANCE,
        maxIters=_TRIES,
    )
    if found is None:
        return Agreement()
    affine = np.asarray(found, np.float64)
    largest, smallest = np.linalg.svd(affine[:, :2], compute_uv=False)
    if np.linalg.det(affine[:, :2]) <= 0 or largest > _SQUEEZED * smallest or smallest < _SMALLEST:
        return Agreement()
    agreeing = agreeing[inliers[:, 0] > 0]
    places = picture.places.astype(np.float32)
    within = places[_inside(_mapped(places, affine), photo.size)]
    area = _area(within)
    if area <= 0.0:
        return Agreement(len(agreeing))
    return Agreement(len(agreeing), min(1.0, _area(agreeing) / area), _alike(photo, picture, affine, within))


def _area(places: Places) -> float:
    """Of their convex hull."""
    return cv2.contourArea(cv2.convexHull(places)) if len(places) > 2 else 0.0


def _mapped(places: Places, affine: Affine) -> Places:
    return np.asarray(places @ affine[:, :2].T + affine[:, 2], np.float32)


def _inside(places: Places, size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.asarray(((places >= 0) & (places < size)).all(axis=1))


def _alike(photo: LocalFeatures, picture: LocalFeatures, affine: Affine, within: Places) -> float:
    """How alike the colours are in the picture's cells that these of its places lie around."""
    scale = np.array(picture.size, np.float32) / _CELLS
    mask = np.zeros((_CELLS, _CELLS), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(cv2.convexHull(within) / scale - 0.5).astype(np.int32), (1,))
    y, x = np.nonzero(mask)
    places = _mapped(np.asarray((np.stack([x, y], axis=1) + 0.5) * scale, np.float32), affine)
    seen = _inside(places, photo.size)
    if seen.sum() < _FEWEST_CELLS:
        return 0.0
    across, down = (places[seen] * _CELLS / np.array(photo.size, np.float32) - 0.5).T
    own = cv2.remap(_chroma(photo), across[None], down[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    gap = own - _chroma(picture)[y[seen], x[seen]]
    gap = gap - np.clip(np.median(gap, axis=0), -_LIGHT, _LIGHT)
    return float(np.clip((_OTHER_COLOUR - np.abs(gap).mean()) / (_OTHER_COLOUR - _SAME_COLOUR), 0.0, 1.0))


def _chroma(features: LocalFeatures) -> NDArray[np.float32]:
    """The thumbnail's a and b of CIELAB, (12, 12, 2)."""
    lab = cv2.cvtColor(features.thumbnail.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    return np.asarray(lab[..., 1:], np.float32)


def _matches(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Rows of both that are each other's nearest, and much nearer than the next, (m, 2)."""
    if len(first) < 2 or len(second) < 2:
        return np.zeros((0, 2), np.intp)
    cosines = _unit(first) @ _unit(second).T
    nearest = cosines.argmax(axis=1)
    rows = np.arange(len(first))
    best = cosines[rows, nearest]
    cosines[rows, nearest] = -1.0
    # Squares of distances between unit vectors, halved.
    clear = np.flatnonzero(np.maximum(0.0, 1.0 - best) < _RATIO**2 * (1.0 - cosines.max(axis=1)))
    cosines[rows, nearest] = best
    taken = clear[cosines[:, nearest[clear]].argmax(axis=0) == clear]
    return np.stack([taken, nearest[taken]], axis=1)


def _unit(descriptors: NDArray[np.uint8]) -> NDArray[np.float32]:
    values = descriptors.astype(np.float32)
    return np.asarray(values / (np.linalg.norm(values, axis=1, keepdims=True) + 1e-7), np.float32)


def _bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
