"""The losses against slow and obvious versions."""

import math

import numpy as np
import pytest
import torch

from offline.training.detector.config import Loss, Model
from offline.training.detector.layout import layout_of
from offline.training.detector.loss import Losses, Targets, decode, focal_loss, generalised_iou, losses
from offline.training.detector.model import Heads
from shiwu.vision.points import PointGrid

GRID = layout_of(Model())
LAYOUTS = [GRID, PointGrid((8, 16))]
QUALITY = Loss(objectness="quality")


def of(heads: Heads, targets: Targets, anchors: torch.Tensor, recipe: Loss = QUALITY) -> Losses:
    return losses(heads, targets, anchors, GRID, recipe)


def slow_focal(logit: float, target: float, alpha: float, gamma: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    p_t, alpha_t = (p, alpha) if target == 1 else (1 - p, 1 - alpha)
    return -alpha_t * (1 - p_t) ** gamma * math.log(p_t)


def test_focal_loss_is_that_of_the_paper() -> None:
    logits = [-6.0, -1.5, 0.0, 0.3, 4.0]
    for target in (0.0, 1.0):
        got = focal_loss(torch.tensor(logits), torch.full((5,), target), 0.25, 2.0)
        want = [slow_focal(x, target, 0.25, 2.0) for x in logits]
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-4)


def test_focal_loss_of_a_soft_target_is_least_where_it_is_met() -> None:
    target = torch.full((99,), 0.7)
    at = torch.logit(torch.linspace(0.01, 0.99, 99))
    assert abs(torch.sigmoid(at[focal_loss(at, target, 0.25, 2.0).argmin()]).item() - 0.7) < 0.011


@pytest.mark.parametrize("layout", LAYOUTS)
def test_decode_agrees_with_numpy(layout) -> None:
    rng = np.random.default_rng(0)
    references = layout.boxes(64)
    deltas = rng.normal(0, 0.5, (len(references), 4)).astype(np.float32)
    want = layout.decode(deltas, references)
    got = decode(torch.tensor(deltas), torch.tensor(references), layout)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-5, atol=1e-4)


def test_generalised_iou_of_known_boxes() -> None:
    a = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 2, 2]])
    b = torch.tensor([[0.0, 0, 2, 2], [3, 0, 4, 1], [1, 0, 3, 2]])
    iou, giou = generalised_iou(a, b)
    np.testing.assert_allclose(iou.numpy(), [1, 0, 1 / 3], rtol=1e-6)
    # Apart: hull of 4, union of 2. Half over: hull equals union.
    np.testing.assert_allclose(giou.numpy(), [1, -0.5, 1 / 3], rtol=1e-6)


def test_ignored_anchors_teach_nothing() -> None:
    anchors = torch.tensor([[0.0, 0, 100, 100], [50, 50, 150, 150], [200, 200, 300, 300]])
    objectness = torch.tensor([[1.0, -1.0, 0.0]])
    targets = Targets(objectness, torch.tensor([[2, -1, -1]]), torch.zeros(1, 3, 4))
    heads = Heads(torch.zeros(1, 3), torch.zeros(1, 3, 11), torch.zeros(1, 3, 4))
    changed = Heads(torch.tensor([[0.0, 9.0, 0.0]]), heads.categories, heads.deltas)
    assert of(heads, targets, anchors) == of(changed, targets, anchors)
    assert of(heads, targets, anchors).boxes.item() < 1e-6
    assert math.isclose(of(heads, targets, anchors).categories.item(), math.log(11), rel_tol=1e-5)


def test_a_picture_of_nothing_gives_finite_of() -> None:
    anchors = torch.tensor([[0.0, 0, 100, 100]])
    targets = Targets(torch.zeros(1, 1), torch.full((1, 1), -1), torch.zeros(1, 1, 4))
    parts = of(Heads(torch.zeros(1, 1), torch.zeros(1, 1, 11), torch.zeros(1, 1, 4)), targets, anchors)
    assert all(math.isfinite(part.item()) for part in parts)
    assert parts.categories.item() == parts.boxes.item() == 0.0


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["quality", "focal", "cross-entropy"])
def test_each_loss_falls_to_what_it_asks_for(kind, layout) -> None:
    """Free outputs, no network: the box is met, objectness becomes the kind's target, the category is learnt."""
    references = torch.tensor(layout.boxes(64))
    chosen = len(references) // 2
    wanted = references[chosen].clone()
    wanted[2:] += 3.0
    objectness = torch.zeros(1, len(references))
    objectness[0, chosen] = 0.6
    categories = torch.full((1, len(references)), -1)
    categories[0, chosen] = 5
    deltas = torch.zeros(1, len(references), 4)
    deltas[0, chosen] = torch.tensor(layout.encode(wanted[None].numpy(), references[[chosen]].numpy()))[0]
    targets = Targets(objectness, categories, deltas)
    free = [
        torch.zeros(shape, requires_grad=True) for shape in (objectness.shape, (*objectness.shape, 11), deltas.shape)
    ]
    optimizer = torch.optim.Adam(free, lr=0.1)
    # Falling, so that where it ends is not where an oscillation happens to be.
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
    totals = []
    for _ in range(400):
        parts = losses(Heads(*free), targets, references, layout, Loss(objectness=kind))
        total = sum(parts)
        totals.append(total.item())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        falling.step()
    assert totals[-1] < 0.2 * totals[0]
    reached = torch.sigmoid(free[0][0, chosen]).item()
    if kind == "quality":
        assert abs(reached - 0.6) < 0.05
    else:
        assert reached > 0.8
    assert free[1][0, chosen].argmax().item() == 5
    box = decode(free[2][0, [chosen]], references[[chosen]], layout)
    assert generalised_iou(box, wanted[None])[0].item() > 0.9
