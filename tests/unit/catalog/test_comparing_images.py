"""A photo's print against those of the catalogue's pictures, on the wire."""

from __future__ import annotations

from hashlib import sha256

import cv2
import numpy as np

from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1 import vision_pb2
from shiwu.vision.local_features import VERSION
from tests.unit.catalog.refusals import refused


async def test_a_picture_is_compared_with_those_that_have_local_features(shop, photo):
    own, other = (drawn(seed) for seed in (0, 1))
    for image_id, encoded in {"own": own, "other": other, "plain": None, "old": own, "damaged": own}.items():
        await shop.add(image_id, encoded=encoded or photo)
    await shop.store.set_local_features({"old": (sha256(own).hexdigest(), b"\x01 of another release")})
    request = pb.CompareReferenceImagesRequest(
        image=vision_pb2.Image(encoded=own), image_ids=["own", "other", "plain", "old", "nobody", "own"]
    )
    found = {each.image_id: each for each in (await shop.stub.CompareReferenceImages(request)).agreements}
    assert set(found) == {"own", "other", "plain"}
    assert found["own"].features > 50
    assert found["own"].coverage > 0.7
    assert found["own"].colour > 0.9
    assert found["own"].detail > 0.8
    assert [found[each].features for each in ("other", "plain")] == [0, 0]
    await shop.store.set_local_features({"damaged": (sha256(own).hexdigest(), VERSION + b"damaged")})
    request.image_ids.append("damaged")
    assert "damaged" in await refused(shop.stub.CompareReferenceImages(request), "UNAVAILABLE")


async def test_a_comparison_with_nothing_or_of_nothing_is_refused(shop, photo):
    image = vision_pb2.Image(encoded=photo)
    for ids in ([], ["a b"], [f"i{i}" for i in range(101)]):
        request = pb.CompareReferenceImagesRequest(image=image, image_ids=ids)
        await refused(shop.stub.CompareReferenceImages(request), "INVALID_ARGUMENT")
    for broken, field in ((None, "image"), (vision_pb2.Image(encoded=b"text"), "image.encoded")):
        request = pb.CompareReferenceImagesRequest(image=broken, image_ids=["i"])
        await refused(shop.stub.CompareReferenceImages(request), "INVALID_ARGUMENT", field=field)


def drawn(seed):
    """A PNG full of corners."""
    blocks = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    picture = cv2.resize(blocks, (240, 240), interpolation=cv2.INTER_NEAREST)
    return cv2.imencode(".png", picture)[1].tobytes()
