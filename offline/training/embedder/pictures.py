"""Training pictures in memory, small, with the outline of the object where it is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from offline.training.items import Item
from shiwu.vision.resize import Image

Mask = NDArray[np.uint8]
"""Opacity, (height, width), 0..255."""


@dataclass(frozen=True, slots=True)
class Picture:
    """RGB pixels and, for a cut-out, its opacity."""

    rgb: Image
    alpha: Mask | None


def load_pictures(items: Iterable[Item], side: int | None = 256) -> list[Picture]:
    """The items' pictures, shrunk so that the longer side is at most `side` pixels; None keeps their size."""
    return [read_picture(item.path, side) for item in items]


def read_picture(path: Path, side: int | None) -> Picture:
    """Raises ValueError naming a file that is no picture."""
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        msg = f"{path} is not a picture"
        raise ValueError(msg)
    if pixels.ndim == 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    height, width = pixels.shape[:2]
    if side is not None and max(height, width) > side:
        scale = side / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    rgb = np.ascontiguousarray(pixels[:, :, 2::-1]).astype(np.uint8)
    alpha = np.ascontiguousarray(pixels[:, :, 3]).astype(np.uint8) if pixels.shape[2] == 4 else None
    return Picture(rgb, alpha)


def over(rgb: Image, alpha: Mask, background: Image) -> Image:
    """A cut-out laid over a background of the same size."""
    opacity = alpha[:, :, None].astype(np.float32) / 255
    return (rgb * opacity + background * (1 - opacity)).astype(np.uint8)


def without_white(picture: Picture, tolerance: int = 8) -> Picture:
    """A shop's picture on white as a cut-out; the picture itself when it has no white border to take away."""
    rgb = picture.rgb
    if picture.alpha is not None:
        return picture
    height, width = rgb.shape[:2]
    mask = np.zeros((height + 2, width + 2), np.uint8)
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (255 << 8)
    work = rgb.copy()
    for x, y in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)):
        if rgb[y, x].min() >= 255 - tolerance and mask[y + 1, x + 1] == 0:
            cv2.floodFill(work, mask, (x, y), 0, (tolerance,) * 3, (tolerance,) * 3, flags)
    alpha = np.where(mask[1:-1, 1:-1] > 0, 0, 255).astype(np.uint8)
    share = float(np.mean(alpha > 0))
    if not 0.04 < share < 0.92:
        return picture
    return Picture(rgb, cv2.GaussianBlur(cv2.erode(alpha, np.ones((3, 3), np.uint8)), (3, 3), 0).astype(np.uint8))
