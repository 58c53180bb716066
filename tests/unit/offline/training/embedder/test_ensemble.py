from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from offline.training.backbone import Backbone, normalise
from offline.training.embedder.__main__ import PREPROCESSING, release, released, restored
from offline.training.embedder.ensemble import COLOURS, DIMENSION, ColourPart, Ensemble, fitted
from offline.training.embedder.measure import squares
from offline.training.embedder.model import build
from shiwu.inference.manifest import read_manifest
from shiwu.vision.resize import Image

FILL = 127
_RED, _GREEN, _WHITE = (200, 40, 30), (40, 160, 60), (255, 255, 255)


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    torch.manual_seed(0)
    pictures = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    trained = build(Backbone())
    for module in trained.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.bias, -0.1, 0.1)  # all alike, they would be one tensor of a file
    return fitted(trained, Backbone("lite2"), pictures, FILL, seed=0)


def halves(left: tuple[int, int, int], right: tuple[int, int, int]) -> Image:
    return np.concatenate([np.full((64, 32, 3), colour, np.uint8) for colour in (left, right)], axis=1)


def vector(part: ColourPart, image: Image, attention: torch.Tensor | None = None) -> np.ndarray:
    even = torch.full((1, 1, 2, 2), 0.25)
    with torch.inference_mode():
        return part(normalise(torch.from_numpy(image[None])), even if attention is None else attention)[0].numpy()


def test_colours_are_those_of_cielab_near_enough() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    image = np.repeat(np.repeat(colours, 4, axis=0), 4, axis=1)
    lab, _ = ColourPart(FILL).colours(normalise(torch.from_numpy(image[None])), torch.full((1, 1, 2, 2), 0.25))
    expected = cv2.cvtColor(colours.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    assert np.abs(lab[0].detach().numpy() - expected).mean() < 2


def test_white_and_the_filling_of_a_letterbox_are_no_colours(ensemble: Ensemble) -> None:
    red = vector(ensemble.colour, halves(_RED, _RED))
    assert red @ vector(ensemble.colour, halves(_RED, _WHITE)) > 0.99
    assert red @ vector(ensemble.colour, halves(_RED, (FILL, FILL, FILL))) > 0.99
    assert red @ vector(ensemble.colour, halves(_RED, _GREEN)) < 0.9
    assert red @ vector(ensemble.colour, halves(_GREEN, _GREEN)) < 0.8


def test_colours_count_where_the_model_looks(ensemble: Ensemble) -> None:
    left = torch.tensor([[[[0.5, 0.0], [0.5, 0.0]]]])
    image = halves(_RED, _GREEN)
    red, green = (vector(ensemble.colour, halves(colour, colour)) for colour in (_RED, _GREEN))
    looked_at = vector(ensemble.colour, image, left)
    assert red @ looked_at > green @ looked_at + 0.3


def test_parts_weigh_what_they_should(ensemble: Ensemble) -> None:
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))
    with torch.inference_mode():
        vectors, trained = ensemble(images), ensemble.whitening(ensemble.trained(images))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    lengths = torch.stack([part.norm(dim=1) for part in vectors.split((256, 160, COLOURS), dim=1)])
    torch.testing.assert_close(lengths[:, 0] / lengths[0, 0], torch.tensor([1.0, 0.7, 0.55]))
    torch.testing.assert_close(vectors[:, :256], functional.normalize(trained, dim=1) * lengths[0][:, None])


def test_whitening_makes_what_pictures_differ_in_more_alike(ensemble: Ensemble) -> None:
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8))
    with torch.inference_mode():
        learnt = ensemble.trained(pictures)
        shares = [_largest_share(each) for each in (learnt, ensemble.whitening(learnt))]
    assert shares[1] < 0.8 * shares[0]


def _largest_share(vectors: torch.Tensor) -> float:
    """Of all that the vectors differ in, how much lies in one direction."""
    spread = torch.linalg.svdvals((vectors - vectors.mean(dim=0)).double()) ** 2
    return float(spread[0] / spread.sum())


def test_a_released_file_agrees_with_torch_for_any_batch(ensemble: Ensemble, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    assert release(ensemble, tmp_path) < 1e-4
    assert read_manifest(tmp_path).outputs[0].shape == ("batch", DIMENSION)
    with torch.inference_mode():
        expected = ensemble(torch.from_numpy(squares(images, PREPROCESSING))).numpy()
        parts = [torch.from_numpy(squares(images, PREPROCESSING, share)) for share in PREPROCESSING.gallery_views]
        mean = sum(ensemble(part) for part in parts).numpy()
        trained = restored(tmp_path)(parts[0])
    embed = released(tmp_path)
    vectors = embed.photos(list(images))
    np.testing.assert_allclose(vectors, expected, atol=1e-4)
    np.testing.assert_allclose(embed.photos(list(images[:1])), vectors[:1], atol=1e-5)
    of_gallery = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(embed.gallery(list(images)), of_gallery, atol=1e-4)
    blank = [np.full((80, 100, 3), shade, np.uint8) for shade in (0, FILL, 255)]
    assert np.isfinite(embed.photos(blank)).all()
    with torch.inference_mode():
        torch.testing.assert_close(trained, ensemble.trained(parts[0]))
