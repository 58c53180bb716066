"""Composites, crops and mattes: the boxes must be exact."""

import cv2
import numpy as np
import pytest

from offline.training.detector import matching, mattes, procedural
from offline.training.detector.composites import Scenes
from offline.training.detector.examples import Examples, cropped
from offline.training.detector.library import Cutout, Library, Photo, held_out
from offline.training.detector.model import GRID, SIZE
from offline.training.detector.targets import Truth
from shiwu.categories import CATEGORIES

NOTHING = np.zeros((0, 4), np.float32)
FOOD = CATEGORIES.index("food")


def library() -> Library:
    rng = np.random.default_rng(0)
    disc = np.zeros((60, 60), np.uint8)
    cv2.circle(disc, (30, 30), 29, 255, -1)
    red = np.full((60, 60, 3), (230, 20, 20), np.uint8)
    background = rng.integers(90, 110, (120, 160, 3)).astype(np.uint8)
    truth = Truth(np.array([[30, 20, 90, 80]], np.float32), np.array([FOOD]), NOTHING)
    return Library(
        backgrounds=[background],
        cutouts=[Cutout(red, disc, FOOD, "disc")],
        negatives=[Cutout(red[::-1], disc, -2, "animal")],
        boxed=[Photo(background, truth, "a")],
        single=[Photo(background, truth, "b")],
    )


def test_a_scene_is_boxed_exactly() -> None:
    made = library()
    made.negatives.clear()
    scenes = Scenes(made, 160, made.cutouts)
    checked = 0
    for seed in range(40):
        image, truth = scenes.make(np.random.default_rng(seed))
        assert max(image.shape) == 160
        if len(truth.boxes) != 1 or len(truth.ignored):
            continue
        # The only red thing, as far as a camera leaves it red.
        red = image[..., 0].astype(int) - image[..., 1].astype(int) > 40
        red = cv2.morphologyEx(red.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
        corners = mattes.box_of(red)[0] if red.any() else truth.boxes[0] + 99
        if np.abs(corners - truth.boxes[0]).max() < 5:
            checked += 1
        assert truth.categories.tolist() == [FOOD]
    assert checked >= 8


def test_examples_repeat_with_the_seed_and_differ_without() -> None:
    first = next(iter(Examples(library(), seed=1)))
    again = next(iter(Examples(library(), seed=1)))
    other = next(iter(Examples(library(), seed=1, start=50)))
    assert first[0].shape == (SIZE, SIZE, 3)
    assert len(first[1]) == len(GRID.boxes(SIZE))
    assert all(bool((a == b).all()) for a, b in zip(first, again, strict=True))
    assert bool((first[0] != other[0]).any())


@pytest.mark.parametrize("seed", range(12))
def test_crops_carry_their_boxes(seed: int) -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[60:140, 100:220] = 255
    truth = Truth(np.array([[100, 60, 220, 140]], np.float32), np.array([FOOD]), NOTHING)
    region, kept = cropped(image, truth, np.random.default_rng(seed), 0.5)
    boxes = np.concatenate([kept.boxes, kept.ignored])
    if (region > 127).any():
        np.testing.assert_allclose(boxes, mattes.box_of(region[..., 0] > 127), atol=1.5)
    else:
        assert not len(kept.boxes)


def test_on_white_finds_what_is_not_white_and_keeps_white_inside() -> None:
    image = np.full((80, 100, 3), 254, np.uint8)
    cv2.rectangle(image, (20, 10), (70, 60), (40, 90, 20), 4)
    mask = mattes.on_white(image)
    np.testing.assert_allclose(mattes.box_of(mask)[0], [18, 8, 73, 63], atol=1)
    assert mask[35, 45]
    assert not mask[70, 90]


def test_by_contrast_finds_the_thing_on_a_floor() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(150, 6, (180, 140, 3)).clip(0, 255).astype(np.uint8)
    image[50:130, 40:100] = rng.normal(60, 10, (80, 60, 3)).clip(0, 255).astype(np.uint8)
    matte = mattes.by_contrast(image)
    assert matte is not None
    np.testing.assert_allclose(mattes.box_of(matte.mask)[0], [40, 50, 100, 130], atol=4)
    assert matte.agreement > 0.8
    assert matte.contact == 0.0


def test_matching_finds_a_printed_pack_and_refuses_another() -> None:
    rng = np.random.default_rng(3)

    def pack() -> np.ndarray:
        front = rng.integers(0, 256, (30, 20, 3)).astype(np.uint8)
        return np.asarray(cv2.resize(front, (120, 180), interpolation=cv2.INTER_CUBIC).clip(0, 240), np.uint8)

    shop = np.full((220, 160, 3), 255, np.uint8)
    shop[20:200, 20:140] = wanted = pack()
    template = matching.template(shop)
    assert template is not None
    photo = np.full((300, 300, 3), 128, np.uint8)
    photo[60:240, 110:230] = wanted
    box = matching.locate(photo, template)
    assert box is not None
    np.testing.assert_allclose(box[0], [110, 60, 230, 240], atol=4)
    photo[60:240, 110:230] = pack()
    assert matching.locate(photo, template) is None
    assert matching.template(np.full((90, 90, 3), 255, np.uint8)) is None


def test_drawn_packages_fill_their_frame() -> None:
    picture = np.full((50, 50, 3), 90, np.uint8)
    for seed in range(20):
        drawn = procedural.package(np.random.default_rng(seed), picture, book=seed % 2 == 0)
        assert drawn.pixels.shape[:2] == drawn.alpha.shape
        assert drawn.category == (CATEGORIES.index("books") if seed % 2 == 0 else -1)
        assert (drawn.alpha > 0).mean() > 0.5


def test_the_held_out_photos_are_fixed() -> None:
    names = [f"{i:03}" for i in range(40)]
    assert held_out(names) == held_out(names[::-1])
    assert len(held_out(names)) == 18
