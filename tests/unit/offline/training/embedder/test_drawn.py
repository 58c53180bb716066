"""Pictures that are drawn: covers by program, and the same objects in several houses' styles."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from offline.training.embedder.covers import SIDE, family
from offline.training.embedder.drawings import STYLES, drawings
from offline.training.embedder.failures import draw_failures
from offline.training.embedder.measure import Embedders
from offline.training.embedder.retrieval import Vectors
from shiwu.vision.resize import Image

_ART = [np.random.default_rng(5).integers(0, 256, (30, 20, 3), dtype=np.uint8)]


def test_a_family_is_drawn_the_same_for_the_same_seed() -> None:
    for one, other in zip(family(np.random.default_rng(3), _ART), family(np.random.default_rng(3), _ART), strict=True):
        np.testing.assert_array_equal(one, other)


def test_fronts_are_rgb_pictures_of_one_size_per_family() -> None:
    for seed in range(20):
        fronts = family(np.random.default_rng(seed), _ART)
        assert 1 <= len(fronts) <= 4
        assert len({front.shape for front in fronts}) == 1
        assert max(fronts[0].shape[:2]) == SIDE
        assert fronts[0].dtype == np.uint8


def test_siblings_are_more_alike_than_strangers() -> None:
    families = [family(np.random.default_rng(seed), _ART) for seed in range(40)]
    small = [[cv2.resize(front, (16, 16)).astype(float) for front in fronts] for fronts in families]
    within = [np.abs(a - b).mean() for fronts in small for a, b in itertools.combinations(fronts, 2)]
    across = [np.abs(a[0] - b[0]).mean() for a, b in itertools.combinations(small, 2)]
    assert np.mean(within) < 0.6 * np.mean(across)


def test_drawings_pair_styles_by_code_point_and_hold_out_what_a_shop_sells(tmp_path: Path) -> None:
    table = [
        {"unified": "1F45F", "non_qualified": None, "category": "Objects"},
        {"unified": "1F986", "non_qualified": None, "category": "Animals & Nature"},
        {"unified": "2764-FE0F", "non_qualified": "2764", "category": "Symbols"},
        {"unified": "1F697", "non_qualified": None, "category": "Travel & Places"},
        {"unified": "1F000", "non_qualified": None, "category": "Activities"},
    ]
    drawn = {
        "fluent": ("1f45f.webp", "1f986.webp", "2764.webp", "1f697.webp"),
        "google": ("1f45f.png", "1f986.png", "2764-fe0f.png", "1f697.png", "1f000.png"),
    }
    for style, names in drawn.items():
        folder = tmp_path / STYLES[style]
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).touch()
    (tmp_path / "emoji-datasource-google" / "emoji.json").write_text(json.dumps(table))

    found = list(drawings(tmp_path))

    assert {(d.object, d.style) for d in found} == set(
        itertools.product(("1f45f", "1f986", "2764-fe0f", "1f697"), ("fluent", "google"))
    ), "an object of one style only is of no use"
    assert {d.object for d in found if d.held_out} == {"1f45f", "1f697"}
    assert {d.object for d in found if d.measured} == {"1f45f"}


def test_no_drawings_without_the_packages(tmp_path: Path) -> None:
    assert not list(drawings(tmp_path))


def test_the_sheet_of_failures_shows_query_answer_and_truth(tmp_path: Path) -> None:
    def by_mean_colour(images: Sequence[Image]) -> Vectors:
        means = np.stack([image.reshape(-1, 3).mean(axis=0) for image in images]).astype(np.float32)
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)

    count = draw_failures(Embedders(by_mean_colour, by_mean_colour), (), tmp_path / "failures.jpg")

    sheet = cv2.imread(str(tmp_path / "failures.jpg"))
    assert count > 5, "mean colour alone cannot tell covers apart"
    assert sheet is not None
    assert sheet.shape == (5 * 96, 3 * 96, 3)
