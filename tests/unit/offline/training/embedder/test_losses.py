from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from offline.training.embedder.losses import Memory, Proxies, contrast, structure


def _unit(count: int, seed: int) -> torch.Tensor:
    return functional.normalize(torch.randn(count, 6, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_contrast_agrees_with_a_loop() -> None:
    vectors, products = _unit(8, 0), torch.tensor([0, 0, 1, 1, 2, 3, 3, 3])
    memory = Memory(5, 6)
    memory.add(_unit(3, 1), torch.tensor([2, 0, 9]))
    others = [(v, int(p)) for v, p in zip(vectors, products, strict=True)]
    others += [(v, int(p)) for v, p in zip(memory.vectors, memory.products, strict=True) if p >= 0]
    losses = []
    for i in range(8):
        rest = [pair for j, pair in enumerate(others) if j != i]
        scores = [math.exp(float(vectors[i] @ v) / 0.2) for v, _ in rest]
        own = [-math.log(s / sum(scores)) for s, (_, p) in zip(scores, rest, strict=True) if p == products[i]]
        losses.append(sum(own) / len(own))
    assert contrast(vectors, products, memory, 0.2).item() == pytest.approx(sum(losses) / 8, rel=1e-5)


def test_memory_forgets_the_oldest() -> None:
    memory = Memory(4, 6)
    memory.add(_unit(3, 0), torch.tensor([1, 2, 3]))
    memory.add(_unit(3, 1), torch.tensor([4, 5, 6]))
    assert sorted(memory.products.tolist()) == [3, 4, 5, 6]


def test_a_margin_makes_the_task_harder() -> None:
    products = torch.arange(4)
    easy, hard = Proxies(4, 6, scale=16, margin=0.0), Proxies(4, 6, scale=16, margin=0.3)
    hard.load_state_dict(easy.state_dict())
    vectors = functional.normalize(easy.centres.detach(), dim=1)
    assert hard(vectors, products) > easy(vectors, products)


def test_structure_is_kept_by_a_rotation_and_lost_by_a_collapse() -> None:
    descriptors = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))
    kept = functional.normalize(descriptors @ rotation, dim=1)
    assert structure(kept, descriptors).item() == pytest.approx(0.0, abs=1e-10)
    assert structure(kept[:1].expand(9, -1), descriptors).item() > 0.5
