from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from shiwu.vision.hashes import dhash, hamming


def obvious(image: np.ndarray) -> int:
    """imagehash.dhash, as its code says: gray, 9 x 8 by Lanczos, each pixel against its right neighbour."""
    small = np.asarray(Pillow.fromarray(image).convert("L").resize((9, 8), Pillow.Resampling.LANCZOS))
    bits = "".join("1" if small[y, x + 1] > small[y, x] else "0" for y in range(8) for x in range(8))
    return int(bits, 2)


def pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    made = []
    for _ in range(count):
        coarse = rng.integers(0, 256, (*rng.integers(2, 12, 2), 3), np.uint8)
        size = tuple(int(side) for side in rng.integers(24, 700, 2))
        smooth = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC).astype(float)
        made.append(np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8))
    return made


def test_agrees_with_the_obvious_version() -> None:
    apart = [hamming(dhash(image), obvious(image)) for image in pictures(80)]
    assert np.mean(apart) < 0.5
    assert max(apart) <= 3


@pytest.mark.parametrize("size", [(8, 9), (16, 16), (16, 500), (500, 16)])
def test_agrees_at_odd_sizes(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert hamming(dhash(image), obvious(image)) <= 2


@pytest.mark.parametrize("size", [(1, 1), (2, 500), (500, 2)])
def test_works_at_any_size(size: tuple[int, int]) -> None:
    assert dhash(np.full((*size, 3), 90, np.uint8)) == 0


def test_near_pictures_have_near_hashes() -> None:
    first, second = pictures(2)
    darker = (first * 0.8).astype(np.uint8)
    assert hamming(dhash(first), dhash(darker)) <= 6
    assert hamming(dhash(first), dhash(second)) > 15


def test_hamming_counts_differing_bits() -> None:
    assert hamming(0, 0) == 0
    assert hamming(0b1011, 0b0010) == 2
    assert hamming(2**64 - 1, 0) == 64
