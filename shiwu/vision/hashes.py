"""Perceptual hashes: near-duplicates have near hashes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from shiwu.vision.resize import Image

BITS = 64


class Hashes(NamedTuple):
    """Three 64-bit hashes of one picture. Each agrees with imagehash's of its name but for rounding."""

    average: int
    """Is each of 8 x 8 points brighter than the mean?"""
    difference: int
    """Is each of 8 x 8 points darker than its right neighbour?"""
    perceptual: int
    """Is each of the 8 x 8 lowest frequencies of 32 x 32 points above their median?"""


def dhash(image: Image) -> int:
    """The difference hash of an RGB image."""
    return _difference(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), image.shape)


def hashes(gray: NDArray[np.uint8], extent: tuple[float, float] | None = None) -> Hashes:
    """All hashes of a gray picture, (height, width). 64 points a side are enough: more cost time and change nothing.

    extent: how much of the points' height and width the picture fills, if not all. A JPEG of 500 pixels that is decoded
    at an eighth has 63 points a side and fills 62.5 of them.
    """
    points = gray.astype(np.float32)
    extent = extent or points.shape
    average = _resampled(points, extent, 8, 8)
    # Pillow's mean is exact, float32's is not; the values are bytes, so that their sum is.
    bits = average > average.sum(dtype=np.float64) / BITS
    return Hashes(_packed(bits), _difference(points, extent), _perceptual(points, extent))


def gray_and_chroma(image: Image) -> tuple[NDArray[np.uint8], bytes]:
    """The brightness of an RGB image, (height, width), and its colour without brightness: the mean Cr and Cb of each of
    4 x 4 cells, 32 bytes. The hashes see no colour; this tells two colours of one garment apart.
    """
    ycrcb = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    return np.asarray(ycrcb[:, :, 0]), cv2.resize(ycrcb[:, :, 1:], (4, 4), interpolation=cv2.INTER_AREA).tobytes()


def _difference(gray: NDArray[np.float32], extent: Sequence[float]) -> int:
    small = _resampled(gray, extent, 9, 8)
    return _packed(small[:, 1:] > small[:, :-1])


def _perceptual(gray: NDArray[np.float32], extent: Sequence[float]) -> int:
    low = _DCT @ _resampled(gray, extent, 32, 32) @ _DCT.T
    return _packed(low > np.median(low))


def _packed(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hamming(a: int, b: int) -> int:
    """How many bits differ."""
    return (a ^ b).bit_count()


def _resampled(gray: NDArray[np.float32], extent: Sequence[float], width: int, height: int) -> NDArray[np.float32]:
    """By Lanczos: two small matrix products, across and then down, rounded to 8 bits after each as Pillow does."""
    across = _to_bytes(gray @ _lanczos(gray.shape[1], extent[1], width).T)
    return _to_bytes(_lanczos(gray.shape[0], extent[0], height) @ across)


def _to_bytes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    # + 0.5 and floor, not rint: Pillow rounds halves up.
    rounded: NDArray[np.float32] = np.clip(np.floor(values + 0.5), 0, 255)
    return rounded


@lru_cache(maxsize=1024)
def _lanczos(source: int, extent: float, target: int) -> NDArray[np.float32]:
    """Weights (target, source) of Lanczos resampling, a = 3, widened by the factor when shrinking, as Pillow does."""
    factor = max(extent / target, 1.0)
    centres = (np.arange(target) + 0.5)[:, None] * extent / target
    x = (np.arange(source)[None, :] + 0.5 - centres) / factor
    weights = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _lowest_frequencies() -> NDArray[np.float32]:
    """The first 8 rows of the 32-point type II cosine transform."""
    frequency, point = np.arange(8)[:, None], np.arange(32)[None, :]
    return np.asarray(2 * np.cos(np.pi * frequency * (2 * point + 1) / 64), np.float32)


_DCT = _lowest_frequencies()
