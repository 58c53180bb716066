"""What the detector is trained with."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from offline.training.detector.model import SIZE, Heads

IGNORED: Final = -1.0
"""Objectness target of an anchor that teaches nothing."""
_ALPHA: Final = 0.25
_GAMMA: Final = 2.0
_MAX_LOG_SCALE: Final = 4.0
_PROMINENT: Final = 0.08


class Targets(NamedTuple):
    """What every anchor should answer; leading axis: batch."""

    objectness: Tensor
    """(batch, anchors): 1 product, 0 not, IGNORED."""
    categories: Tensor
    """int64, (batch, anchors): index of the category; -1 where there is no product or its category is unknown."""
    deltas: Tensor
    """(batch, anchors, 4), meaningful where objectness is 1."""


class Losses(NamedTuple):
    objectness: Tensor
    categories: Tensor
    boxes: Tensor


def focal_loss(logits: Tensor, targets: Tensor, alpha: float = _ALPHA, gamma: float = _GAMMA) -> Tensor:
    """Focal loss of each element (Lin et al., ICCV 2017), for hard or soft targets in 0..1; same shape as `logits`.

    For targets 0 and 1 it is -alpha_t (1 - p_t)^gamma log(p_t). For a soft target y the factor is |y - p|^gamma
    (Li et al., Generalized Focal Loss, NeurIPS 2020), which is the same thing at 0 and 1.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    factor = (targets - torch.sigmoid(logits)).abs() ** gamma
    weight = torch.where(targets > 0, alpha, 1 - alpha)
    return weight * factor * entropy


def decode(deltas: Tensor, anchors: Tensor) -> Tensor:
    """Boxes (n, 4) from deltas and anchors, as `shiwu.vision.boxes.decode`, with gradients."""
    size = anchors[:, 2:] - anchors[:, :2]
    centre = (anchors[:, :2] + anchors[:, 2:]) / 2 + deltas[:, :2] * size
    half = torch.exp(deltas[:, 2:].clamp(max=_MAX_LOG_SCALE)) * size / 2
    return torch.cat([centre - half, centre + half], 1)


def generalised_iou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and GIoU of boxes pair by pair, each (n,) (Rezatofighi et al., Generalized IoU, CVPR 2019)."""
    inter = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0.0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inter
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    iou = inter / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)


def prominence(boxes: Tensor) -> Tensor:
    """How much a thing counts by its size, (n,): 1 from _PROMINENT of the picture on, falling to 0.4 for tiny ones."""
    share = (boxes[:, 2:] - boxes[:, :2]).prod(1) / (SIZE * SIZE)
    return (share / _PROMINENT).pow(0.3).clamp(0.4, 1.0)


def losses(heads: Heads, targets: Targets, anchors: Tensor) -> Losses:
    """The three parts, each averaged over the batch's positive anchors.

    A positive anchor's objectness target is the IoU its box reaches (quality focal loss) times the prominence of the
    thing: consumers read the main object off the best score alone, so the tightest box on the biggest thing must win.
    anchors: (n, 4) pixels.
    """
    positive = targets.objectness == 1.0
    count = positive.sum().clamp(min=1)
    # The box loss computes in float32 whatever the network does.
    expand = anchors.expand(positive.shape[0], -1, -1)
    predicted = decode(heads.deltas.float()[positive], expand[positive])
    wanted = decode(targets.deltas[positive], expand[positive])
    iou, giou = generalised_iou(predicted, wanted)
    soft = targets.objectness.clone()
    soft[positive] = (iou.detach() * prominence(wanted)).clamp(min=0.01)
    counted = targets.objectness != IGNORED
    objectness = focal_loss(heads.objectness.float()[counted], soft[counted]).sum() / count
    known = targets.categories >= 0
    categories = functional.cross_entropy(heads.categories.float()[known], targets.categories[known], reduction="sum")
    return Losses(objectness, categories / known.sum().clamp(min=1), (1 - giou).sum() / count)
