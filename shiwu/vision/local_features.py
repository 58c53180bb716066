"""Local features: what tells one printed thing from another that looks like it, whichever way it is turned.

A vector says what a picture looks like as a whole; local features say whether the same print, at the same places, is in
both. SIFT (Lowe, IJCV 2004) with root normalisation (Arandjelovic & Zisserman, CVPR 2012), matched both ways by Lowe's
ratio, and counted where one affine map explains them (Fischler & Bolles, RANSAC, CACM 1981).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from shiwu.vision.resize import Image

MOST: Final = 150
"""Features of a picture, the strongest ones."""
_SIDE: Final = 192
"""Pixels of the longer side that features are looked for in; so places fit in a byte. SIFT doubles it itself."""
_CONTRAST: Final = 0.02
_LENGTH: Final = 128
_VERSION: Final = b"\x01"
_SCALE: Final = 512.0
"""Of a root-normalised descriptor as bytes: few of its numbers exceed a half."""

_RATIO: Final = 0.85
_TOLERANCE: Final = 6.0
"""Pixels that a matched place may lie from where the map puts it."""
_FEWEST: Final = 4
"""Matches: three fit any affine map."""
_TRIES: Final = 500
_SEED: Final = 1
_SQUEEZED: Final = 3.0
"""Largest ratio of the two scales of a map; one that squeezes more is no view of a thing."""
_SMALLEST: Final = 0.15
"""Smallest scale of a map."""


class LocalFeatures(NamedTuple):
    """Of one picture, n of them."""

    places: NDArray[np.uint8]
    """x and y in pixels of the picture with `_SIDE` as its longer side, (n, 2)."""
    descriptors: NDArray[np.uint8]
    """(n, 128)."""


def describe(image: Image) -> LocalFeatures:
    """The features of an RGB picture of any size; of an even one there are none."""
    height, width = image.shape[:2]
    scale = _SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    gray = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=way)
    # An instance for each call: they are not safe to share between threads.
    keypoints, found = cv2.SIFT.create(MOST, contrastThreshold=_CONTRAST).detectAndCompute(gray, None)
    if found is None:
        return LocalFeatures(np.zeros((0, 2), np.uint8), np.zeros((0, _LENGTH), np.uint8))
    places = np.array([each.pt for each in keypoints[:MOST]], np.float32)
    root = np.sqrt(found[:MOST] / (found[:MOST].sum(axis=1, keepdims=True) + 1e-7))
    return LocalFeatures(_bytes(places), _bytes(root * _SCALE))


def pack(features: LocalFeatures) -> bytes:
    """As bytes: a version, then 130 for each feature."""
    return _VERSION + np.concatenate([features.places, features.descriptors], axis=1).tobytes()


def unpack(data: bytes) -> LocalFeatures:
    """The features of bytes that `pack` made. Raises ValueError for others."""
    row = 2 + _LENGTH
    if data[:1] != _VERSION or (len(data) - 1) % row or len(data) > 1 + MOST * row:
        msg = f"{len(data)} bytes that begin with {data[:1]!r} are no local features"
        raise ValueError(msg)
    table = np.frombuffer(data, np.uint8, offset=1).reshape(-1, row)
    return LocalFeatures(table[:, :2], table[:, 2:])


def agreeing(first: LocalFeatures, second: LocalFeatures) -> int:
    """How many features of two pictures are the same, at places that one affine map explains; 0 where none does."""
    matches = _matches(first.descriptors, second.descriptors)
    if len(matches) < _FEWEST:
        return 0
    # RANSAC draws from OpenCV's own generator, one for each thread: the same pictures always agree as much.
    cv2.setRNGSeed(_SEED)
    affine, inliers = cv2.estimateAffine2D(
        second.places[matches[:, 1]].astype(np.float32),
        first.places[matches[:, 0]].astype(np.float32),
        method=cv2.RANSAC,
        ransacReprojThreshold=_TOLERANCE,
        maxIters=_TRIES,
    )
    if affine is None:
        return 0
    largest, smallest = np.linalg.svd(affine[:, :2], compute_uv=False)
    if np.linalg.det(affine[:, :2]) <= 0 or largest > _SQUEEZED * smallest or smallest < _SMALLEST:
        return 0
    return int(inliers.sum())


def _matches(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Rows of both that are each other's nearest, and much nearer than the next, (m, 2)."""
    if len(first) < 2 or len(second) < 2:
        return np.zeros((0, 2), np.intp)
    cosines = _unit(first) @ _unit(second).T
    nearest = cosines.argmax(axis=1)
    rows = np.arange(len(first))
    best = cosines[rows, nearest]
    mutual = cosines.argmax(axis=0)[nearest] == rows
    cosines[rows, nearest] = -1.0
    distance, next_distance = (np.sqrt(np.maximum(0.0, 2.0 - 2.0 * each)) for each in (best, cosines.max(axis=1)))
    taken = np.flatnonzero(mutual & (distance < _RATIO * next_distance))
    return np.stack([taken, nearest[taken]], axis=1)


def _unit(descriptors: NDArray[np.uint8]) -> NDArray[np.float32]:
    values = descriptors.astype(np.float32)
    return np.asarray(values / (np.linalg.norm(values, axis=1, keepdims=True) + 1e-7), np.float32)


def _bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
