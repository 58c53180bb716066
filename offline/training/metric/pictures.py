"""Training and measuring pictures as squares in memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from offline.training.embedder.pictures import Picture, read_picture, without_white
from offline.training.items import Item
from shiwu.vision.resize import fit

_KEPT = 20_000
_Box = tuple[float, float, float, float]
FILL = 127
"""Gray around a letterboxed picture, as the released models read it."""


def squares(items: Sequence[Item], size: int) -> Tensor:
    """uint8 (n, size, size, 4): RGB and opacity, letterboxed on opaque gray.

    A picture with one box is cut to it, a cut-out to its object. Of a shop's picture on white, the white is
    transparent. The latest 20,000 squares stay in memory (36 KB each at 96 pixels).
    """
    return torch.from_numpy(np.stack([_square(item.path, _only_box(item), size) for item in items]))


def _only_box(item: Item) -> _Box | None:
    return item.boxes[0].corners if item.boxes and len(item.boxes) == 1 else None


@lru_cache(maxsize=_KEPT)
def _square(path: Path, box: _Box | None, size: int) -> NDArray[np.uint8]:
    # A box counts pixels of the stored file, so only a whole picture may be shrunk while reading.
    picture = read_picture(path, None if box else 2 * size)
    if box:
        picture = _cut(picture, box)
    cut = without_white(picture)
    if cut.alpha is None:
        rgb, alpha = cut.rgb, np.full(cut.rgb.shape[:2], 255, np.uint8)
    else:
        x, y, width, height = cv2.boundingRect(cut.alpha)
        rgb, alpha = (pixels[y : y + height, x : x + width] for pixels in (cut.rgb, cut.alpha))
    colours, _ = fit(rgb, size, "letterbox", FILL)
    opacity, _ = fit(np.repeat(alpha[..., None], 3, axis=2), size, "letterbox", 255)
    return np.concatenate([colours, opacity[..., :1]], axis=2)


def _cut(picture: Picture, box: _Box) -> Picture:
    height, width = picture.rgb.shape[:2]
    x1, y1 = max(0, int(box[0])), max(0, int(box[1]))
    x2, y2 = min(width, max(x1 + 1, round(box[2]))), min(height, max(y1 + 1, round(box[3])))
    alpha = None if picture.alpha is None else picture.alpha[y1:y2, x1:x2]
    return Picture(np.ascontiguousarray(picture.rgb[y1:y2, x1:x2]), alpha)


def on_white(pixels: Tensor) -> Tensor:
    """uint8 (n, s, s, 4) to float (n, 3, s, s) in 0..1: the clean view of a picture."""
    x = pixels.permute(0, 3, 1, 2).float() / 255
    return x[:, :3] * x[:, 3:] + 1 - x[:, 3:]


def centred(images: Tensor) -> Tensor:
    """0..1 to -1..1, as the backbones read images; channels last in memory, which CPUs and tensor cores prefer."""
    return (images * 2 - 1).contiguous(memory_format=torch.channels_last)
