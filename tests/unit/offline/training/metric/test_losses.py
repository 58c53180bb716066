from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional

from offline.training.metric import losses
from offline.training.metric.config import Classification, Ranking
from offline.training.metric.objective import Trend

_PRODUCTS = torch.arange(4).repeat_interleave(4)
_CLASSIFIERS = ["softmax", "normalised", "sphereface", "cosface", "arcface", "subcentre"]


def _vectors(dimension: int = 8) -> torch.Tensor:
    return torch.randn(16, dimension, generator=torch.Generator().manual_seed(0))


def _lowers(loss: torch.nn.Module) -> torch.Tensor:
    """Gradient descent on the vectors and the loss' own parameters lowers it; returns the vectors."""
    torch.manual_seed(0)
    vectors = _vectors().requires_grad_()
    optimiser = torch.optim.Adam([vectors, *loss.parameters()], lr=0.1)
    values = []
    for _ in range(100):
        optimiser.zero_grad()
        value = loss(vectors, _PRODUCTS)
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values[-1] < 0.5 * values[0]
    return vectors.detach()


def _sorts(loss: torch.nn.Module) -> None:
    """And every vector's nearest neighbour is of its product."""
    unit = functional.normalize(_lowers(loss), dim=1)
    nearest = (unit @ unit.T).fill_diagonal_(-2).argmax(dim=1)
    assert torch.equal(_PRODUCTS[nearest], _PRODUCTS)


@pytest.mark.parametrize("kind", _CLASSIFIERS)
def test_classifiers_lower_their_objective(kind: str) -> None:
    torch.manual_seed(0)
    loss = losses.classifier(Classification.model_validate({"kind": kind}), 4, 8)
    assert loss.get_logits(_vectors()).shape == (16, 4)
    vectors = _lowers(loss)
    assert torch.equal(loss.get_logits(vectors).argmax(dim=1), _PRODUCTS)


@pytest.mark.parametrize("memory", [0, 32])
@pytest.mark.parametrize("kind", ["contrastive", "triplet", "lifted"])
def test_ranking_losses_lower_their_objective(kind: str, memory: int) -> None:
    _sorts(losses.ranking(Ranking.model_validate({"kind": kind, "memory": memory}), 8))


@pytest.mark.parametrize("kind", ["sphereface", "cosface", "arcface"])
def test_a_margin_makes_the_task_harder(kind: str) -> None:
    def at(margin: float) -> float:
        torch.manual_seed(0)
        loss = losses.classifier(Classification.model_validate({"kind": kind, "margin": margin}), 4, 8)
        return float(loss(_vectors(), _PRODUCTS).detach())

    easy, hard = (1, 4) if kind == "sphereface" else (0, 0.3)
    assert at(hard) > at(easy)


def test_a_cascade_agrees_with_a_loop() -> None:
    levels = (_vectors(4), _vectors(8)[:, 2:5], _vectors(6))
    expected, kept = 0.0, list(itertools.permutations(range(16), 2))
    for depth, level in enumerate(levels):
        unit = functional.normalize(level, dim=1)
        distance = {(a, b): float((unit[a] - unit[b]).norm()) for a, b in kept}
        same = [pair for pair in kept if _PRODUCTS[pair[0]] == _PRODUCTS[pair[1]]]
        other = [pair for pair in kept if _PRODUCTS[pair[0]] != _PRODUCTS[pair[1]]]
        for costs in ([distance[p] for p in same], [max(0.0, 1 - distance[p]) for p in other]):
            # The library leaves pairs that cost nothing out of the mean.
            costly = [cost for cost in costs if cost > 0]
            expected += sum(costly) / max(1, len(costly))
        share = (0.5, 0.4, 1.0)[depth]
        hard = sorted(same, key=lambda p: -distance[p])[: math.ceil(share * len(same))]
        kept = hard + sorted(other, key=lambda p: distance[p])[: math.ceil(share * len(other))]
    assert float(losses.cascade(levels, _PRODUCTS)) == pytest.approx(expected, rel=1e-4)


def test_a_cascade_lowers_every_level() -> None:
    class Cascade(torch.nn.Module):
        def forward(self, vectors: torch.Tensor, products: torch.Tensor) -> torch.Tensor:
            return losses.cascade((vectors[:, :4], vectors[:, 4:]), products)

    _sorts(Cascade())


def test_views_of_one_picture_are_drawn_together() -> None:
    _sorts(losses.instances(0.1))


def test_agreement_is_zero_between_equals_and_teaches_only_oneself() -> None:
    own, peer = _vectors(4).requires_grad_(), _vectors(4).requires_grad_()
    assert losses.agreement(own, peer, 2.0).item() == pytest.approx(0, abs=1e-6)
    losses.agreement(own, peer.flip(0), 2.0).backward()
    assert own.grad is not None
    assert peer.grad is None


def test_memory_keeps_its_place() -> None:
    how = Ranking(kind="contrastive", memory=20)
    first, second = losses.ranking(how, 8), losses.ranking(how, 8)
    first(_vectors(), _PRODUCTS)
    second.load_state_dict(first.state_dict())
    assert second.queue_idx == 16
    assert torch.equal(second(_vectors(), _PRODUCTS), first(_vectors(), _PRODUCTS))


def test_trend_weighs_what_moves_and_is_high() -> None:
    trend = Trend(2)
    trend.update(torch.tensor([1.0, 1.0]))
    assert trend.weights.tolist() == [1, 1]
    trend.update(torch.tensor([0.5, 2.0]))
    # Trends |change| / loss are 1 and 0.5, means .75; losses over their mean are 0.4 and 1.6.
    raw = torch.tensor([1 / 0.75 * 0.4, 0.5 / 0.75 * 1.6])
    torch.testing.assert_close(trend.weights, raw / raw.mean())
