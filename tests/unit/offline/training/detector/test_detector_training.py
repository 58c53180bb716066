"""A few steps of training and the way to a released file, on a network without pretrained weights."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from offline.training.backbone import Backbone, normalise
from offline.training.detector import export, train
from offline.training.detector.config import Loss, Model, Optimisation, Recipe
from offline.training.detector.folding import fold_batch_norm
from offline.training.detector.layout import layout_of
from offline.training.detector.loss import Targets, losses
from offline.training.detector.model import Detector, Heads, RetinaNet, scores_of
from offline.training.detector.restart import load_released
from offline.training.detector.targets import Truth, assign
from shiwu.categories import CATEGORIES
from shiwu.inference.manifest import read_manifest

torch.set_num_threads(1)  # more of them wait for each other on a busy machine
MODEL = Model(size=192)
SIZE = MODEL.size
GRID = layout_of(MODEL)


def network(seed: int = 0, model: Model = MODEL) -> RetinaNet:
    torch.manual_seed(seed)
    backbone = Backbone()
    fold_batch_norm(backbone.eval())
    return RetinaNet(backbone, layout_of(model), channels=16, depth=1)


def with_head(head: str) -> Model:
    return Model.model_validate(MODEL.model_dump() | {"head": head})


def test_folding_changes_no_output() -> None:
    torch.manual_seed(0)
    backbone = Backbone()
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    backbone.eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        want = backbone.pyramid(image)
        fold_batch_norm(backbone)
        got = backbone.pyramid(image)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in backbone.modules())
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_outputs_follow_the_order_of_the_anchors() -> None:
    """An object's cell, ratio and scale must be where AnchorGrid says: the bias of one output channel shows."""
    net = network().eval()
    channel = 4  # ratio 1 of (0.5, 1, 2) times two scales: index 2 * ratio + scale
    with torch.no_grad():
        net.objectness.weight.zero_()
        net.objectness.bias.zero_()
        net.objectness.bias[channel] = 5.0
        logits = net(torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8)).objectness[0]
    chosen = GRID.boxes(SIZE)[logits.numpy() > 1]
    size = chosen[:, 2:] - chosen[:, :2]
    assert len(chosen) == len(GRID.boxes(SIZE)) / GRID.per_cell
    np.testing.assert_allclose(size[:, 1] / size[:, 0], 2.0, rtol=1e-4)
    np.testing.assert_allclose(np.sqrt(size.prod(axis=1))[0], 24.0 * SIZE / 320, rtol=1e-4)


def test_the_best_score_is_objectness_and_shares_are_probabilities() -> None:
    heads = network()(torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8))
    scores = scores_of(heads)
    assert scores.shape == (1, len(GRID.boxes(SIZE)), len(CATEGORIES))
    torch.testing.assert_close(scores.amax(2), torch.sigmoid(heads.objectness))
    torch.testing.assert_close(scores / scores.sum(2, keepdim=True), heads.categories.softmax(2))


@pytest.mark.parametrize("head", ["anchors", "points"])
def test_the_loss_falls_and_a_run_resumes(head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "build", lambda model: network(model=model))
    recipe = Recipe(
        model=with_head(head), optimisation=Optimisation(steps=14, batch=2, head_rate=5e-3, warmup=2, workers=0)
    )
    trainer = train.Trainer(recipe)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 80, (SIZE, SIZE, 3)).astype(np.uint8)
    image[48:144, 54:132] = 255
    truth = Truth(np.array([[54, 48, 132, 144]], np.float32), np.array([3]), np.zeros((0, 4), np.float32))
    layout = layout_of(recipe.model)
    answer = assign(truth, layout, layout.boxes(SIZE))
    one = (image, answer.objectness, answer.categories, answer.deltas)
    images, objectness, categories, deltas = (torch.from_numpy(np.stack([part, part])) for part in one)
    batch = (images, objectness, categories, deltas)
    totals = [sum(part.item() for part in trainer.learn(batch)) for _ in range(10)]
    assert totals[-1] < 0.8 * totals[0]
    trainer.save(tmp_path / train.CHECKPOINT)
    other = train.Trainer(recipe)
    other.load(tmp_path / train.CHECKPOINT)
    assert other.step == 10
    for a, b in zip(trainer.net.state_dict().values(), other.net.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b)
    assert sum(part.item() for part in other.learn(batch)) < totals[0]
    loaded = train.load_average([tmp_path / train.CHECKPOINT], recipe.model)
    torch.testing.assert_close(loaded.state_dict(), trainer.average.state_dict())
    other.save(tmp_path / "later.pt")
    blended = train.load_average([tmp_path / train.CHECKPOINT, tmp_path / "later.pt"], recipe.model).state_dict()
    for name, value in blended.items():
        ends = (trainer.average.state_dict()[name], other.average.state_dict()[name])
        if value.is_floating_point():
            torch.testing.assert_close(value, sum(ends) / 2)


@pytest.mark.parametrize(("head", "kind"), [("anchors", "quality"), ("anchors", "focal"), ("points", "cross-entropy")])
def test_gradients_reach_every_parameter_that_is_trained(head, kind) -> None:
    layout = layout_of(with_head(head))
    net = network(model=with_head(head))
    net.backbone.freeze(5)
    truth = Truth(
        np.array(
            [[8, 8, 56, 56], [20, 60, 44, 84], [80, 60, 176, 156], [20, 20, 170, 170], [0, 0, 192, 192]], np.float32
        ),
        np.array([3, 7, 1, 2, 4]),
        np.zeros((0, 4), np.float32),
    )
    answer = assign(truth, layout, layout.boxes(SIZE))
    targets = Targets(*(torch.from_numpy(part)[None] for part in (answer.objectness, answer.categories, answer.deltas)))
    heads: Heads = net.train()(torch.randint(0, 255, (1, SIZE, SIZE, 3), dtype=torch.uint8).expand(2, -1, -1, -1))
    both = Targets(*(part.expand(2, *part.shape[1:]) for part in targets))
    sum(losses(heads, both, torch.from_numpy(layout.boxes(SIZE)), layout, Loss(objectness=kind))).backward()
    # The backbone's last convolution serves classifiers, not pyramids.
    trained = {n: p for n, p in net.named_parameters() if p.requires_grad and not n.startswith("backbone.head")}
    assert [name for name, p in trained.items() if p.grad is None or not p.grad.abs().max() > 0] == []
    frozen = [p for n, p in net.named_parameters() if n.startswith(("backbone.stem", "backbone.blocks.4"))]
    assert frozen
    assert all(p.grad is None for p in frozen)


@pytest.mark.slow
def test_training_goes_on_from_a_release(tmp_path: Path) -> None:
    """The network computes what the file does, with running statistics and, nearly, with the pictures' own."""
    trained = network(1)
    with torch.no_grad():
        # Equal constants, as untrained norms and biases have, would share one name in the file.
        for value in trained.state_dict().values():
            if value.ndim == 1:
                value.add_(torch.rand_like(value) * 0.2)
    model = Detector(trained).eval()
    export.release(model, MODEL, tmp_path, "1", 0.2, 0.5)
    net = network(2)
    images = torch.randint(0, 255, (3, 64, 64, 3), dtype=torch.uint8)
    missing = load_released(net, tmp_path, images)
    assert all(name.startswith("backbone.head") for name in missing)
    with torch.no_grad():
        for got, want in zip(Detector(net).eval()(images), model(images), strict=True):
            torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4)
        features = net.backbone.pyramid(normalise(images))
        want, got = net.pyramid(*features)[0], net.pyramid.train()(*features)[0]
    torch.testing.assert_close(got, want, rtol=0.05, atol=0.02 * want.abs().max().item())
    other = network(2, with_head("points"))
    missing = load_released(other, tmp_path, images)
    assert {name.split(".")[0] for name in missing} == {"backbone", "objectness", "categories", "deltas"}


@pytest.mark.slow
@pytest.mark.parametrize("head", ["anchors", "points"])
def test_a_release_is_what_its_manifest_says(head, tmp_path: Path) -> None:
    recipe = with_head(head)
    model = Detector(network(model=recipe)).eval()
    manifest = export.release(model, recipe, tmp_path, "7", 0.2, 0.5)
    assert manifest.grid == layout_of(recipe)
    assert read_manifest(tmp_path) == manifest
    assert manifest.id == "detector-lite0@7"
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert [put.name for put in graph.input] == ["image"]
    assert [put.name for put in graph.output] == ["scores", "deltas"]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param
    images = np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)
    assert export.parity(model, tmp_path / "model.onnx", images) < 1e-4
    assert not any(node.op_type == "NonMaxSuppression" for node in graph.node)
