"""The embedder's network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from offline.training.backbone import LAST_CHANNELS, PYRAMID_CHANNELS, Backbone, normalise

TRAINED_DIMENSION = 256
FROZEN_BLOCKS = 11
"""The stem and these blocks keep ImageNet's weights: few pictures cannot teach edges and textures better."""

C3_CHANNELS, C4_CHANNELS = PYRAMID_CHANNELS[:2]
DESCRIPTOR = LAST_CHANNELS + C4_CHANNELS + C3_CHANNELS
_C3_BLOCKS = 5


class Trunk(nn.Module):
    """The frozen part: normalised images (b, 3, s, s) to C4 (b, 112, s/16, s/16) and a small C3 (b, 40, s/32, s/32)."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.low = nn.Sequential(backbone.stem, *backbone.blocks[:_C3_BLOCKS])
        self.high = nn.Sequential(*backbone.blocks[_C3_BLOCKS:FROZEN_BLOCKS])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        c3 = self.low(x)
        return self.high(c3), functional.avg_pool2d(c3, 4)


class Crown(nn.Module):
    """The trained part: what `Trunk` gives, to unit vectors (b, 256).

    Late ImageNet features forget colour, which tells colourways apart, so C3 and C4 are pooled beside them. One
    attention map over the last features weighs the places for all three: it learns to look past the background.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*backbone.blocks[FROZEN_BLOCKS:], backbone.head)
        self.attention = nn.Conv2d(LAST_CHANNELS, 1, 1)
        nn.init.zeros_(self.attention.weight)
        self.projection = nn.Linear(DESCRIPTOR, TRAINED_DIMENSION)

    def forward(self, c4: Tensor, c3: Tensor) -> Tensor:
        return functional.normalize(self.projection(self.describe(c4, c3)), dim=1)

    def describe(self, c4: Tensor, c3: Tensor) -> Tensor:
        """Pooled features of the three levels, (b, 1432)."""
        return self.attended(c4, c3)[0]

    def attended(self, c4: Tensor, c3: Tensor) -> tuple[Tensor, Tensor]:
        """What `describe` gives, and the attention map, (b, 1, s/32, s/32), 1 in all."""
        last = self.blocks(c4)
        places = self.attention(last)
        weights = places.flatten(1).softmax(dim=1)[:, None]
        levels = [last, functional.avg_pool2d(c4, 2), c3]
        pooled = torch.cat([(level.flatten(2) * weights).sum(dim=2) for level in levels], dim=1)
        return pooled, weights.unflatten(2, places.shape[2:])


class Embedder(nn.Module):
    """uint8 images (b, s, s, 3) RGB to unit vectors (b, 256)."""

    def __init__(self, trunk: Trunk, crown: Crown) -> None:
        super().__init__()
        self.trunk = trunk
        self.crown = crown

    def forward(self, image: Tensor) -> Tensor:
        c4, c3 = self.trunk(normalise(image))
        vectors: Tensor = self.crown(c4, c3)
        return vectors


def build(backbone: Backbone) -> Embedder:
    """An embedder on this backbone, its batch norms kept at the backbone's statistics."""
    embedder = Embedder(Trunk(backbone), Crown(backbone))
    embedder.trunk.requires_grad_(False)
    return embedder.eval()


def start_as_pca(projection: nn.Linear, descriptors: Tensor, power: float = 0.5) -> None:
    """Sets the projection to the principal components of descriptors (n, inputs), partly whitened.

    A start that keeps nearly all that ImageNet taught, instead of random mixtures of it.
    """
    mean, std = descriptors.mean(dim=0), descriptors.std(dim=0) + 1e-4
    # In double: with fewer descriptors than inputs, single precision at times does not converge.
    values, vectors = torch.linalg.eigh(torch.cov(((descriptors - mean) / std).double().T))
    values, vectors = values.float(), vectors.float()
    top = values.argsort(descending=True)[: projection.out_features]
    scale = values[top].clamp(min=1e-6).pow(-power / 2)
    weight = (vectors[:, top] * scale).T / std
    with torch.no_grad():
        projection.weight.copy_(weight)
        projection.bias.copy_(-weight @ mean)
