"""The trunk and the heads that COCO taught, and those trained beside them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from offline.training.backbone import normalise
from offline.training.detector import coco, export
from offline.training.detector.both import BothHeads, Line, meanings_of
from offline.training.detector.config import Loss, Model, Optimisation, Recipe
from offline.training.detector.layout import layout_of
from offline.training.detector.loss import forgotten
from offline.training.detector.model import RetinaNet, scores_of
from offline.training.detector.targets import Truth, assign
from offline.training.detector.train import Trainer
from shiwu.categories import CATEGORIES
from shiwu.inference.manifest import read_manifest
from shiwu.vision.corners import CornerGrid
from tests.unit.offline.training.detector.coco_weights import coco_weights, write_package

torch.set_num_threads(1)
MODEL = Model(size=192, fit="stretch", coco=Path("somewhere"))
KINDS = {f"kind {i}": (i % 3) - 1 for i in range(80)}  # a third is no product, the others are shoes and bags


@pytest.fixture(scope="module")
def trunk() -> coco.Ssdlite:
    return coco.Ssdlite(coco_weights()).eval()


@pytest.fixture(scope="module")
def net(trunk: coco.Ssdlite) -> RetinaNet:
    torch.manual_seed(0)
    return RetinaNet(trunk, layout_of(MODEL), channels=16, depth=1).eval()


def images(count: int = 2) -> torch.Tensor:
    return torch.randint(0, 256, (count, 192, 192, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_maps_halve_down_to_one_cell(trunk: coco.Ssdlite) -> None:
    features = trunk.pyramid(torch.rand(1, 3, 320, 320))
    assert [tuple(x.shape[1:]) for x in features] == [(192, 40, 40), (576, 20, 20), (1280, 10, 10)]
    logits, boxes = trunk.heads(features)
    cells = [(20, 3), (10, 6), (5, 6), (3, 6), (2, 6), (1, 6)]
    assert logits.shape == (1, sum(side**2 * each for side, each in cells), 91)
    assert boxes.shape == (1, logits.shape[1], 4)


@pytest.mark.parametrize(("side", "before", "after"), [(10, 0, 1), (5, 1, 1), (3, 1, 1), (2, 0, 1)])
def test_padding_is_that_of_tensorflow(side: int, before: int, after: int) -> None:
    x = torch.rand(1, 1, side, side)
    torch.testing.assert_close(coco._padded(x, 3, 2), functional.pad(x, (before, after, before, after)))
    torch.testing.assert_close(coco._padded(x, 3, 1), functional.pad(x, (1, 1, 1, 1)))
    assert coco._padded(x, 1, 1) is x


def test_references_are_ssds() -> None:
    """Middle, width and height of the first cell's boxes on the first two maps, and that nothing coded means these."""
    found = coco.references((2, 1))
    assert found.shape == (2 * 2 * 3 + 6, 4)
    wanted = [
        [0.25, 0.25, 0.1, 0.1],
        [0.25, 0.25, 0.2 * 2**0.5, 0.2 / 2**0.5],
        [0.25, 0.25, 0.2 / 2**0.5, 0.2 * 2**0.5],
    ]
    torch.testing.assert_close(found[:3], torch.tensor(wanted))
    torch.testing.assert_close(found[-1], torch.tensor([0.5, 0.5, (0.35 * 0.5) ** 0.5, (0.35 * 0.5) ** 0.5]))
    torch.testing.assert_close(found[12], torch.tensor([0.5, 0.5, 0.35, 0.35]))
    corners = coco.decoded(torch.zeros(1, 18, 4), found)
    torch.testing.assert_close(corners[0, 0], torch.tensor([0.2, 0.2, 0.3, 0.3]))


def test_a_coded_box_moves_by_tenths_and_grows_by_fifths() -> None:
    """The coded numbers are those of y, x, height, width."""
    box = coco.decoded(torch.tensor([[1.0, 2.0, 5.0, 0.0]]), torch.tensor([[0.5, 0.5, 0.2, 0.4]]))[0]
    middle, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    torch.testing.assert_close(middle, torch.tensor([0.5 + 0.2 * 0.2, 0.5 + 0.1 * 0.4]))
    torch.testing.assert_close(size, torch.tensor([0.2, 0.4 * float(np.e)]))


def test_the_package_is_read(tmp_path: Path, trunk: coco.Ssdlite) -> None:
    write_package(tmp_path, coco_weights())
    x = torch.rand(1, 3, 64, 64)
    for got, want in zip(coco.load_coco(tmp_path).pyramid(x), trunk.pyramid(x), strict=True):
        torch.testing.assert_close(got, want)


def test_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"does not hold SSDLite.*model\.json"):
        coco.load_coco(tmp_path)
    weights = coco_weights()
    del weights["BoxPredictor_5/ClassPredictor/biases"]
    write_package(tmp_path, weights)
    with pytest.raises(ValueError, match="BoxPredictor_5/ClassPredictor/biases"):
        coco.load_coco(tmp_path)


def test_only_the_heads_learn(net: RetinaNet) -> None:
    heads = net.train()(images())
    (heads.objectness.sum() + heads.categories.square().sum() + heads.deltas.square().sum()).backward()
    assert all(p.grad is None for p in net.backbone.parameters())
    own = {name: p for name, p in net.named_parameters() if not name.startswith("backbone.")}
    assert [name for name, p in own.items() if p.grad is None or not p.grad.abs().max() > 0] == []
    net.eval()


def test_a_trunk_learns_from_the_block_on_that_is_said() -> None:
    trunk = coco.Ssdlite(coco_weights())
    trunk.freeze(7)
    logits, boxes = trunk.heads(trunk.pyramid(torch.rand(1, 3, 64, 64)))
    (logits.square().mean() + boxes.mean()).backward()
    learning = {
        name.split(".")[0] + "." + name.split(".")[1] for name, p in trunk.named_parameters() if p.grad is not None
    }
    assert learning == {f"blocks.{i}" for i in range(7, 17)} | {"last.conv"}


def test_what_is_forgotten_is_nothing_at_first() -> None:
    logits, boxes = torch.randn(2, 30, 91), torch.rand(2, 30, 4)
    assert forgotten((logits, boxes), (logits, boxes)).abs() < 1e-4
    assert forgotten((logits + 0.5, boxes), (logits, boxes)) > 0.1


def test_a_box_that_was_sure_must_stay_more_than_one_that_was_not() -> None:
    logits, boxes = torch.full((1, 2, 91), -9.0), torch.zeros(1, 2, 4)
    logits[0, 0, 5] = 4.0
    logits[0, 1, 5] = -3.0
    moved = [boxes.clone(), boxes.clone()]
    for i, each in enumerate(moved):
        each[0, i] = 0.1
    sure, unsure = (forgotten((logits, each), (logits, boxes)).item() for each in moved)
    odds = torch.sigmoid(torch.tensor([4.0, -3.0])).tolist()
    assert sure / unsure == pytest.approx(odds[0] / odds[1], rel=1e-3)


@pytest.mark.slow
def test_training_moves_the_trunk_and_keeps_what_it_knew(tmp_path: Path) -> None:
    """Where what COCO taught weighs much, its heads answer more as before than where it weighs little."""
    write_package(tmp_path, coco_weights())
    before = coco.load_coco(tmp_path)
    examples, layout = images(), layout_of(MODEL)
    truth = Truth(np.array([[40, 40, 140, 150]], np.float32), np.array([3]), np.zeros((0, 4), np.float32))
    answer = assign(truth, layout, layout.boxes(192))
    parts = (answer.objectness, answer.categories, answer.deltas)
    targets = [torch.from_numpy(part)[None].expand(2, *part.shape) for part in parts]
    left = []
    for weight in (0.01, 100.0):
        model = MODEL.model_copy(update={"coco": tmp_path, "frozen_blocks": 7})
        optimisation = Optimisation(steps=8, batch=2, warmup=1, backbone_rate=1e-3)
        trainer = Trainer(Recipe(model=model, loss=Loss(taught=weight), optimisation=optimisation))
        for _ in range(6):
            trainer.learn((examples, *targets))
        after = trainer.net.backbone
        assert isinstance(after, coco.Ssdlite)
        state, old = after.state_dict(), before.state_dict()
        moved = {name.rsplit(".", 3)[0] for name in state if not torch.equal(state[name], old[name])}
        assert moved >= {"blocks.7", "blocks.16", "last"}
        assert all(name.startswith("last") or int(name.split(".")[1]) >= 7 for name in moved)
        with torch.no_grad():
            now, then = (each.heads(each.pyramid(normalise(examples))) for each in (after, before))
            left.append(forgotten(now, then).item())
    assert left[1] < left[0] / 2


def test_both_answer(net: RetinaNet) -> None:
    """First the trained heads, as their layout decodes them, then COCO's: as sure as their likeliest kind."""
    model, layout = BothHeads(net, MODEL, meanings_of(KINDS)).eval(), layout_of(MODEL)
    with torch.no_grad():
        scores, deltas = model(images())
        heads = net(images())
        logits, boxes = net.backbone.heads(net.features(images()))
    own = heads.objectness.shape[1]
    grid = CornerGrid(scores.shape[1])
    torch.testing.assert_close(scores[:, :own], scores_of(heads))
    decoded = layout.decode(heads.deltas[0].numpy(), layout.boxes(192))
    np.testing.assert_allclose(grid.decode(deltas[0].numpy(), grid.boxes(192))[:own], decoded, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(deltas[:, own:], boxes)
    taught = scores[:, own:]
    shoes, bags = (
        torch.sigmoid(logits[..., [o for o, kind in zip(coco.KIND_IDS, KINDS.values(), strict=True) if kind == i]])
        for i in (0, 1)
    )
    best = torch.maximum(shoes.amax(-1), bags.amax(-1))
    torch.testing.assert_close(taught.amax(-1), best)
    torch.testing.assert_close(taught[..., 0] * bags.sum(-1), taught[..., 1] * shoes.sum(-1), rtol=1e-3, atol=1e-4)
    assert (taught[..., 2:] == 0).all()
    assert len(CATEGORIES) == taught.shape[2]


def test_a_kind_means_what_it_is_said_to() -> None:
    meanings = meanings_of({"cup": 1, "person": -1, "shoe": 0})
    assert meanings[:, :3].tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]
    assert not meanings[:, 3:].any()


def test_the_line_moves_what_coco_taught_only(net: RetinaNet) -> None:
    with torch.no_grad():
        plain = BothHeads(net, MODEL, meanings_of(KINDS)).eval()(images())[0]
        moved = BothHeads(net, MODEL, meanings_of(KINDS), Line(slope=2.0, shift=-1.0)).eval()(images())[0]
    own = len(layout_of(MODEL).boxes(192))
    torch.testing.assert_close(moved[:, :own], plain[:, :own])
    before, after = plain[:, own:, 0], moved[:, own:, 0]
    told = (
        (before == plain[:, own:].amax(-1)) & (before > 0.01) & (before < 0.99)
    )  # beyond, float32 no longer tells logits apart
    assert told.sum() > 20
    torch.testing.assert_close(torch.logit(after[told]), 2 * torch.logit(before[told]) - 1, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_a_release_decodes_its_boxes(net: RetinaNet, tmp_path: Path) -> None:
    model = BothHeads(net, MODEL, meanings_of(KINDS)).eval()
    manifest = export.release(model, MODEL, tmp_path, "3", 0.2, 0.5)
    assert read_manifest(tmp_path) == manifest
    assert manifest.id == "detector-ssdlite@3"
    assert manifest.preprocessing.fit == "stretch"
    assert manifest.grid == CornerGrid(manifest.outputs[0].shape[1])
    assert export.parity(model, tmp_path / "model.onnx", images(3).numpy()) < 1e-4
