"""What stands between the embedding and its classifier."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Kind = Literal["none", "batch", "domain"]


def neck(kind: Kind, dimension: int) -> nn.Module:
    """A module of vectors (b, dimension) and their domain, photo (b,) bool or None, to vectors (b, dimension).

    batch: Luo et al., Bag of Tricks and a Strong Baseline for Deep Person Re-identification, CVPRW 2019 (BNNeck):
    distances are trained before it, classes after it, and it has no shift. domain: the same with statistics of their
    own for photos and merchants' pictures, as Chang et al., Domain-Specific Batch Normalization, CVPR 2019.
    """
    match kind:
        case "none":
            return _Nothing()
        case "batch":
            return _Norm(dimension, domains=1)
        case "domain":
            return _Norm(dimension, domains=2)


class _Nothing(nn.Module):
    def forward(self, x: Tensor, photo: Tensor | None) -> Tensor:
        del photo
        return x


class _Norm(nn.Module):
    """Batch norm with one scale and `domains` sets of statistics; an unknown domain is read with their mixture."""

    mean: Tensor
    variance: Tensor

    def __init__(self, dimension: int, domains: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dimension))
        self.register_buffer("mean", torch.zeros(domains, dimension))
        self.register_buffer("variance", torch.ones(domains, dimension))
        self._momentum = momentum

    def forward(self, x: Tensor, photo: Tensor | None) -> Tensor:
        if len(self.mean) == 1:
            return self._norm(x, 0)
        if photo is None:
            mean = self.mean.mean(dim=0)
            variance = self.variance.mean(dim=0) + self.mean.var(dim=0, correction=0)
            return functional.batch_norm(x, mean, variance, self.weight)
        result = torch.empty_like(x)
        for domain, rows in enumerate((~photo, photo)):
            if rows.any():
                result[rows] = self._norm(x[rows], domain).to(x.dtype)
        return result

    def _norm(self, x: Tensor, domain: int) -> Tensor:
        # One vector has no spread: it is read with the statistics so far.
        training = self.training and len(x) > 1
        mean, variance = self.mean[domain], self.variance[domain]
        return functional.batch_norm(x, mean, variance, self.weight, training=training, momentum=self._momentum)
