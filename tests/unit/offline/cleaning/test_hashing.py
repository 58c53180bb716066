"""Against imagehash, on photos and drawings."""

from __future__ import annotations

import hashlib
import io

import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image as Pillow

from offline.cleaning.hashing import fingerprint
from shiwu.vision.decode import ImageError


def picture(seed, width=640, height=480):
    """Smooth areas, edges and some noise, as in a photo."""
    random = np.random.default_rng(seed)
    image = cv2.resize(
        random.integers(0, 255, (5, 7, 3)).astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
    )
    for _ in range(12):
        corner, colour = random.integers(0, [width, height]).tolist(), random.integers(0, 255, 3).tolist()
        cv2.circle(image, corner, int(random.integers(8, min(width, height) // 3)), colour, -1, cv2.LINE_AA)
    return np.clip(image + random.normal(scale=4, size=image.shape), 0, 255).astype(np.uint8)


def encoded(pixels, kind="JPEG"):
    data = io.BytesIO()
    Pillow.fromarray(pixels).save(data, kind, quality=90)
    return data.getvalue()


def peers(data):
    image = Pillow.open(io.BytesIO(data))
    return [int(str(method(image)), 16) for method in (imagehash.average_hash, imagehash.dhash, imagehash.phash)]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(640, 480), (500, 500), (809, 611), (1500, 2000), (90, 70), (64, 400)])
def test_the_hashes_are_those_of_imagehash_but_for_a_bit(kind, size):
    distances = []
    for seed in range(12):
        data = encoded(picture(seed, *size), kind)
        distances.append([(a ^ b).bit_count() for a, b in zip(fingerprint(data).hashes, peers(data), strict=True)])
    assert np.mean(distances, axis=0).max() <= 1.0


def test_what_differs_has_hashes_that_differ():
    one, other = (fingerprint(encoded(picture(seed))).hashes for seed in (1, 2))
    assert min((a ^ b).bit_count() for a, b in zip(one, other, strict=True)) > 10


def test_a_fingerprint_has_the_size_and_the_md5_of_the_file():
    data = encoded(picture(1, 300, 200))
    found = fingerprint(data)
    assert (found.width, found.height, found.md5) == (300, 200, hashlib.md5(data).hexdigest())


def test_a_picture_of_one_colour_has_hashes():
    assert fingerprint(encoded(np.full((100, 100, 3), 200, np.uint8))).hashes.difference == 0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"GIF89a", "GIF"),
        (encoded(picture(1))[:300], "truncated"),
        (encoded(picture(1)[:8, :8]), "8 x 8 pixels"),
    ],
)
def test_what_is_no_picture_is_told(data, words):
    with pytest.raises(ImageError, match=words):
        fingerprint(data)


def test_rare_kinds_of_jpeg_are_read_too():
    data = io.BytesIO()
    Pillow.fromarray(picture(1)).convert("CMYK").save(data, "JPEG")
    assert fingerprint(data.getvalue()).width == 640
