"""RetinaNet on EfficientNet-lite0 (Lin et al., Focal Loss for Dense Object Detection, ICCV 2017), or FCOS on it.

With points instead of anchors the network gives one answer per cell, which makes it FCOS (Tian et al., ICCV 2019);
objectness that learns how well the box fits takes the place of FCOS's centre-ness branch.

Two departures from the papers. Whether something is a product and which category it has are separate outputs:
objectness is what the focal loss trains, the category is a softmax learned from positive anchors only. So a product
of a category hardly seen in training is still found, and a picture may teach boxes without telling a category.
And the towers have batch norm, one per level (Tan et al., EfficientDet, CVPR 2020), as training is short.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from offline.training.backbone import Backbone, normalise
from offline.training.backbone import Pyramid as Features
from offline.training.detector.coco import Ssdlite
from offline.training.detector.layout import Layout, per_answer
from shiwu.categories import CATEGORIES

_CHANNELS: Final = 64
_PRIOR: Final = 0.01
"""Objectness at the start of training, so that the many empty anchors do not drown the rest (section 4.1)."""


class Heads(NamedTuple):
    """Raw outputs for every anchor or point, in the order of the layout's `boxes`."""

    objectness: Tensor
    """Logits, (batch, anchors)."""
    categories: Tensor
    """Logits, (batch, anchors, categories)."""
    deltas: Tensor
    """Coded as by the layout's `encode`, (batch, anchors, 4)."""


class RetinaNet(nn.Module):
    """(batch, side, side, 3) uint8 RGB, the side a multiple of 64 pixels, to `Heads`."""

    def __init__(
        self,
        backbone: Backbone | Ssdlite,
        layout: Layout,
        channels: int = _CHANNELS,
        depth: int = 3,
        width: int = len(CATEGORIES),
    ) -> None:
        super().__init__()
        levels = len(layout.strides)
        self.backbone = backbone
        self.pyramid = FeaturePyramid(backbone.pyramid_channels, channels, levels)
        self.what = _Tower(channels, depth, levels)
        self.where = _Tower(channels, depth, levels)
        self.objectness = nn.Conv2d(channels, layout.per_cell, 3, padding=1)
        self.categories = nn.Conv2d(channels, layout.per_cell * width, 3, padding=1)
        self.deltas = nn.Conv2d(channels, layout.per_cell * 4, 3, padding=1)
        for conv in (self.objectness, self.categories, self.deltas):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(_bias(conv))
        nn.init.constant_(_bias(self.objectness), -math.log((1 - _PRIOR) / _PRIOR))
        self._width = width

    def forward(self, images: Tensor) -> Heads:
        return self.read(self.features(images))

    def features(self, images: Tensor) -> Features:
        """The backbone's, of images as for `forward`."""
        return self.backbone.pyramid(normalise(images))

    def read(self, features: Features) -> Heads:
        """What the heads make of the backbone's features."""
        levels = self.pyramid(*features)
        what, where = self.what(levels), self.where(levels)
        return Heads(
            torch.cat([per_answer(self.objectness(x), 1) for x in what], 1).squeeze(2),
            torch.cat([per_answer(self.categories(x), self._width) for x in what], 1),
            torch.cat([per_answer(self.deltas(x), 4) for x in where], 1),
        )


class Detector(nn.Module):
    """What is exported: images to "scores" (batch, anchors, categories) and "deltas" (batch, anchors, 4).

    A score is objectness * P(category) / P(the anchor's likeliest category). So an object's best score is its
    objectness, by which consumers rank: a sure object of doubtful category stays above a doubtful object of sure
    category. And its scores divided by their sum, as the category vote does, are P(category).
    """

    def __init__(self, net: RetinaNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        heads = self.net(image)
        return scores_of(heads), heads.deltas


def scores_of(heads: Heads) -> Tensor:
    """Scores in 0..1 of every anchor and category, (batch, anchors, categories)."""
    relative = torch.exp(heads.categories - heads.categories.amax(dim=2, keepdim=True))
    return torch.sigmoid(heads.objectness).unsqueeze(2) * relative


class FeaturePyramid(nn.Module):
    """C3, C4, C5 to levels of equal width at strides 8, 16, 32, ... (Lin et al., FPN, CVPR 2017)."""

    def __init__(self, given: Sequence[int], channels: int, levels: int) -> None:
        """given: channels of C3, C4 and C5."""
        super().__init__()
        self.lateral = nn.ModuleList(Unit(c, channels, 1) for c in given)
        self.smooth = nn.ModuleList(Unit(channels, channels, 3) for _ in given)
        self.down = nn.ModuleList(Unit(channels, channels, 3, stride=2) for _ in range(levels - len(given)))

    def forward(self, c3: Tensor, c4: Tensor, c5: Tensor) -> list[Tensor]:
        p3, p4, p5 = (lateral(c) for lateral, c in zip(self.lateral, (c3, c4, c5), strict=True))
        p4 = p4 + functional.interpolate(p5, scale_factor=2.0, mode="nearest")
        p3 = p3 + functional.interpolate(p4, scale_factor=2.0, mode="nearest")
        levels = [smooth(p) for smooth, p in zip(self.smooth, (p3, p4, p5), strict=True)]
        for down in self.down:
            levels.append(down(levels[-1]))
        return levels


class _Tower(nn.Module):
    """3x3 convolutions shared by all levels, each followed by a batch norm of the level's own."""

    def __init__(self, channels: int, depth: int, levels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(depth))
        self.norms = nn.ModuleList(
            nn.ModuleList(nn.BatchNorm2d(channels, momentum=0.02) for _ in range(levels)) for _ in range(depth)
        )

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        for conv, norms in zip(self.convs, self.norms, strict=True):
            each = cast("nn.ModuleList", norms)
            levels = [functional.relu(norm(conv(x))) for norm, x in zip(each, levels, strict=True)]
        return levels


class Unit(nn.Sequential):
    """A convolution without bias and its batch norm."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(out, momentum=0.02))

    @property
    def norm(self) -> nn.BatchNorm2d:
        return cast("nn.BatchNorm2d", self[1])


def _bias(conv: nn.Conv2d) -> Tensor:
    return cast("Tensor", conv.bias)
