"""Two pairs of heads on one trunk: those that COCO taught, and those that were trained here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from offline.training.backbone import Pyramid
from offline.training.detector.coco import KIND_IDS, Ssdlite
from offline.training.detector.config import Model
from offline.training.detector.layout import layout_of
from offline.training.detector.loss import decode
from offline.training.detector.model import RetinaNet, scores_of
from shiwu.categories import CATEGORIES


class Line(NamedTuple):
    """What makes the scores that COCO taught mean what those of the other heads do, applied to their logits."""

    slope: float
    shift: float


AS_TAUGHT: Final = Line(1.0, 0.0)

Meanings = NDArray[np.float32]
"""Of COCO's 80 kinds, in COCO's order, how often each is of which category, (80, categories); zeros: no product."""
_LEAST: Final = 1e-9


def meanings_of(kinds: Mapping[str, int]) -> Meanings:
    """What each kind means if it is always a product of one category.

    kinds: of COCO's 80 kinds, in COCO's order, the index of each one's category; negative: no product.
    """
    categories = np.array(list(kinds.values()))
    return np.asarray(categories[:, None] == np.arange(len(CATEGORIES)), np.float32)


class BothHeads(nn.Module):
    """What is exported: images to "scores" (batch, boxes, categories) and "deltas" (batch, boxes, 4).

    Deltas are corners in shares of the square, as of `shiwu.vision.corners`. A box that COCO taught scores as its
    likeliest kind of product does; its categories are what all its kinds mean.
    """

    def __init__(self, net: RetinaNet, model: Model, meanings: Meanings, line: Line = AS_TAUGHT) -> None:
        super().__init__()
        self.net = net
        self._layout, self._size, self._line = layout_of(model), model.size, line
        self.register_buffer("references", torch.from_numpy(self._layout.boxes(model.size)))
        self.own = len(self.get_buffer("references"))
        """Answers of the heads that were trained here, which come first."""
        self.products = meanings.any(axis=1)
        """Which kinds are products, (80,)."""
        self._outputs = np.array(KIND_IDS)[self.products].tolist()
        self.register_buffer("meanings", torch.from_numpy(meanings[self.products]))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.net.features(image)
        heads = self.net.read(features)
        logits, taught = self.taught(features)
        found = decode(heads.deltas, self.get_buffer("references"), self._layout) / self._size
        odds = torch.sigmoid(logits) @ self.get_buffer("meanings")
        relative = odds / odds.amax(-1, keepdim=True).clamp(min=_LEAST)
        sure = torch.sigmoid(logits.amax(-1, keepdim=True) * self._line.slope + self._line.shift)
        return torch.cat([scores_of(heads), sure * relative], 1), torch.cat([found, taught], 1)

    def taught(self, features: Pyramid) -> tuple[Tensor, Tensor]:
        """Logits of the kinds that are products, (batch, boxes, kinds), and boxes as in `forward`."""
        trunk = self.net.backbone
        assert isinstance(trunk, Ssdlite)  # noqa: S101 - what this is made for
        logits, boxes = trunk.heads(features)
        return logits[..., self._outputs], boxes
