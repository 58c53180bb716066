from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.embedder.embedding import Embedder, by_id
from shiwu.inference.manifest import EmbedderManifest, ManifestError
from shiwu.inference.opening import open_model
from shiwu.inference.runner import ModelError, Tensors
from tests.unit.inference import onnx_models

SIDE = onnx_models.SIDE


def plain(*colour: int, size: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    return np.full((*size, 3), colour, np.uint8)


@pytest.fixture
async def embedder(tmp_path: Path):
    manifest = onnx_models.release_embedder(tmp_path)
    runner = open_model(tmp_path)
    yield Embedder(manifest, runner, batch=4)
    await runner.close()


@pytest.mark.parametrize("count", [1, 3, 4, 5, 13])
async def test_vectors_come_in_the_order_of_the_pictures(embedder: Embedder, count: int) -> None:
    colours = np.random.default_rng(count).integers(1, 256, (count, 3))
    vectors = await embedder.embed([[plain(*colour)] for colour in colours])
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, colours / np.linalg.norm(colours, axis=1, keepdims=True), atol=1e-6)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


async def test_fits_crops_of_any_size(embedder: Embedder) -> None:
    [square] = embedder.views(plain(10, 20, 30, size=(7, 200)))
    assert square.shape == (SIDE, SIDE, 3)
    assert (square == (10, 20, 30)).all()  # stretched, as the manifest says: no border


async def test_a_crop_is_the_mean_of_its_parts(embedder: Embedder) -> None:
    preprocessing = embedder.manifest.preprocessing.model_copy(update={"views": (1.0, 0.5)})
    embedder.manifest = embedder.manifest.model_copy(update={"preprocessing": preprocessing})
    framed = plain(0, 0, 200)
    framed[SIDE // 4 : SIDE - SIDE // 4, SIDE // 4 : SIDE - SIDE // 4] = (200, 0, 0)
    whole, middle = embedder.views(framed)
    assert (middle == (200, 0, 0)).all()
    alone = await embedder.embed([[whole], [middle]])
    together = await embedder.embed([embedder.views(framed), embedder.views(plain(0, 90, 0))])
    mean = alone.mean(axis=0)
    assert together == pytest.approx(np.stack([mean / np.linalg.norm(mean), np.array([0.0, 1.0, 0.0])]), abs=1e-5)
    assert preprocessing.wanted_side() == 2 * preprocessing.size


def test_a_merchants_picture_has_parts_of_its_own(embedder: Embedder) -> None:
    assert len(embedder.views(plain(0, 0, 200), gallery=True)) == 1, "as any other, unless the manifest says otherwise"
    preprocessing = embedder.manifest.preprocessing.model_copy(update={"gallery_views": (1.0, 0.5)})
    embedder.manifest = embedder.manifest.model_copy(update={"preprocessing": preprocessing})
    framed = plain(0, 0, 200)
    framed[SIDE // 4 : SIDE - SIDE // 4, SIDE // 4 : SIDE - SIDE // 4] = (200, 0, 0)
    whole, middle = embedder.views(framed, gallery=True)
    assert (whole == embedder.views(framed)[0]).all()
    assert (middle == (200, 0, 0)).all()
    assert [preprocessing.wanted_side(gallery=each) for each in (False, True)] == [SIDE, 2 * SIDE]


async def test_nan_out_of_a_real_model_is_an_error(embedder: Embedder) -> None:
    with pytest.raises(ModelError, match="embedder-small@1 gave 3 numbers in embedding that are NaN"):
        await embedder.embed([[plain(9, 9, 9)], [plain(0, 0, 0)]])


class Gives:
    """A runner with one answer for all."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors

    async def run(self, inputs: Tensors) -> Tensors:
        return {"embedding": self.vectors}

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        return


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (np.zeros((1, 3), np.float32), "a vector of length 0; expected unit vectors"),
        (np.ones((1, 4), np.float32), r"vectors \(1, 4\); expected \(1, 3\)"),
        (np.ones((2, 3), np.float32), r"vectors \(2, 3\); expected \(1, 3\)"),
        (np.array([[np.inf, 1, 1]], np.float32), "1 numbers in embedding"),
    ],
)
async def test_what_is_no_unit_vector_is_no_answer(embedder: Embedder, vectors: np.ndarray, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        await Embedder(embedder.manifest, Gives(vectors)).embed([[plain(1, 2, 3)]])


async def test_vectors_are_made_unit_even_if_tiny_or_huge(embedder: Embedder) -> None:
    for scale in (1e-20, 1.003, 1e20):
        broken = Gives(np.array([[3, 0, 4]], np.float32) * np.float32(scale))
        vectors = await Embedder(embedder.manifest, broken).embed([[plain(1, 2, 3)]])
        assert np.allclose(vectors, [[0.6, 0, 0.8]])


def kept_for(manifest: EmbedderManifest, name: str, *categories: str) -> Embedder:
    update = {"name": name, "categories": categories}
    return Embedder(manifest.model_copy(update=update), Gives(np.ones((1, 3), np.float32)))


async def test_the_first_model_for_all_categories_is_the_default(embedder: Embedder) -> None:
    own, first, second = (
        kept_for(embedder.manifest, "own", "shoes", "bags"),
        kept_for(embedder.manifest, "first"),
        kept_for(embedder.manifest, "second"),
    )
    assert list(by_id([own, first, second])) == ["first@1", "own@1", "second@1"]


async def test_models_that_do_not_go_together_are_refused(embedder: Embedder) -> None:
    one = embedder.manifest
    with pytest.raises(ManifestError, match="a model is given twice"):
        by_id([kept_for(one, "a"), kept_for(one, "a")])
    with pytest.raises(ManifestError, match="one must be for all others"):
        by_id([kept_for(one, "a", "shoes")])
    with pytest.raises(ManifestError, match="models b@1 and c@1 are both kept for bags"):
        by_id([kept_for(one, "a"), kept_for(one, "b", "bags"), kept_for(one, "c", "toys", "bags")])
