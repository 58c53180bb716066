"""What the embedder is taught."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Memory:
    """The last embeddings and their products: more negatives than a batch holds (Wang et al., XBM, CVPR 2020)."""

    def __init__(self, capacity: int, dimension: int) -> None:
        self.vectors = torch.zeros(capacity, dimension)
        self.products = torch.full((capacity,), -1)
        self._next = 0

    def add(self, vectors: Tensor, products: Tensor) -> None:
        where = (torch.arange(len(vectors)) + self._next) % len(self.vectors)
        self.vectors[where] = vectors.detach()
        self.products[where] = products
        self._next = int((self._next + len(vectors)) % len(self.vectors))


def contrast(vectors: Tensor, products: Tensor, memory: Memory, temperature: float) -> Tensor:
    """Supervised contrastive loss (Khosla et al., NeurIPS 2020, L_out) over the batch and the memory.

    vectors: (n, d), unit length. products: (n,). Anchors without a positive are left out.
    """
    n = len(vectors)
    others = torch.cat([vectors, memory.vectors])
    labels = torch.cat([products, memory.products])
    logits = vectors @ others.T / temperature
    valid = (labels >= 0)[None, :].expand(n, -1).clone()
    valid[:, :n].fill_diagonal_(False)
    logits = logits.masked_fill(~valid, float("-inf"))
    positive = (products[:, None] == labels[None, :]) & valid
    log_share = functional.log_softmax(logits, dim=1).masked_fill(~positive, 0.0)
    count = positive.sum(dim=1)
    loss = -log_share.sum(dim=1) / count.clamp(min=1)
    return loss[count > 0].mean()


class Proxies(nn.Module):
    """One learned centre per product; a softmax over cosines with an additive angular margin.

    Deng et al., ArcFace, CVPR 2019.
    """

    def __init__(self, products: int, dimension: int, scale: float, margin: float) -> None:
        super().__init__()
        self.centres = nn.Parameter(functional.normalize(torch.randn(products, dimension), dim=1))
        self.scale = scale
        self.margin = margin

    def forward(self, vectors: Tensor, products: Tensor) -> Tensor:
        cosine = (vectors @ functional.normalize(self.centres, dim=1).T).clamp(-0.999, 0.999)
        rows = torch.arange(len(products))
        own = torch.cos(torch.acos(cosine[rows, products]) + self.margin)
        logits = cosine.clone()
        logits[rows, products] = own
        return functional.cross_entropy(logits * self.scale, products)


class Recall(nn.Module):
    """Keeps what ImageNet taught: the embedding must still tell the untrained descriptor, up to a linear map."""

    def __init__(self, dimension: int, descriptor: int) -> None:
        super().__init__()
        self.decode = nn.Linear(dimension, descriptor)

    def forward(self, vectors: Tensor, descriptors: Tensor) -> Tensor:
        """vectors: (n, dimension). descriptors: (n, descriptor), standardised."""
        return 1 - functional.cosine_similarity(self.decode(vectors), descriptors, dim=1).mean()


def structure(vectors: Tensor, descriptors: Tensor) -> Tensor:
    """Keeps who is like whom: squared difference between the cosines of embeddings and of untrained descriptors.

    Similarity-preserving distillation (Tung & Mori, ICCV 2019) from the network's own start, so that what it is not
    taught stays in order. vectors: (n, dimension), unit length. descriptors: (n, descriptor), standardised.
    """
    before = functional.normalize(descriptors, dim=1)
    return (vectors @ vectors.T - before @ before.T).square().mean()
