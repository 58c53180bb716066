"""Two pairs of heads on one trunk: those that COCO taught, and those that were trained here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from offline.training.backbone import normalise
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


class BothHeads(nn.Module):
    """What is exported: images to "scores" (batch, boxes, categories) and "deltas" (batch, boxes, 4).

    Deltas are corners in shares of the square, as of `shiwu.vision.corners`. Of a category in which COCO knows several
    kinds of things the likeliest one counts; what is no product there gets no score.
    """

    def __init__(self, net: RetinaNet, model: Model, kinds: Mapping[str, int], line: Line = AS_TAUGHT) -> None:
        """kinds: of COCO's 80 kinds, in COCO's order, the index of each one's category; negative: no product."""
        super().__init__()
        self.net = net
        self._layout, self._size, self._line = layout_of(model), model.size, line
        self.register_buffer("references", torch.from_numpy(self._layout.boxes(model.size)))
        self.own = len(self.get_buffer("references"))
        """Answers of the heads that were trained here, which come first."""
        outputs = list(zip(KIND_IDS, kinds.values(), strict=True))
        self._outputs = [[output for output, kind in outputs if kind == i] for i in range(len(CATEGORIES))]

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        trunk = self.net.backbone
        assert isinstance(trunk, Ssdlite)  # noqa: S101 - what this is made for
        features = trunk.pyramid(normalise(image))
        heads = self.net.read(features)
        logits, taught = trunk.heads(features)
        found = decode(heads.deltas, self.get_buffer("references"), self._layout) / self._size
        return torch.cat([scores_of(heads), self._scores(logits)], 1), torch.cat([found, taught], 1)

    def _scores(self, logits: Tensor) -> Tensor:
        none = torch.zeros_like(logits[..., 0])
        best = [
            torch.sigmoid(logits[..., outputs].amax(-1) * self._line.slope + self._line.shift) if outputs else none
            for outputs in self._outputs
        ]
        return torch.stack(best, -1)
