"""The embedding network, with every switch that changes its shape."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from offline.training.backbone import normalise
from offline.training.metric.attention import attention
from offline.training.metric.config import ExperimentError, Model
from offline.training.metric.neck import neck
from offline.training.metric.trunk import build_trunk

_SHALLOW_SHARE = 4


class Features(NamedTuple):
    """What the network makes of b images; nothing here has unit length.

    vectors: (b, dimension), after the neck, which is what is deployed and classified. raw: the same before the neck,
    for losses on distances (Luo et al., BNNeck). levels: one (b, d_i) per level of the cascade, joined they are `raw`.
    maps: (b, channels, h, w), the last feature maps.
    """

    vectors: Tensor
    raw: Tensor
    levels: tuple[Tensor, ...]
    maps: Tensor


class Network(nn.Module):
    """Images (b, 3, s, s) in -1..1 to Features.

    cascade: Yuan, Yang & Zhang, Hard-Aware Deeply Cascaded Embedding, ICCV 2017: every stage has an embedding of its
    own, and the deployed vector joins them. The width of the whole stays `dimension`, so that it compares.
    """

    def __init__(self, model: Model, backbone: str | None = None) -> None:
        super().__init__()
        self.trunk = build_trunk(backbone or model.backbone, pretrained=model.pretrained, frozen=model.frozen_stages)
        channels = self.trunk.channels
        if model.cascade and len(channels) == 1:
            msg = f"a cascade needs a backbone in stages, and {model.backbone} is one"
            raise ExperimentError(msg)
        trained = range(self.trunk.frozen, len(channels))
        self.attention = nn.ModuleDict({str(i): attention(model.attention, channels[i]) for i in trained})
        # Shallow features go below zero, which a generalised mean cannot take; the last ones do not.
        self.pooling = GeM() if model.pooling == "gem" else Average()
        shallow = [min(model.dimension // _SHALLOW_SHARE, c) for c in channels[:-1]] if model.cascade else []
        widths = [*shallow, model.dimension - sum(shallow)]
        self.projections = nn.ModuleList(
            nn.Linear(c, width) for c, width in zip(channels[-len(widths) :], widths, strict=True)
        )
        self.neck = neck(model.neck, model.dimension)

    def forward(self, images: Tensor, photo: Tensor | None = None) -> Features:
        """photo: (b,) bool, the images' domain; None when it is unknown."""
        pooled, maps = self.describe(images)
        # In float, whatever the precision of the maps: the losses' class centres take the type of the vectors.
        levels = tuple(project(x).float() for project, x in zip(self.projections, pooled, strict=True))
        raw = torch.cat(levels, dim=1)
        return Features(self.neck(raw, photo), raw, levels, maps)

    def describe(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Pooled features (b, channels) of every level, and the last feature maps."""
        x = images
        pooled: list[Tensor] = []
        for i, stage in enumerate(self.trunk.stages):
            with torch.set_grad_enabled(torch.is_grad_enabled() and i >= self.trunk.frozen):
                x = stage(x)
            if i >= self.trunk.frozen:
                x = self.attention[str(i)](x)
            last = i == len(self.trunk.stages) - 1
            if last or len(self.projections) > 1:
                pooled.append(self.pooling(x) if last else x.mean(dim=(2, 3)))
        return pooled, x


class Average(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


class GeM(nn.Module):
    """Generalised mean of each channel over the places, (b, c, h, w) to (b, c).

    Radenovic, Tolias & Chum, Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2019. The power starts
    at 3 and is learnt; 1 is the average, infinity the maximum.
    """

    def __init__(self, power: float = 3.0) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor(power))

    def forward(self, x: Tensor) -> Tensor:
        # In float: half precision overflows in the power.
        return x.float().clamp(min=1e-6).pow(self.power).mean(dim=(2, 3)).pow(1 / self.power)


class Deployed(nn.Module):
    """What is released: uint8 (b, s, s, 3) RGB to unit vectors (b, dimension), the domain unknown."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return functional.normalize(self.network(normalise(image)).vectors, dim=1)
