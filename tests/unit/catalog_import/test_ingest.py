"""Pictures into the catalogue, one at a time: what is written when, and what survives which failure."""

from __future__ import annotations

import asyncio
from pathlib import Path

import cv2
import numpy as np
import pytest

from services.catalog.resources import Batch, Product
from shiwu.chassis.errors import AlreadyExistsError, InvalidInputError, NotFoundError, UnavailableError
from shiwu.v1 import vision_pb2
from shiwu.vision.decode import Limits
from shiwu.wire import pictures
from shiwu.wire.models import EmbeddingModel, FoundObject, model_for
from tests.unit.catalog_import.assembly import Catalogue
from tests.unit.catalog_import.conftest import Shop
from tests.unit.catalog_import.peers import Peers

MODEL = EmbeddingModel("general@1", (), 0.0, 64, 4)


def picture(shop: Shop, seed: int = 1) -> pictures.Picture:
    return pictures.from_file((shop.folder / shop.picture(f"{seed}.png", seed)).read_bytes(), Limits())


@pytest.fixture
async def product(catalogue: Catalogue) -> str:
    await catalogue.store.create_product(Product("p1", "Boot", "shoes"))
    return "p1"


async def test_add_answers_when_a_search_finds_the_picture(
    catalogue: Catalogue, peers: Peers, shop: Shop, product: str
):
    image = await catalogue.ingest.add(image_id="i1", product_id=product, picture=picture(shop), uri="a.png")
    assert image.index_time is not None
    assert (image.model, image.width, image.height, image.uri) == ("general@1", 160, 120, "a.png")
    assert len(image.sha256) == 64
    model, record = peers.search.records["i1"]
    assert (model, record.product_id, record.category) == ("general@1", "p1", "shoes")
    assert peers.embedder.sizes == [(60, 80)]  # the patch that the detector has found, and not the white around it


async def test_what_is_not_there_or_is_there_already(catalogue: Catalogue, peers: Peers, shop: Shop, product: str):
    with pytest.raises(NotFoundError):
        await catalogue.ingest.add(image_id="i1", product_id="none", picture=picture(shop))
    await catalogue.ingest.add(image_id="i1", product_id=product, picture=picture(shop))
    with pytest.raises(AlreadyExistsError, match="i1"):
        await catalogue.ingest.add(image_id="i1", product_id=product, picture=picture(shop, 2))
    assert peers.embedder.switch.calls["Embed"] == 1


async def test_while_the_embedder_rolls_a_picture_gets_the_vectors_that_there_are(
    catalogue: Catalogue, peers: Peers, shop: Shop, product: str
):
    peers.embedder.others, peers.embedder.gone = (2,), {"general@1"}
    image = await catalogue.ingest.add(image_id="i1", product_id=product, picture=picture(shop))
    assert (image.model, image.others) == ("general@2", ())
    peers.embedder.gone = {"general@1", "general@2"}
    with pytest.raises(NotFoundError, match="general@"):
        await catalogue.ingest.add(image_id="i2", product_id=product, picture=picture(shop))
    assert await catalogue.store.find_images(["i2"]) == {}


@pytest.mark.parametrize("down", ["detector", "embedder"])
async def test_without_detector_or_embedder_nothing_is_written(
    catalogue: Catalogue, peers: Peers, shop: Shop, product: str, down: str
):
    getattr(peers, down).switch.down = True
    with pytest.raises(UnavailableError, match=down):
        await catalogue.ingest.add(image_id="i1", product_id=product, picture=picture(shop))
    assert await catalogue.store.find_images(["i1"]) == {}
    assert peers.search.records == {}


async def test_without_search_the_row_says_that_it_waits_and_the_call_may_be_repeated(
    catalogue: Catalogue, peers: Peers, shop: Shop, product: str
):
    peers.search.switch.down = True
    with pytest.raises(UnavailableError, match="search"):
        await catalogue.ingest.add(image_id="i1", product_id=product, picture=picture(shop))
    assert (await catalogue.store.get_image("i1")).index_time is None
    peers.search.switch.down = False
    image = await catalogue.ingest.add(image_id="i1", product_id=product, picture=picture(shop, 2))
    assert image.index_time is not None
    assert list(peers.search.records) == ["i1"]


async def test_vectors_that_the_index_has_lost_come_back_from_the_rows(
    catalogue: Catalogue, peers: Peers, shop: Shop, product: str
):
    for number in range(5):
        await catalogue.ingest.add(image_id=f"i{number}", product_id=product, picture=picture(shop, number))
    before = {image_id: record for image_id, (_, record) in peers.search.records.items()}
    for image_id in ("i1", "i3"):
        del peers.search.records[image_id]
    embedded = peers.embedder.switch.calls["Embed"]
    assert await catalogue.ingest.verify_all() == 2
    assert {image_id: record for image_id, (_, record) in peers.search.records.items()} == before
    assert peers.embedder.switch.calls["Embed"] == embedded
    assert await catalogue.ingest.verify_all() == 0


async def test_a_product_deleted_while_its_picture_is_embedded_leaves_no_vector(
    catalogue: Catalogue, peers: Peers, shop: Shop, product: str
):
    peers.embedder.switch.seconds = 0.3
    adding = asyncio.create_task(catalogue.ingest.add(image_id="i1", product_id=product, picture=picture(shop)))
    await asyncio.sleep(0.15)
    assert await catalogue.store.delete_product(product, [])
    with pytest.raises(NotFoundError):
        await adding
    assert peers.search.records == {}


async def test_a_category_with_an_embedder_of_its_own(catalogue: Catalogue, peers: Peers, shop: Shop):
    await catalogue.store.write(Batch(products=(Product("b1", "Bag", "bags"),)))
    image = await catalogue.ingest.add(image_id="i1", product_id="b1", picture=picture(shop))
    assert image.model == "bags@1"
    assert peers.search.records["i1"][0] == "bags@1"


def test_models_by_category():
    bags = EmbeddingModel("bags@1", ("bags",), 0.1, 64, 4)
    assert model_for("bags", [MODEL, bags]) is bags
    assert model_for("shoes", [MODEL, bags]) is MODEL


def test_the_main_product():
    coat = FoundObject((0, 0, 1, 1), 0.9, "clothing")
    bag = FoundObject((0.2, 0.2, 0.5, 0.7), 0.6, "bags")
    worse = FoundObject((0.1, 0.1, 0.3, 0.3), 0.55, "bags")
    unsure = FoundObject((0.5, 0.5, 0.7, 0.7), 0.4, "bags")
    large = FoundObject((0.1, 0.1, 0.9, 0.9), 0.8, "bags")
    assert pictures.main_product([coat, worse, bag], "bags") is bag
    assert pictures.main_product([coat, worse, bag], "shoes") is None, "no shoe is seen: the whole picture"
    assert pictures.main_product([coat, unsure], "bags") is None
    assert pictures.main_product([large, bag], "bags") is None, "a thing that fills the picture needs no crop"
    assert pictures.main_product([], "shoes") is None


async def test_a_detector_is_sent_no_more_pixels_than_it_says_it_reads(
    catalogue: Catalogue, peers: Peers, product: str
):
    large = picture_of(np.full((900, 700, 3), 90, np.uint8), ".png")
    for number, reads in enumerate((0, 320, 2000, 320)):
        peers.detector.input_size = reads
        await catalogue.ingest.add(image_id=f"i{number}", product_id=product, picture=large)
    assert peers.detector.sides == [450, 450, 320, 450]


async def test_an_embedder_is_sent_the_pixels_that_it_uses_of_a_merchants_picture(catalogue, peers, product):
    large = picture_of(np.full((300, 300, 3), 90, np.uint8), ".png")
    for number, reads in enumerate((0, 80)):
        peers.embedder.gallery_input_size = reads
        await catalogue.ingest.add(image_id=f"i{number}", product_id=product, picture=large)
    assert peers.embedder.sizes == [(64, 64), (80, 80)]


def picture_of(pixels: np.ndarray, kind: str = ".jpg") -> pictures.Picture:
    _, encoded = cv2.imencode(kind, pixels[:, :, ::-1])
    return pictures.from_file(encoded.tobytes(), Limits())


def test_crops():
    image = picture_of(np.zeros((400, 1000, 3), np.uint8))
    whole = pictures.crop_for(image, None, MODEL)
    assert whole.shape == (64, 160, 3)
    margin = EmbeddingModel("m@1", (), 0.25, 64, 4)
    small = pictures.crop_for(image, FoundObject((0.5, 0.5, 0.54, 0.6), 1.0, "bags"), margin)
    assert small.shape == (60, 60, 3)
    thin = pictures.crop_for(picture_of(np.zeros((16, 3000, 3), np.uint8)), None, MODEL)
    assert thin.shape == (16, 3000, 3)


@pytest.mark.parametrize("kind", [".jpg", ".png"])
def test_what_is_small_in_a_large_picture_is_read_with_all_the_pixels_that_a_model_uses(kind: str):
    fine = np.kron(np.indices((100, 100)).sum(axis=0) % 2, np.ones((2, 2))) * 255  # cells of two pixels
    pixels = np.full((1600, 1600, 3), 255, np.uint8)
    pixels[800:1000, 800:1000] = fine[:, :, None]
    image = picture_of(pixels, kind)
    assert (image.photo.width, image.photo.pixels.shape) == (1600, (400, 400, 3))
    model = EmbeddingModel("m@1", (), 0.0, 200, 4)
    crop = pictures.crop_for(image, FoundObject((0.5, 0.5, 0.625, 0.625), 1.0, "bags"), model)
    assert crop.shape == (200, 200, 3)
    assert np.abs(crop.astype(int) - pixels[800:1000, 800:1000]).mean() < 10, "coarser pixels would all be gray"
    assert pictures.crop_for(image, None, model).shape == (200, 200, 3)


def test_pictures_of_requests(tmp_path: Path):
    _, encoded = cv2.imencode(".png", np.zeros((20, 30, 3), np.uint8))
    data = encoded.tobytes()
    from_request = pictures.from_message(vision_pb2.Image(encoded=data), "image", Limits())
    assert from_request.sha256 == pictures.from_file(data, Limits()).sha256
    with pytest.raises(InvalidInputError, match="image"):
        pictures.from_message(vision_pb2.Image(encoded=b"text"), "image", Limits())
    with pytest.raises(InvalidInputError, match="image"):
        pictures.from_message(vision_pb2.Image(), "image", Limits())
