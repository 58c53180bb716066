"""Perceptual hashes: near-duplicates have near hashes."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from shiwu.vision.resize import Image

BITS = 64


def dhash(image: Image) -> int:
    """The 64-bit difference hash: is each of 8 x 8 points darker than its right neighbour?

    Agrees with imagehash's `dhash` (gray, Lanczos to 9 x 8 pixels) but for rounding. The resampling is two small
    matrix products, across and then down, rounded to 8 bits after each as Pillow does.
    """
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    height, width = gray.shape
    across = _to_bytes(gray @ _lanczos(width, 9).T)
    small = _to_bytes(_lanczos(height, 8) @ across)
    return int.from_bytes(np.packbits(small[:, 1:] > small[:, :-1]).tobytes(), "big")


def hamming(a: int, b: int) -> int:
    """How many bits differ."""
    return (a ^ b).bit_count()


def _to_bytes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    # + 0.5 and floor, not rint: Pillow rounds halves up.
    rounded: NDArray[np.float32] = np.clip(np.floor(values + 0.5), 0, 255)
    return rounded


@lru_cache(maxsize=256)
def _lanczos(source: int, target: int) -> NDArray[np.float32]:
    """Weights (target, source) of Lanczos resampling, a = 3, widened by the factor when shrinking, as Pillow does."""
    factor = max(source / target, 1.0)
    centres = (np.arange(target) + 0.5)[:, None] * source / target
    x = (np.arange(source)[None, :] + 0.5 - centres) / factor
    weights = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
