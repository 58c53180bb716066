"""Losses by the names of the experiment's switches; all of them from pytorch-metric-learning where it has them."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.utils import distributed
from pytorch_metric_learning.utils.loss_and_miner_utils import get_all_pairs_indices
from torch import Tensor, nn
from torch.nn import functional

from offline.training.metric.config import Classification, Ranking

_HARD_SHARES = (0.5, 0.4)
"""Of the pairs of the level below; 0.4 of a half is the paper's fifth."""


class Softmax(nn.Module):
    """The baseline: a linear layer and cross-entropy."""

    def __init__(self, products: int, dimension: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dimension, products)

    @property
    def W(self) -> Tensor:  # noqa: N802  the library's name of class centres, (dimension, products)
        return self.linear.weight.T

    def forward(self, vectors: Tensor, products: Tensor) -> Tensor:
        return functional.cross_entropy(self.get_logits(vectors), products)

    def get_logits(self, vectors: Tensor) -> Tensor:
        logits: Tensor = self.linear(vectors)
        return logits


def classifier(how: Classification, products: int, dimension: int) -> Any:
    """A module of vectors (b, dimension) and products (b,) to a loss, with `get_logits(vectors)` (b, products).

    normalised: Wang et al., NormFace, ACM MM 2017 (unit features and weights, scale s). sphereface: Liu et al., CVPR
    2017 (multiplicative angular margin; features keep their length, so it has no scale; the paper's margin of 4 needs
    its annealing, which the library does not have). cosface: Wang et al., CVPR 2018 (margin on the cosine). arcface:
    Deng et al., CVPR 2019 (margin on the angle). subcentre: Deng et al., Sub-center ArcFace, ECCV 2020 (several
    centres a class, the nearest counts).
    """
    if how.kind == "none":
        return None
    if how.kind == "softmax":
        return Softmax(products, dimension)
    shape = {"num_classes": products, "embedding_size": dimension}
    if how.kind == "normalised":
        return losses.NormalizedSoftmaxLoss(**shape, temperature=1 / how.scale)
    default, loss, extra = {
        "sphereface": (2.0, losses.SphereFaceLoss, {"scale": 1.0}),
        "cosface": (0.2, losses.CosFaceLoss, {"scale": how.scale}),
        "arcface": (15.0, losses.ArcFaceLoss, {"scale": how.scale}),
        "subcentre": (15.0, losses.SubCenterArcFaceLoss, {"scale": how.scale, "sub_centers": how.centres}),
    }[how.kind]
    return loss(**shape, margin=default if how.margin is None else how.margin, **extra)


def ranking(how: Ranking, dimension: int, devices: int = 1) -> Any:
    """A module of vectors (b, dimension) and products (b,) to a loss on distances between unit vectors; or None.

    contrastive: Hadsell, Chopra & LeCun, CVPR 2006. triplet: Hermans, Beyer & Leibe, In Defense of the Triplet Loss,
    2017 (batch-hard). lifted: Song et al., Lifted Structured Feature Embedding, CVPR 2016.
    memory: Wang et al., Cross-Batch Memory, CVPR 2020. With several devices, pairs reach across all of them.
    """
    miner: Any = None
    match how.kind:
        case "none":
            return None
        case "contrastive":
            loss: Any = losses.ContrastiveLoss(pos_margin=0.0, neg_margin=1.0)
        case "triplet":
            loss, miner = losses.TripletMarginLoss(margin=0.2), miners.BatchHardMiner()
        case "lifted":
            loss = losses.LiftedStructureLoss(neg_margin=1.0, pos_margin=0.0)
    if how.memory:
        memory = Memory(loss, dimension, how.memory, miner)
        return distributed.DistributedLossWrapper(memory) if devices > 1 else memory
    if devices > 1:
        loss = distributed.DistributedLossWrapper(loss)
        miner = miner and distributed.DistributedMinerWrapper(miner)
    return Mined(loss, miner)


class Mined(nn.Module):
    """A loss over the pairs or triplets that a miner chooses, all of them without one."""

    def __init__(self, loss: Any, miner: Any) -> None:
        super().__init__()
        self.loss = loss
        self.miner = miner

    def forward(self, vectors: Tensor, products: Tensor) -> Tensor:
        chosen = self.miner(vectors, products) if self.miner else None
        result: Tensor = self.loss(vectors, products, chosen)
        return result


class Memory(losses.CrossBatchMemory):  # type: ignore[misc]
    """Cross-batch memory whose place in its queue is saved with it, so that a resumed run is the same run."""

    def __init__(self, loss: Any, dimension: int, size: int, miner: Any) -> None:
        super().__init__(loss, dimension, memory_size=size, miner=miner)

    def get_extra_state(self) -> Tensor:
        return torch.tensor([self.queue_idx, int(self.has_been_filled)])

    def set_extra_state(self, state: Tensor) -> None:
        self.queue_idx, self.has_been_filled = int(state[0]), bool(state[1])


def cascade(levels: tuple[Tensor, ...], products: Tensor) -> Tensor:
    """Contrastive loss summed over levels (b, d_i), from shallow to deep, each on pairs that were hard below.

    Yuan, Yang & Zhang, Hard-Aware Deeply Cascaded Embedding, ICCV 2017: the first level learns from all pairs, the
    second from the half that is hardest for the first, the third from the fifth of all that is hardest for both.
    """
    loss = losses.ContrastiveLoss(pos_margin=0.0, neg_margin=1.0)
    pairs = get_all_pairs_indices(products)
    total = loss(levels[0], products, pairs)
    for below, vectors, share in zip(levels, levels[1:], _HARD_SHARES, strict=False):
        miner = miners.HDCMiner(filter_percentage=share)
        miner.set_idx_externally(pairs, products)
        pairs = miner(below.detach(), products)
        total = total + loss(vectors, products, pairs)
    result: Tensor = total
    return result


def instances(temperature: float) -> Any:
    """A module of vectors (b, dimension) and numbers (b,): each picture's two views against all other pictures.

    Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, CVPR 2018, in the form of
    Chen et al., SimCLR, ICML 2020.
    """
    return losses.NTXentLoss(temperature=temperature)


def agreement(logits: Tensor, peer: Tensor, temperature: float) -> Tensor:
    """KL divergence of the peer's class distribution from one's own, (b, products) each; the peer is not taught.

    Zhang et al., Deep Mutual Learning, CVPR 2018, and, with a finished peer, Hinton, Vinyals & Dean, Distilling the
    Knowledge in a Neural Network, 2015, whose factor of temperature squared keeps the gradients' size.
    """
    own = functional.log_softmax(logits / temperature, dim=1)
    other = functional.log_softmax(peer.detach() / temperature, dim=1)
    return functional.kl_div(own, other, reduction="batchmean", log_target=True) * temperature**2
