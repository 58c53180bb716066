"""What the detector is trained with."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from offline.training.detector.config import Loss
from offline.training.detector.layout import Layout
from offline.training.detector.model import Heads
from shiwu.vision.anchors import AnchorGrid

IGNORED: Final = -1.0
"""Objectness target of an anchor or point that teaches nothing."""
_MAX_LOG_SCALE: Final = 4.0


class Targets(NamedTuple):
    """What every anchor or point should answer; leading axis: batch."""

    objectness: Tensor
    """(batch, anchors): above 0 for a product, up to 1 for the most prominent one; 0 for none; IGNORED."""
    categories: Tensor
    """int64, (batch, anchors): index of the category; -1 where there is no product or its category is unknown."""
    deltas: Tensor
    """(batch, anchors, 4), meaningful where there is a product."""


class Losses(NamedTuple):
    objectness: Tensor
    categories: Tensor
    boxes: Tensor


def focal_loss(logits: Tensor, targets: Tensor, alpha: float, gamma: float) -> Tensor:
    """Focal loss of each element (Lin et al., ICCV 2017), for hard or soft targets in 0..1; same shape as `logits`.

    For targets 0 and 1 it is -alpha_t (1 - p_t)^gamma log(p_t). For a soft target y the factor is |y - p|^gamma
    (Li et al., Generalized Focal Loss, NeurIPS 2020), which is the same thing at 0 and 1.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    factor = (targets - torch.sigmoid(logits)).abs() ** gamma
    weight = torch.where(targets > 0, alpha, 1 - alpha)
    return weight * factor * entropy


def decode(deltas: Tensor, references: Tensor, layout: Layout) -> Tensor:
    """Boxes (..., 4) from deltas and anchors or points, as the layout's own `decode`, with gradients."""
    size = references[..., 2:] - references[..., :2]
    centre = (references[..., :2] + references[..., 2:]) / 2
    if isinstance(layout, AnchorGrid):
        centre = centre + deltas[..., :2] * size
        half = torch.exp(deltas[..., 2:].clamp(max=_MAX_LOG_SCALE)) * size / 2
        return torch.cat([centre - half, centre + half], -1)
    distances = torch.exp(deltas.clamp(max=_MAX_LOG_SCALE)) * size.tile(2) / 2
    return torch.cat([centre - distances[..., :2], centre + distances[..., 2:]], -1)


def generalised_iou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and GIoU of boxes pair by pair, each (n,) (Rezatofighi et al., Generalized IoU, CVPR 2019)."""
    inter = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0.0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inter
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    iou = inter / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)


def forgotten(now: tuple[Tensor, Tensor], before: tuple[Tensor, Tensor]) -> Tensor:
    """How far logits and boxes of frozen heads, (batch, boxes, kinds) and (batch, boxes, 4), are from what they were.

    Learning without forgetting (Li & Hoiem, ECCV 2016), for detection: the divergence of each kind's probability, and
    the distance of corners by how sure the box was; both averaged over the sureness of all.
    """
    logits, boxes = now
    odds = torch.sigmoid(before[0])
    entropy = functional.binary_cross_entropy_with_logits
    divergence = entropy(logits, odds, reduction="sum") - entropy(before[0], odds, reduction="sum")
    sure = odds[..., 1:].amax(-1)  # output 0 is the background
    moved = (sure[..., None] * (boxes - before[1]).abs()).sum()
    return (divergence + moved) / sure.sum().clamp(min=1.0)


def losses(heads: Heads, targets: Targets, references: Tensor, layout: Layout, recipe: Loss) -> Losses:
    """The three parts, each averaged over the batch's positive anchors or points.

    references: (n, 4) pixels, as the layout's `boxes` gives them.
    """
    positive = targets.objectness > 0
    count = positive.sum().clamp(min=1)
    # The box loss computes in float32 whatever the network does.
    expand = references.expand(positive.shape[0], -1, -1)
    predicted = decode(heads.deltas.float()[positive], expand[positive], layout)
    iou, giou = generalised_iou(predicted, decode(targets.deltas[positive], expand[positive], layout))
    wanted = targets.objectness.clone()
    wanted[positive] = (iou.detach() * wanted[positive]).clamp(min=0.01) if recipe.objectness == "quality" else 1.0
    counted = targets.objectness != IGNORED
    logits, wanted = heads.objectness.float()[counted], wanted[counted]
    if recipe.objectness == "cross-entropy":
        objectness = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
    else:
        objectness = focal_loss(logits, wanted, recipe.alpha, recipe.gamma).sum()
    known = targets.categories >= 0
    categories = functional.cross_entropy(heads.categories.float()[known], targets.categories[known], reduction="sum")
    return Losses(objectness / count, categories / known.sum().clamp(min=1), (1 - giou).sum() / count)
