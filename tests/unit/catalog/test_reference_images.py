"""Pictures on the wire: the catalogue's rows and the index stay one thing, also when search fails in between."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from services.catalog.coverage import Gap
from services.catalog.upkeep import upkeep
from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1 import catalog_resources_pb2 as resources
from shiwu.v1 import vision_pb2
from tests.unit.catalog.refusals import refused

DAYS = timedelta(days=30)


def picture(key="i", product="p", uri=""):
    return resources.ReferenceImage(image_id=key, product_id=product, uri=uri)


async def test_a_picture_is_in_the_index_when_the_call_returns(shop):
    created = await shop.add("i")
    model, record = shop.peers.search.records["i"]
    assert (record.product_id, record.style_id, record.category) == ("p", "s", "shoes")
    assert (created.model, created.uri, created.width, created.height) == (model, "x", 120, 90)
    assert len(created.sha256) == 64
    assert created.HasField("index_time")
    assert await shop.stub.GetReferenceImage(pb.GetReferenceImageRequest(image_id="i")) == created
    listed = await shop.stub.ListReferenceImages(pb.ListReferenceImagesRequest(product_id="p"))
    assert list(listed.reference_images) == [created]
    other = await shop.stub.ListReferenceImages(pb.ListReferenceImagesRequest(product_id="q"))
    assert list(other.reference_images) == []


async def test_a_taken_key_is_refused(shop):
    await shop.add("i")
    await refused(shop.add("i"), "ALREADY_EXISTS")


async def test_pictures_of_nobody_and_pictures_of_nothing_are_refused(shop):
    assert "'q'" in await refused(shop.add("i", "q"), "NOT_FOUND")
    call = shop.stub.CreateReferenceImage
    await refused(call(pb.CreateReferenceImageRequest()), "INVALID_ARGUMENT", field="reference_image")
    await refused(call(pb.CreateReferenceImageRequest(reference_image=picture())), "INVALID_ARGUMENT", field="image")
    empty = pb.CreateReferenceImageRequest(reference_image=picture(), image=vision_pb2.Image())
    await refused(call(empty), "INVALID_ARGUMENT", field="image")
    for encoded in (b"text", b"\xff\xd8\xff\xe0", b"GIF89a"):
        await refused(shop.add("i", encoded=encoded), "INVALID_ARGUMENT", field="image.encoded")
    bad = pb.CreateReferenceImageRequest(reference_image=picture("a b"))
    await refused(call(bad), "INVALID_ARGUMENT", field="reference_image.image_id")
    assert shop.peers.search.records == {}
    assert await shop.store.list_images(after="", limit=9) == []


@pytest.mark.parametrize("name", ["GetReferenceImage", "DeleteReferenceImage"])
async def test_unknown_pictures_are_named(service, name):
    call, request = getattr(service.stub, name), getattr(pb, f"{name}Request")
    assert "'nobody'" in await refused(call(request(image_id="nobody")), "NOT_FOUND")
    await refused(call(request(image_id="")), "INVALID_ARGUMENT", field="image_id")


@pytest.mark.parametrize("peer", ["detector", "embedder", "search"])
async def test_a_lost_peer_is_named_and_the_call_can_be_repeated(shop, peer):
    switch = getattr(shop.peers, peer).switch
    switch.down = True
    assert peer in await refused(shop.add("i"), "UNAVAILABLE")
    assert shop.peers.search.records == {}
    switch.down = False
    assert (await shop.add("i")).HasField("index_time")
    assert list(shop.peers.search.records) == ["i"]


async def test_a_deleted_picture_is_in_neither_place(shop):
    await shop.add("i")
    await shop.add("j")
    await shop.stub.DeleteReferenceImage(pb.DeleteReferenceImageRequest(image_id="i"))
    assert list(shop.peers.search.records) == ["j"]
    await refused(shop.stub.GetReferenceImage(pb.GetReferenceImageRequest(image_id="i")), "NOT_FOUND")


async def delete_product(shop):
    await shop.stub.DeleteProduct(pb.DeleteProductRequest(product_id="p"))


async def delete_image(shop):
    await shop.stub.DeleteReferenceImage(pb.DeleteReferenceImageRequest(image_id="i"))


@pytest.mark.parametrize("delete", [delete_product, delete_image])
async def test_a_deletion_that_search_did_not_answer_loses_nothing_and_can_be_repeated(shop, delete):
    await shop.add("i")
    shop.peers.search.switch.down = True
    assert "search" in await refused(delete(shop), "UNAVAILABLE")
    assert list(shop.peers.search.records) == ["i"]
    image = await shop.store.get_image("i")
    assert image.index_time is None  # nobody knows what search has done
    shop.peers.search.switch.down = False
    await delete(shop)
    assert shop.peers.search.records == {}
    await refused(delete(shop), "NOT_FOUND")


async def indexed(shop):
    return (await shop.store.get_image("i")).index_time is not None


async def until(condition):
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110  # what is waited for happens in a database
            await asyncio.sleep(0.01)


async def test_a_deletion_that_is_not_repeated_is_made_good(shop):
    """The vector went, the answer did not come: upkeep puts the picture back."""
    await shop.add("i")
    [image] = await shop.store.suspend_images(image_id="i")
    await shop.indexer.forget([image.image_id])
    assert shop.peers.search.records == {}
    async with upkeep(shop.indexer, shop.store, 30, keep_scans=DAYS):
        await until(lambda: indexed(shop))
    assert list(shop.peers.search.records) == ["i"]


async def test_a_vector_that_comes_after_its_picture_was_deleted_goes_again(shop):
    """Who stored it died before it could take it out."""
    for key in ("i", "j"):
        await shop.add(key)
    late = shop.peers.search.records["i"]
    await delete_image(shop)
    shop.peers.search.records["i"] = late

    async def gone():
        return "i" not in shop.peers.search.records

    async with upkeep(shop.indexer, shop.store, 30, keep_scans=DAYS):
        await until(gone)
    assert list(shop.peers.search.records) == ["j"]


async def test_a_deletion_is_remembered_until_nothing_can_come_late(shop):
    for key in ("i", "j"):
        await shop.add(key)
    await delete_product(shop)
    assert [await shop.indexer.sweep(DAYS) for _ in range(2)] == [2, 2]
    assert [await shop.indexer.sweep(timedelta(0)) for _ in range(2)] == [2, 0]


async def test_a_picture_that_was_deleted_and_added_again_stays(shop):
    await shop.add("i")
    await delete_image(shop)
    await shop.add("i")
    assert await shop.indexer.sweep(DAYS) == 1
    assert list(shop.peers.search.records) == ["i"]
    assert await indexed(shop)


async def test_a_picture_that_comes_back_while_it_is_forgotten_stays(shop, monkeypatch):
    forget = shop.indexer.forget

    async def forget_late(image_ids):
        monkeypatch.undo()
        await shop.add("i")
        await forget(image_ids)

    monkeypatch.setattr(shop.indexer, "forget", forget_late)
    await shop.indexer.index(["i"])
    assert list(shop.peers.search.records) == ["i"]
    assert await indexed(shop)


async def test_upkeep_outlives_an_outage(shop):
    await shop.add("i")
    await shop.store.suspend_images(image_id="i")
    shop.peers.search.switch.down = True
    async with upkeep(shop.indexer, shop.store, 0.02, keep_scans=DAYS):
        await asyncio.sleep(0.2)
        assert (await shop.store.get_image("i")).index_time is None
        shop.peers.search.switch.down = False
        await until(lambda: indexed(shop))


async def test_upkeep_erases_old_scans_though_the_index_is_out(shop):
    shop.peers.search.switch.down = True
    await shop.store.record_gap(Gap("old", "shoes", 0.5, datetime.now(UTC) - 2 * DAYS, crop=b"\xff\xd8"))
    await shop.store.record_gap(Gap("new", "shoes", 0.5, datetime.now(UTC), crop=b"\xff\xd8"))

    async def erased():
        return [gap.scan_id for gap in await shop.store.list_gaps(before=None, limit=9)] == ["new"]

    async with upkeep(shop.indexer, shop.store, 30, keep_scans=DAYS):
        await until(erased)


async def test_a_deleted_product_takes_its_offers_and_pictures_along(shop):
    for key in ("i", "j"):
        await shop.add(key)
    await delete_product(shop)
    assert shop.peers.search.records == {}
    assert await shop.store.list_images(after="", limit=9) == []
    await refused(shop.stub.GetProduct(pb.GetProductRequest(product_id="p")), "NOT_FOUND")


async def test_pictures_added_while_their_product_is_deleted_leave_nothing_behind(shop):
    for attempt in range(5):
        product = f"q{attempt}"
        request = pb.CreateProductRequest(product=resources.Product(product_id=product, title="t", category="shoes"))
        await shop.stub.CreateProduct(request)
        outcomes = await asyncio.gather(
            *(shop.add(f"{product}-{n}", product) for n in range(6)),
            shop.stub.DeleteProduct(pb.DeleteProductRequest(product_id=product)),
            return_exceptions=True,
        )
        assert {each.code().name for each in outcomes if isinstance(each, Exception)} <= {"NOT_FOUND", "UNAVAILABLE"}
    rows = {image.image_id for image in await shop.store.list_images(after="", limit=99)}
    assert set(shop.peers.search.records) == rows


@pytest.mark.parametrize(
    ("changes", "wanted"), [({"category": "bags"}, ("s", "bags")), ({"style_id": ""}, ("", "shoes"))]
)
async def test_a_product_that_moves_takes_its_vectors_along(shop, changes, wanted):
    await shop.add("i")
    vector = shop.peers.search.records["i"][1].vector
    request = pb.UpdateProductRequest(
        product=resources.Product(product_id="p", **changes), update_mask=FieldMask(paths=list(changes))
    )
    await shop.stub.UpdateProduct(request)
    record = shop.peers.search.records["i"][1]
    assert (record.style_id, record.category) == wanted
    assert record.vector == vector


async def test_a_move_that_search_did_not_answer_is_repaired_by_repeating(shop):
    await shop.add("i")
    request = pb.UpdateProductRequest(
        product=resources.Product(product_id="p", category="bags"), update_mask=FieldMask(paths=["category"])
    )
    shop.peers.search.switch.down = True
    await refused(shop.stub.UpdateProduct(request), "UNAVAILABLE")
    shop.peers.search.switch.down = False
    assert (await shop.stub.UpdateProduct(request)).category == "bags"
    assert shop.peers.search.records["i"][1].category == "bags"
    assert (await shop.store.get_image("i")).index_time is not None


async def test_writers_of_one_picture_and_its_product_agree_in_the_end(shop):
    """Moves, upkeep and deletions at the same time: what the index says at the end is what the rows say."""

    async def move(category):
        request = pb.UpdateProductRequest(
            product=resources.Product(product_id="p", category=category), update_mask=FieldMask(paths=["category"])
        )
        await shop.stub.UpdateProduct(request)

    for key in "abc":
        await shop.add(key)
    shop.peers.search.switch.seconds = 0.005
    delete = shop.stub.DeleteReferenceImage(pb.DeleteReferenceImageRequest(image_id="c"))
    work = (move(category) for category in ("bags", "toys", "books", "food"))
    await asyncio.gather(*work, shop.indexer.repair(), delete, shop.add("d"), return_exceptions=False)
    category = (await shop.store.get_product("p")).category
    rows = {image.image_id: image.index_time is not None for image in await shop.store.list_images(after="", limit=9)}
    assert rows == {"a": True, "b": True, "d": True}
    assert {key: record.category for key, (_, record) in shop.peers.search.records.items()} == dict.fromkeys(
        rows, category
    )
