"""How far a picture's hashes move when it is edited: the median and 95 % distance, and the share within 5 bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from evaluation.cleaning.hashing import HASHES
from offline.cleaning.hashing import fingerprint
from shiwu.vision.decode import Limits, decode
from shiwu.vision.hashes import Hashes
from shiwu.vision.resize import Image

RADIUS: Final = 5
UNRELATED: Final = "another picture"
Edit = Callable[[Image], Image]


@dataclass(frozen=True)
class Moved:
    """Of one edit and one hash, bits of 64."""

    median: float
    far: float
    """95 % are nearer."""
    within: float
    """Share within RADIUS."""


def edits() -> Mapping[str, Edit]:
    """What happens to pictures on their way through shops, in a strength that people still see the same picture in."""
    return {
        "JPEG quality 30": lambda image: _jpeg(image, 30),
        "brightness +20 %": lambda image: _levels(image, 1.2, 0),
        "brightness -20 %": lambda image: _levels(image, 0.8, 0),
        "contrast +30 %": lambda image: _levels(image, 1.3, -0.15 * 255),
        "contrast -30 %": lambda image: _levels(image, 0.7, 0.15 * 255),
        "scale to a half": lambda image: _scaled(image, 0.5, 0.5),
        "scale to a quarter": lambda image: _scaled(image, 0.25, 0.25),
        "aspect 4:3 to 1:1": lambda image: _scaled(image, 0.75, 1.0),
        "sharpen": lambda image: _pixels(cv2.addWeighted(image, 2.0, cv2.GaussianBlur(image, (0, 0), 2), -1.0, 0)),
        "blur, sigma 2": lambda image: _pixels(cv2.GaussianBlur(image, (0, 0), 2)),
        "hue +20 degrees": lambda image: _hue(image, 20),
        "watermark": _watermark,
        "crop 2 % a side": lambda image: _cropped(image, 0.02),
        "crop 5 % a side": lambda image: _cropped(image, 0.05),
        "crop 10 % a side": lambda image: _cropped(image, 0.1),
        "rotation 2 degrees": lambda image: _rotated(image, 2),
        "rotation 5 degrees": lambda image: _rotated(image, 5),
        "rotation 90 degrees": lambda image: np.ascontiguousarray(np.rot90(image)),
        "mirror": lambda image: np.ascontiguousarray(image[:, ::-1]),
    }


def measure(images: Sequence[Image]) -> dict[str, dict[str, Moved]]:
    """By edit, then by hash; the last one is no edit but the next picture, for comparison."""
    originals = [_hashes(image) for image in images]
    found = {name: _moved(originals, [_hashes(edit(image)) for image in images]) for name, edit in edits().items()}
    pairs = [(a, b) for i, a in enumerate(originals) for b in originals[i + 1 :]]
    return found | {UNRELATED: _moved([a for a, _ in pairs], [b for _, b in pairs])}


def _moved(before: Sequence[Hashes], after: Sequence[Hashes]) -> dict[str, Moved]:
    bits = np.array(
        [[(x ^ y).bit_count() for x, y in zip(a, b, strict=True)] for a, b in zip(before, after, strict=True)]
    )
    return {
        name: Moved(float(np.median(each)), float(np.percentile(each, 95)), float((each <= RADIUS).mean()))
        for name, each in zip(HASHES, bits.T, strict=True)
    }


def _hashes(image: Image) -> Hashes:
    """As of a JPEG file, since that is what goes through shops."""
    return fingerprint(encoded(image, 90)).hashes


def encoded(image: Image, quality: int) -> bytes:
    """A JPEG file."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data)


def _jpeg(image: Image, quality: int) -> Image:
    return decode(encoded(image, quality), Limits()).pixels


def _levels(image: Image, factor: float, offset: float) -> Image:
    return _pixels(np.clip(image.astype(np.float32) * factor + offset, 0, 255))


def _scaled(image: Image, across: float, down: float) -> Image:
    return _pixels(cv2.resize(image, None, fx=across, fy=down, interpolation=cv2.INTER_AREA))


def _hue(image: Image, degrees: int) -> Image:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(np.int64) + degrees // 2) % 180  # 2 degrees a step
    return _pixels(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def _watermark(image: Image) -> Image:
    """A shop's name across the lower third, half transparent."""
    marked = image.copy()
    height, width = image.shape[:2]
    cv2.putText(
        *(marked, "SHOP.EXAMPLE", (width // 12, height * 4 // 5), cv2.FONT_HERSHEY_DUPLEX),
        *(width / 300, (255, 255, 255), max(1, width // 160), cv2.LINE_AA),
    )
    return _pixels(cv2.addWeighted(image, 0.5, marked, 0.5, 0))


def _cropped(image: Image, share: float) -> Image:
    height, width = image.shape[:2]
    down, across = round(height * share), round(width * share)
    return np.ascontiguousarray(image[down : height - down, across : width - across])


def _rotated(image: Image, degrees: float) -> Image:
    """About the middle; the corners that come free repeat the edge."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return _pixels(cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE))


def _pixels(image: cv2.typing.MatLike) -> Image:
    return np.ascontiguousarray(image).astype(np.uint8)
