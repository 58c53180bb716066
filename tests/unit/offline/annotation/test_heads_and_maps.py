"""The two trainers on ImageNet's features: heads learn boxes, maps learn from categories alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from offline.annotation.cam import CamTrainer, box_of_map
from offline.annotation.config import Heads
from offline.annotation.features import FrozenFeatures
from offline.annotation.heads import HeadTrainer, RandomOrder
from offline.annotation.material import Boxed
from offline.training.detector.measures import Case, average_precision
from offline.training.detector.targets import Truth
from shiwu.vision.resize import Image

torch.set_num_threads(1)
NOTHING = np.zeros((0, 4), np.float32)


def scene(seed: int) -> tuple[Image, Truth]:
    """A bright disc-like or striped square somewhere on dark noise, (120, 160)."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 60, (120, 160, 3)).astype(np.uint8)
    x, y, side, category = *rng.integers(0, 60, 2), int(rng.integers(40, 60)), seed % 2
    picture[y : y + side, x : x + side] = (250, 240, 60) if category else (60, 120, 250)
    if category:
        picture[y : y + side : 8, x : x + side] = 0
    return picture, Truth(np.array([[x, y, x + side, y + side]], np.float32), np.array([category]), NOTHING)


SCENES = {f"{i}": scene(i) for i in range(12)}
PICTURES = {name: picture for name, (picture, _) in SCENES.items()}
BOXED = [Boxed(name, truth) for name, (_, truth) in SCENES.items()]
HEADS = Heads(channels=16, depth=1, steps=60, batch=4, rate=5e-3)


@pytest.fixture(scope="module")
def heads() -> HeadTrainer:
    return HeadTrainer(PICTURES.__getitem__, 2, HEADS)


@pytest.fixture(scope="module")
def cam() -> CamTrainer:
    return CamTrainer(PICTURES.__getitem__, 2, kept=20)


def test_heads_learn_boxes_and_come_back_from_a_file(heads: HeadTrainer, tmp_path: Path) -> None:
    model = heads.train(BOXED[:8], seed=0)
    unseen = BOXED[8:]
    found = heads.predict(model, [each.picture for each in unseen])
    cases = [Case(160, 120, each.truth, one) for each, one in zip(unseen, found, strict=True)]
    assert average_precision(cases).value > 0.5
    heads.save(model, tmp_path)
    assert (tmp_path / "heads.pt").stat().st_size < 2**20  # without the backbone
    again = HeadTrainer(PICTURES.__getitem__, 2, HEADS)
    for a, b in zip(found, again.predict(again.load(tmp_path), [each.picture for each in unseen]), strict=True):
        np.testing.assert_allclose(a.boxes, b.boxes, atol=0.01)
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)


def test_the_same_boxes_and_seed_give_the_same_heads() -> None:
    few = HEADS.model_copy(update={"steps": 3})
    states = []
    for seed in (1, 1, 2):
        trainer = HeadTrainer(PICTURES.__getitem__, 2, few)
        states.append(trainer.train(BOXED[:4], seed).state_dict()["objectness.weight"])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_features_of_the_mirrored_picture_and_no_more_kept_than_allowed() -> None:
    reads: list[str] = []

    def read(name: str) -> Image:
        reads.append(name)
        return PICTURES["0"] if name == "upright" else np.ascontiguousarray(PICTURES["0"][:, ::-1])

    features = FrozenFeatures(read, 192, kept=1)
    for a, b in zip(features("upright").view(mirrored=True), features("mirrored").view(mirrored=False), strict=True):
        torch.testing.assert_close(a, b)
    features("upright"), features("mirrored")
    assert reads == ["upright", "mirrored", "mirrored"]


def test_every_picture_comes_once_before_any_comes_again() -> None:
    order = RandomOrder(5, np.random.default_rng(0))
    taken = [i for _ in range(10) for i in order.take(3)]
    assert all(sorted(taken[i : i + 5]) == [0, 1, 2, 3, 4] for i in range(0, 30, 5))


@pytest.mark.slow
def test_maps_learn_categories_and_never_see_boxes(cam: CamTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offline.annotation.cam._STEPS", 25)
    model = cam.train(BOXED[:8], seed=0)
    moved = [
        Boxed(b.picture, Truth(np.array([[0, 0, 9, 9]], np.float32), b.truth.categories, NOTHING)) for b in BOXED[:8]
    ]
    for a, b in zip(model.state_dict().values(), cam.train(moved, seed=0).state_dict().values(), strict=True):
        assert torch.equal(a, b)
    for each in BOXED[8:]:
        _, odds = cam.maps(model, each.picture)
        assert odds.argmax() == each.truth.categories[0]
    (found,) = cam.predict(model, [BOXED[8].picture])
    assert found.categories.tolist() == sorted(set(found.categories.tolist()))  # one box a category, never two
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [160, 120, 160, 120]).all()


def test_the_box_of_a_map_goes_around_its_largest_part() -> None:
    activation = np.full((8, 8), -1.0, np.float32)
    activation[1:4, 1:5] = 9.0
    activation[6, 6] = 10.0
    x1, y1, x2, y2 = box_of_map(activation, 80)[0]
    np.testing.assert_allclose([x1, y1, x2, y2], [10, 10, 50, 40], atol=6)
    assert box_of_map(np.full((8, 8), -1.0, np.float32), 80)[0].tolist() == [0, 0, 80, 80]  # nowhere: anywhere
