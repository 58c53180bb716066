"""Composites, crops and mattes: the boxes must be exact."""

import cv2
import numpy as np
import pytest

from offline.training.detector import matching, mattes, procedural
from offline.training.detector.composites import Scenes
from offline.training.detector.config import Mix, Model, Pictures, Recipe
from offline.training.detector.examples import Examples, cropped
from offline.training.detector.layout import layout_of
from offline.training.detector.library import Cutout, Library, Photo, held_out
from offline.training.detector.targets import Truth
from shiwu.categories import CATEGORIES
from shiwu.vision import boxes as geometry

NOTHING = np.zeros((0, 4), np.float32)
FOOD = CATEGORIES.index("food")
SIZE = 320


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
    first = next(iter(Examples(library(), Recipe(seed=1))))
    again = next(iter(Examples(library(), Recipe(seed=1))))
    other = next(iter(Examples(library(), Recipe(seed=1), start=50)))
    assert first[0].shape == (SIZE, SIZE, 3)
    assert len(first[1]) == len(layout_of(Model()).boxes(SIZE))
    assert all(bool((a == b).all()) for a, b in zip(first, again, strict=True))
    assert bool((first[0] != other[0]).any())


@pytest.mark.parametrize("seed", range(12))
def test_crops_carry_their_boxes(seed: int) -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[60:140, 100:220] = 255
    truth = Truth(np.array([[100, 60, 220, 140]], np.float32), np.array([FOOD]), NOTHING)
    region, kept = cropped(image, truth, np.random.default_rng(seed), 0.5, 320)
    boxes = np.concatenate([kept.boxes, kept.ignored])
    if (region > 127).any():
        np.testing.assert_allclose(boxes, mattes.box_of(region[..., 0] > 127), atol=1.5)
    else:
        assert not len(kept.boxes)


ONLY = {
    "mosaic": Mix(scene=0, pasted=0, boxed=0, mosaic=1, single=0),
    "boxed": Mix(scene=0, pasted=0, boxed=1, mosaic=0, single=0),
}


@pytest.mark.parametrize("kind", ["mosaic", "boxed"])
@pytest.mark.parametrize("seed", range(8))
def test_every_box_of_a_made_photo_holds_its_thing(kind: str, seed: int) -> None:
    made = library()
    photo = np.zeros((120, 160, 3), np.uint8)
    photo[20:80, 30:90] = 255
    made.boxed = made.single = [Photo(photo, made.boxed[0].truth, "white on black")]
    image, truth = Examples(made, Recipe(pictures=Pictures(mix=ONLY[kind]))).draw(np.random.default_rng(seed))
    gray = image.mean(axis=2)
    inside = np.zeros(gray.shape, bool)
    for x1, y1, x2, y2 in np.concatenate([truth.boxes, truth.ignored]).round().astype(int):
        inside[max(y1 - 2, 0) : y2 + 2, max(x1 - 2, 0) : x2 + 2] = True
    # Things stay the brightest whatever the camera does; canvas and border are gray, the photos' ground is black.
    assert not (gray[~inside] > 0.93 * gray.max()).mean() > 0.002
    for x1, y1, x2, y2 in truth.boxes.astype(int):
        assert gray[y1 + 4 : y2 - 4, x1 + 4 : x2 - 4].mean() > 0.6 * gray.max()


def test_without_multi_scale_a_photo_keeps_its_scale() -> None:
    pictures = Pictures(mix=ONLY["boxed"], multi_scale=False)
    examples = Examples(library(), Recipe(pictures=pictures))
    sizes = [np.ptp(examples.draw(np.random.default_rng(seed))[1].boxes.reshape(2, 2), axis=0) for seed in range(6)]
    np.testing.assert_allclose(sizes, 120, atol=1e-3)


def test_small_scenes_have_small_objects_only() -> None:
    made = library()
    scenes = Scenes(made, 160, made.cutouts, small=1.0)
    for seed in range(20):
        image, truth = scenes.make(np.random.default_rng(seed))
        assert (geometry.areas(truth.boxes) < 0.15 * image[..., 0].size).all()


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
    assert held_out(names, 0.2) < held_out(names, 0.7)
