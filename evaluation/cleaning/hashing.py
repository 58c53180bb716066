"""Images hashed a second, one thread, and how far the hashes are from imagehash's."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
from PIL import Image as Pillow

from evaluation.cleaning import imagededup_peer
from evaluation.cleaning.timing import interleaved
from evaluation.demo import pixels
from offline.cleaning.hashing import fingerprint

HASHES = ("average", "difference", "perceptual")
_METHODS: Sequence[Callable[..., Any]] = (imagehash.average_hash, imagehash.dhash, imagehash.phash)


def as_photos(pictures: Sequence[Path], folder: Path, size: tuple[int, int] = (640, 480)) -> list[Path]:
    """JPEG files of one size, quality 87, of what the pictures show; width, height."""
    made = []
    for i, path in enumerate(pictures):
        resized = cv2.resize(pixels(path), size, interpolation=cv2.INTER_AREA)
        made.append(folder / f"{i}.jpg")
        cv2.imwrite(str(made[-1]), resized[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 87])
    return made


def speed(files: Sequence[Path], rounds: int) -> dict[str, float]:
    """Images a second, by way."""
    with contextlib.redirect_stdout(io.StringIO()):  # it greets
        peer = imagededup_peer.hashing()
        one, three = peer.DHash(verbose=False), [each(verbose=False) for each in (peer.AHash, peer.DHash, peer.PHash)]

    def imagehash_all(path: Path) -> None:
        picture = Pillow.open(path)
        for method in _METHODS:
            method(picture)

    ways: dict[str, Callable[[Path], object]] = {
        "shiwu: MD5 and three hashes": lambda path: fingerprint(path.read_bytes()),
        "imagehash: dHash": lambda path: imagehash.dhash(Pillow.open(path)),
        "imagehash: three hashes": imagehash_all,
        "imagededup: dHash": lambda path: one.encode_image(image_file=path),
        "imagededup: three hashes": lambda path: [each.encode_image(image_file=path) for each in three],
    }

    def over(way: Callable[[Path], object]) -> Callable[[], object]:
        return lambda: [way(path) for path in files]

    seconds = interleaved({name: over(way) for name, way in ways.items()}, rounds)
    return {name: len(files) / each for name, each in seconds.items()}


def agreement(files: Sequence[Path]) -> dict[str, tuple[float, int]]:
    """By hash, the mean and the largest distance in bits to imagehash's of the same file."""
    distances = np.array([_distances(path) for path in files])
    means, largest = distances.mean(axis=0).tolist(), distances.max(axis=0).tolist()
    return {name: (mean, most) for name, mean, most in zip(HASHES, means, largest, strict=True)}


def _distances(path: Path) -> list[int]:
    own = fingerprint(path.read_bytes()).hashes
    theirs = [int(str(method(Pillow.open(path))), 16) for method in _METHODS]
    return [(a ^ b).bit_count() for a, b in zip(own, theirs, strict=True)]
