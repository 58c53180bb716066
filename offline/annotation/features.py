"""What ImageNet's backbone makes of pictures, computed once for all rounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from offline.training.backbone import imagenet_backbone, normalise
from offline.training.detector.folding import fold_batch_norm
from offline.training.speed import bfloat16, keep_memory
from shiwu.vision.resize import Image, Placement, fit

Levels = tuple[Tensor, ...]
"""Features of one picture, each (1, channels, rows, columns), bfloat16, the finest first."""


class Seen(NamedTuple):
    """A letterboxed picture as the backbone sees it; width and height are the picture's own."""

    upright: Levels
    mirrored: Levels
    placement: Placement
    width: int
    height: int

    def view(self, mirrored: bool) -> Levels:
        return self.mirrored if mirrored else self.upright


class FrozenFeatures:
    """Features of the pictures that `read` gives by their id, at `size` pixels.

    levels: how many of C3, C4 and C5, the coarsest first to stay. kept: pictures whose features stay in memory.
    """

    def __init__(self, read: Callable[[str], Image], size: int, kept: int, levels: int = 3) -> None:
        keep_memory()
        self._read = read
        self._size = size
        self._kept = kept
        self._levels = levels
        self.backbone = imagenet_backbone()
        fold_batch_norm(self.backbone)
        self.backbone.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._seen: dict[str, Seen] = {}

    def __call__(self, picture: str) -> Seen:
        if picture in self._seen:
            return self._seen[picture]
        seen = self._look(self._read(picture))
        if len(self._seen) < self._kept:
            self._seen[picture] = seen
        return seen

    def _look(self, image: Image) -> Seen:
        square, placement = fit(image, self._size, "letterbox")
        both = torch.from_numpy(np.stack([square, square[:, ::-1]]))
        with torch.no_grad(), bfloat16():
            pyramid = self.backbone.pyramid(normalise(both).contiguous(memory_format=torch.channels_last))
        # Copies, so that a level that is kept keeps no other alive.
        levels = [level.to(torch.bfloat16) for level in pyramid[-self._levels :]]
        upright, mirrored = (tuple(level[i : i + 1].clone() for level in levels) for i in (0, 1))
        return Seen(upright, mirrored, placement, image.shape[1], image.shape[0])
