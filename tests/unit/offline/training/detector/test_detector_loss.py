"""The losses against slow and obvious versions."""

import math

import numpy as np
import torch

from offline.training.detector.loss import Targets, decode, focal_loss, generalised_iou, losses, prominence
from offline.training.detector.model import Heads
from shiwu.vision import boxes as geometry


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
    assert abs(torch.sigmoid(at[focal_loss(at, target).argmin()]).item() - 0.7) < 0.011


def test_decode_agrees_with_numpy() -> None:
    rng = np.random.default_rng(0)
    anchors = np.array([[10, 10, 50, 40], [0, 0, 100, 200]], np.float32)
    deltas = rng.normal(0, 0.5, (2, 4)).astype(np.float32)
    want = geometry.decode(deltas, anchors)
    np.testing.assert_allclose(decode(torch.tensor(deltas), torch.tensor(anchors)).numpy(), want, rtol=1e-5)


def test_generalised_iou_of_known_boxes() -> None:
    a = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 2, 2]])
    b = torch.tensor([[0.0, 0, 2, 2], [3, 0, 4, 1], [1, 0, 3, 2]])
    iou, giou = generalised_iou(a, b)
    np.testing.assert_allclose(iou.numpy(), [1, 0, 1 / 3], rtol=1e-6)
    # Apart: hull of 4, union of 2. Half over: hull equals union.
    np.testing.assert_allclose(giou.numpy(), [1, -0.5, 1 / 3], rtol=1e-6)


def test_prominence_grows_with_size() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 60, 60], [0, 0, 300, 300]])
    small, middle, big = prominence(boxes).tolist()
    assert math.isclose(small, 0.4, rel_tol=1e-6)
    assert small < middle < big == 1.0


def test_ignored_anchors_teach_nothing() -> None:
    anchors = torch.tensor([[0.0, 0, 100, 100], [50, 50, 150, 150], [200, 200, 300, 300]])
    objectness = torch.tensor([[1.0, -1.0, 0.0]])
    targets = Targets(objectness, torch.tensor([[2, -1, -1]]), torch.zeros(1, 3, 4))
    heads = Heads(torch.zeros(1, 3), torch.zeros(1, 3, 11), torch.zeros(1, 3, 4))
    changed = Heads(torch.tensor([[0.0, 9.0, 0.0]]), heads.categories, heads.deltas)
    assert losses(heads, targets, anchors) == losses(changed, targets, anchors)
    assert losses(heads, targets, anchors).boxes.item() < 1e-6
    assert math.isclose(losses(heads, targets, anchors).categories.item(), math.log(11), rel_tol=1e-5)


def test_a_picture_of_nothing_gives_finite_losses() -> None:
    anchors = torch.tensor([[0.0, 0, 100, 100]])
    targets = Targets(torch.zeros(1, 1), torch.full((1, 1), -1), torch.zeros(1, 1, 4))
    parts = losses(Heads(torch.zeros(1, 1), torch.zeros(1, 1, 11), torch.zeros(1, 1, 4)), targets, anchors)
    assert all(math.isfinite(part.item()) for part in parts)
    assert parts.categories.item() == parts.boxes.item() == 0.0
