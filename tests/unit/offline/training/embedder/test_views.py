from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from offline.training.embedder.pictures import Picture, over, read_picture, without_white
from offline.training.embedder.views import colourful, phone_view, photo_view, recoloured, shop_view

_SIZE = 64


def _picture(alpha: bool) -> Picture:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (90, 60, 3), dtype=np.uint8)
    mask = np.zeros((90, 60), np.uint8)
    mask[20:70, 10:50] = 255
    return Picture(rgb, mask if alpha else None)


_BACKGROUND = np.full((50, 70, 3), 90, np.uint8)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("kind", ["shop", "phone", "photo"])
def test_views_are_squares_that_the_seed_decides(kind: str, alpha: bool) -> None:
    picture = _picture(alpha)

    def make(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        if kind == "shop":
            return shop_view(picture, _SIZE, rng)
        return phone_view(picture, [_BACKGROUND], _SIZE, rng) if kind == "phone" else photo_view(picture, _SIZE, rng)

    for seed in range(20):
        view = make(seed)
        assert view.shape == (_SIZE, _SIZE, 3)
        assert view.dtype == np.uint8
        np.testing.assert_array_equal(view, make(seed))
    assert not np.array_equal(make(0), make(1))


def test_the_source_is_left_alone() -> None:
    picture = _picture(alpha=True)
    before = picture.rgb.copy()
    phone_view(picture, [_BACKGROUND], _SIZE, np.random.default_rng(0))
    recoloured(picture, 100)
    np.testing.assert_array_equal(picture.rgb, before)


def test_turning_hues_changes_a_garment_and_keeps_skin_and_gray() -> None:
    blue, skin, gray = (20, 40, 220), (224, 172, 140), (120, 120, 120)
    picture = Picture(np.array([[blue, skin, gray]], np.uint8), None)
    turned = recoloured(picture, 100).rgb[0]
    assert np.abs(turned[0].astype(int) - blue).max() > 100
    np.testing.assert_array_equal(turned[1], skin)
    np.testing.assert_allclose(turned[2], gray, atol=1)
    assert colourful(Picture(np.full((4, 4, 3), blue, np.uint8), None))
    assert not colourful(Picture(np.full((4, 4, 3), gray, np.uint8), None))


def test_white_ground_is_taken_away_and_white_inside_stays() -> None:
    rgb = np.full((60, 60, 3), 255, np.uint8)
    rgb[15:45, 15:45] = (200, 30, 30)
    rgb[25:35, 25:35] = 255
    cut = without_white(Picture(rgb, None))
    assert cut.alpha is not None
    assert cut.alpha[2, 2] == 0
    assert cut.alpha[30, 30] == 255
    scene = Picture(np.full((60, 60, 3), 80, np.uint8), None)
    assert without_white(scene) is scene


def test_reads_gray_and_transparent_files(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "gray.png"), np.full((4, 6), 9, np.uint8))
    cv2.imwrite(str(tmp_path / "cut.png"), np.dstack([np.full((8, 40, 3), (1, 2, 3)), np.full((8, 40), 7)]))
    assert read_picture(tmp_path / "gray.png", None).rgb.shape == (4, 6, 3)
    cut = read_picture(tmp_path / "cut.png", 20)
    assert cut.rgb.shape == (4, 20, 3)
    assert cut.rgb[0, 0].tolist() == [3, 2, 1]
    assert cut.alpha is not None
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(ValueError, match=r"text\.png"):
        read_picture(tmp_path / "text.png", None)


def test_over_mixes_by_opacity() -> None:
    black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    assert over(white, np.array([[51]], np.uint8), black)[0, 0].tolist() == [51, 51, 51]
