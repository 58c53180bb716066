"""Feeds that bring their pictures' vectors."""

from __future__ import annotations

import base64
import hashlib
import json

import numpy as np
import pytest

from services.catalog.resources import State
from shiwu.vision.local_features import LocalFeatures, pack
from shiwu.wire.ids import image_id
from tests.unit.catalog_import.assembly import Catalogue
from tests.unit.catalog_import.conftest import Shop
from tests.unit.catalog_import.importing import consistent, imported, read_lines
from tests.unit.catalog_import.peers import Peers

VECTOR = np.full(48, 48**-0.5, "<f4").tobytes()
DIGEST = hashlib.sha256(b"the file").hexdigest()


FEATURES = pack(
    LocalFeatures(
        np.full((2, 2), 7, np.uint8),
        np.full((2, 128), 9, np.uint8),
        (192, 120),
        np.full((12, 12, 3), 5, np.uint8),
        np.full((120, 192), 5, np.uint8),
    )
)


def entry(
    digest: str = DIGEST,
    size: str = "640x480",
    model: str = "general@1",
    vector: bytes = VECTOR,
    features: bytes = FEATURES,
) -> str:
    own = f"features:{base64.b64encode(features).decode()} " if features else ""
    return f"{digest} {size} {own}{model} {base64.b64encode(vector).decode()}"


def feed(shop: Shop, *prepared: list[str] | str, images: list[str] | None = None) -> str:
    rows = [
        {"product_id": f"p{i}", "title": "Boot", "category": "shoes", "images": images or ["gone.jpg"], "prepared": own}
        for i, own in enumerate(prepared)
    ]
    path = shop.folder / "prepared.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return str(path)


async def test_pictures_with_vectors_are_neither_read_nor_embedded(catalogue: Catalogue, peers: Peers, shop: Shop):
    peers.detector.switch.down = True
    operation = await imported(catalogue, feed(shop, [entry()]))
    assert (operation.state, operation.rows_failed, operation.images_indexed) == (State.SUCCEEDED, 0, 1)
    (image,) = await catalogue.store.list_images(after="", limit=10)
    assert (image.image_id, image.uri) == (image_id("p0", "gone.jpg"), "gone.jpg")
    assert (image.sha256, image.width, image.height) == (DIGEST, 640, 480)
    assert peers.search.records[image.image_id][1].vector == VECTOR
    assert await catalogue.store.find_local_features([image.image_id]) == {image.image_id: FEATURES}
    assert await consistent(catalogue, peers)
    assert peers.embedder.switch.calls["Embed"] == 0
    again = await imported(catalogue, feed(shop, [entry()]))
    assert (again.images_indexed, again.images_unchanged) == (0, 1)


@pytest.mark.parametrize("features", [b"", b"\1 of an earlier release"])
async def test_features_may_be_left_out_or_outdated(catalogue: Catalogue, peers: Peers, shop: Shop, features: bytes):
    assert (await imported(catalogue, feed(shop, [entry(features=features)]))).images_indexed == 1
    assert await catalogue.store.find_local_features([image_id("p0", "gone.jpg")]) == {}
    assert await consistent(catalogue, peers)


async def test_what_is_not_prepared_or_of_another_model_is_read_and_embedded(
    catalogue: Catalogue, peers: Peers, shop: Shop
):
    images = [shop.picture("1.png", 1), shop.picture("2.png", 2), "3.png"]
    operation = await imported(catalogue, feed(shop, ["-", entry(model="general@0"), entry()], images=images))
    assert (operation.rows_failed, operation.images_indexed) == (0, 3)
    assert peers.detector.switch.calls["Detect"] == 2
    assert await consistent(catalogue, peers)


@pytest.mark.parametrize(
    ("prepared", "problem"),
    [
        ([entry(), entry()], "has 2 entries; expected a list of 1"),
        (entry(), "has 1 entries; expected a list of 1"),
        (["what"], "'what' is not understood; expected 'SHA256 WIDTHxHEIGHT features:FEATURES MODEL"),
        ([entry(features=b"some")], "has features that are none: 4 bytes that begin with b's'"),
        ([f"{DIGEST} 6x4 features:a=b general@1 AAAA"], "has features that are none"),
        ([entry(features=FEATURES[:500] + bytes(len(FEATURES) - 500))], "has features that are none"),
        ([entry(digest="ab")], "is not understood"),
        ([entry(size="0x9")], "is not understood"),
        ([f"{DIGEST} 6x4 general@1 a=b"], "not base64"),
        ([entry(vector=VECTOR[:-4])], "188 bytes; expected 48 float32 numbers"),
        ([entry(vector=bytes(192))], "has length 0; expected 1"),
    ],
)
async def test_wrong_entries_are_problems_of_their_rows(
    catalogue: Catalogue, peers: Peers, shop: Shop, prepared: list[str] | str, problem: str
):
    operation = await imported(catalogue, feed(shop, prepared, [entry()]))
    assert (operation.state, operation.rows_failed, operation.images_indexed) == (State.SUCCEEDED, 1, 1)
    assert problem in read_lines(operation.errors_path)[0]
    assert await consistent(catalogue, peers)


async def test_paths_may_be_relative_to_another_folder(catalogue: Catalogue, peers: Peers, shop: Shop):
    shop.picture("pictures/1.png", 1)
    path = feed(shop, ["-"], images=["1.png"])
    assert (await imported(catalogue, path)).rows_failed == 1
    operation = await imported(catalogue, path, pictures_uri=str(shop.folder / "pictures"))
    assert (operation.rows_failed, operation.images_indexed) == (0, 1)


@pytest.mark.parametrize("folder", ["/etc", "shop", "/nowhere"])
async def test_a_folder_that_may_not_be_read_is_refused(catalogue: Catalogue, shop: Shop, folder: str):
    with pytest.raises(Exception, match=r"outside of the folders|is not absolute"):
        await catalogue.imports.start(feed_uri=feed(shop, ["-"]), pictures_uri=folder)
