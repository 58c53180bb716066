"""Imports: whole feeds, bad rows, repetition, and feeds that cannot be imported."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from services.catalog.resources import State
from shiwu.chassis.errors import InvalidInputError
from shiwu.wire.ids import image_id
from tests.unit.catalog_import.assembly import Catalogue
from tests.unit.catalog_import.conftest import Shop
from tests.unit.catalog_import.importing import begun, consistent, ended, imported, read_lines, snapshot
from tests.unit.catalog_import.peers import Peers


async def test_a_feed_becomes_products_styles_offers_and_pictures(catalogue: Catalogue, peers: Peers, shop: Shop):
    feed = shop.feed(
        f"p1,Boot,shoes,s1,Boots,M1,10.50 USD,{shop.picture('a/1.png', 1)}|{shop.picture('2.png', 2)}",
        f"p1,Other title,toys,s2,Other,M2,9 USD,{shop.picture('3.png', 3)}",
        f"p2,Bag,bags,s3,,M1,5 USD,{shop.picture('4.png', 4)}",
        "p3,Sock,clothing,,,,,",
        header="product_id,title,category,style_id,style_title,merchant,price,images",
    )
    operation = await imported(catalogue, feed)
    assert (operation.state, operation.error) == (State.SUCCEEDED, "")
    assert (operation.rows_total, operation.rows_done, operation.rows_failed) == (4, 4, 0)
    assert (operation.products_written, operation.images_indexed, operation.errors_path) == (3, 4, "")
    assert operation.index_time is not None
    products = {each.product_id: each for each in await catalogue.store.list_products(after="", limit=10)}
    # The first row that names a product decides what it is.
    assert (products["p1"].title, products["p1"].category, products["p1"].style_id) == ("Boot", "shoes", "s1")
    styles = {each.style_id: each.title for each in await catalogue.store.list_styles(after="", limit=10)}
    assert styles == {"s1": "Boots", "s3": "Bag"}
    offers = [(each.product_id, each.merchant) for each in await catalogue.store.list_offers(after="", limit=10)]
    assert sorted(offers) == [("p1", "M1"), ("p1", "M2"), ("p2", "M1")]
    images = {each.uri: each for each in await catalogue.store.list_images(after="", limit=10)}
    assert {uri: (each.product_id, each.model) for uri, each in images.items()} == {
        "a/1.png": ("p1", "general@1"),
        "2.png": ("p1", "general@1"),
        "3.png": ("p1", "general@1"),
        "4.png": ("p2", "bags@1"),
    }
    assert await consistent(catalogue, peers)


async def test_the_same_feed_again_changes_nothing_and_embeds_nothing(catalogue: Catalogue, peers: Peers, shop: Shop):
    feed = shop.simple(10)
    await imported(catalogue, feed)
    before, calls = await snapshot(catalogue), dict(peers.embedder.switch.calls | peers.search.switch.calls)
    again = await imported(catalogue, feed)
    assert (again.state, again.products_written, again.images_indexed) == (State.SUCCEEDED, 0, 0)
    assert await snapshot(catalogue) == before
    after = peers.embedder.switch.calls | peers.search.switch.calls
    assert (after["Embed"], after["Upsert"]) == (calls["Embed"], calls["Upsert"])
    assert peers.detector.switch.calls["Detect"] == 10


async def test_only_what_has_changed_is_embedded_again(catalogue: Catalogue, peers: Peers, shop: Shop):
    feed = shop.simple(10)
    await imported(catalogue, feed)
    vectors = {key: record.vector for key, (_, record) in peers.search.records.items()}
    shop.picture("3.png", 1003)
    again = await imported(catalogue, feed)
    assert again.images_indexed == 1
    changed = image_id("p3", "3.png")
    assert peers.search.records[changed][1].vector != vectors.pop(changed)
    assert all(peers.search.records[key][1].vector == vector for key, vector in vectors.items())


async def test_a_new_version_of_the_embedder_embeds_everything_again(catalogue: Catalogue, peers: Peers, shop: Shop):
    feed = shop.simple(6)
    await imported(catalogue, feed)
    peers.embedder.version = 2
    again = await imported(catalogue, feed)
    assert (again.products_written, again.images_indexed) == (0, 6)
    assert {model for model, _ in peers.search.records.values()} == {"general@2"}


async def test_a_product_that_moves_to_another_style_takes_its_vectors_along(
    catalogue: Catalogue, peers: Peers, shop: Shop
):
    header = "product_id,title,category,style_id,images"
    await imported(catalogue, shop.feed(f"p1,Boot,shoes,s1,{shop.picture('1.png', 1)}", header=header))
    again = await imported(catalogue, shop.feed("p1,Boot,shoes,s2,1.png", header=header))
    assert again.products_written == 1
    assert peers.embedder.switch.calls["Embed"] == 1
    assert peers.search.records[image_id("p1", "1.png")][1].style_id == "s2"


async def test_bad_rows_are_reported_in_a_file_and_the_good_ones_kept(catalogue: Catalogue, peers: Peers, shop: Shop):
    (shop.folder / "text.jpg").write_text("not a picture")
    (shop.folder / "empty.jpg").write_bytes(b"")
    whole = (shop.folder / shop.picture("whole.png", 1)).read_bytes()
    (shop.folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (shop.folder / "copy.png").write_bytes(whole)
    feed = shop.feed(
        "p1,Good,shoes,M,1 USD,whole.png",  # line 2
        "p2,Bad price,shoes,M,cheap,",
        "p3,No file,shoes,M,1 USD,missing.png",
        "p4,No picture,shoes,M,1 USD,text.jpg",
        "p5,Empty,shoes,M,1 USD,empty.jpg",
        "p6,Cut,shoes,M,1 USD,truncated.png",
        "p7,Twice,shoes,M,1 USD,whole.png|copy.png",
        "p8,Outside,shoes,M,1 USD,../../etc/passwd",
        "p9,Inside,shoes,M,1 USD,http://127.0.0.1:1/a.jpg",
        "p10,One good one bad,shoes,M,1 USD,whole.png|missing.png",
        "p1,Again,shoes,M,1 USD,",
        "p11,Ragged,shoes",
        "p12,No cars,cars,M,1 USD,",
        "p13,Good,shoes,M,1 USD,",
    )
    operation = await imported(catalogue, feed)
    assert (operation.state, operation.rows_done, operation.rows_failed) == (State.SUCCEEDED, 14, 12)
    products = [each.product_id for each in await catalogue.store.list_products(after="", limit=100)]
    assert sorted(products) == ["p1", "p13"]
    assert len(peers.search.records) == 1
    lines = [json.loads(line) for line in read_lines(operation.errors_path)]
    assert {line["row"]: (line["field"], line["problem"]) for line in lines} == {
        3: ("price", "'cheap' is not a price; expected a number like 1299.00 or 1,299.00"),
        4: ("images", "'missing.png': cannot be read: No such file or directory"),
        5: ("images", lines[2]["problem"]),
        6: ("images", "'empty.jpg': is not usable: the file is empty; expected a JPEG, PNG, WebP or HEIC picture"),
        7: ("images", lines[4]["problem"]),
        8: ("images", "'copy.png': is the same picture as 'whole.png'; list it once"),
        9: ("images", lines[6]["problem"]),
        10: ("images", "'http://127.0.0.1:1/a.jpg': the host 127.0.0.1 is at 127.0.0.1, which is not a public address"),
        11: ("images", "'missing.png': cannot be read: No such file or directory"),
        12: ("product_id", "the same product of the same merchant stands in line 2 already"),
        13: ("", "has 3 cells; the header has 6"),
        14: ("category", lines[11]["problem"]),
    }
    assert "of no known type" in lines[2]["problem"]
    assert "the PNG file is truncated" in lines[4]["problem"]
    assert "leads out of the feed's folder" in lines[6]["problem"]
    assert lines[0]["record"]["title"] == "Bad price"


async def test_a_feed_that_changes_under_a_resumed_import_ends_it(catalogue: Catalogue, peers: Peers, shop: Shop):
    peers.embedder.switch.seconds = 0.1
    started = await begun(catalogue, shop.simple(20), rows=4)
    await catalogue.imports.close()
    shop.simple(19)
    catalogue.imports.resume_all()
    operation = await ended(catalogue, started.operation_id)
    assert (operation.state, operation.error) == (
        State.FAILED,
        "the feed has changed since the import began; import it again",
    )


async def test_a_feed_that_disappears_ends_the_import(catalogue: Catalogue, shop: Shop):
    feed = shop.simple(4)
    started = await catalogue.imports.start(feed_uri=feed)
    (shop.folder / "feed.csv").unlink()
    catalogue.imports.resume_all()
    operation = await ended(catalogue, started.operation_id)
    assert operation.state is State.FAILED
    assert "No such file" in operation.error


async def test_a_feed_without_rows_ends_the_import(catalogue: Catalogue, shop: Shop):
    operation = await imported(catalogue, shop.feed())
    assert operation.state is State.FAILED
    assert "has no rows" in operation.error


async def test_start_refuses_what_cannot_work(catalogue: Catalogue, shop: Shop):
    with pytest.raises(InvalidInputError, match="a column is missing: category") as caught:
        await catalogue.imports.start(feed_uri=shop.feed(header="product_id,title"))
    assert caught.value.field == "feed_uri"
    with pytest.raises(InvalidInputError, match="does not end in"):
        await catalogue.imports.start(feed_uri=shop.simple(1, name="feed.txt"))
    with pytest.raises(InvalidInputError, match="at most 200") as caught:
        await catalogue.imports.start(feed_uri=shop.simple(1), default_merchant="x" * 201)
    assert caught.value.field == "default_merchant"
    with pytest.raises(InvalidInputError, match="outside of the folders"):
        await catalogue.imports.start(feed_uri="/etc/passwd", format="csv")
    assert await catalogue.store.list_operations(after="", limit=10) == []


async def test_a_default_merchant_and_a_format(catalogue: Catalogue, shop: Shop):
    feed = shop.feed("g1,Boot,187,9 USD", header="id,title,google_product_category,price", name="feed.txt")
    operation = await imported(catalogue, feed, default_merchant="Shop", format="csv")
    assert (operation.state, operation.rows_failed) == (State.SUCCEEDED, 0)
    [offer] = await catalogue.store.list_offers(after="", limit=10)
    assert (offer.product_id, offer.merchant, offer.price) == ("g1", "Shop", 9)
    assert offer.update_time is not None
    assert offer.update_time <= datetime.now(UTC)


async def test_several_imports_are_worked_on_at_once_and_one_that_waits_does_not_hold_the_others(
    catalogue: Catalogue, peers: Peers, shop: Shop
):
    pictures = shop.simple(8, name="pictures.csv")
    facts = shop.feed("q1,Fact,toys,M,1 USD,", name="facts.csv")
    peers.embedder.switch.down = True
    first = await catalogue.imports.start(feed_uri=pictures)
    second = await catalogue.imports.start(feed_uri=facts)
    catalogue.imports.resume_all()
    assert (await ended(catalogue, second.operation_id)).state is State.SUCCEEDED
    assert (await catalogue.store.get_operation(first.operation_id)).state is State.RUNNING
    peers.embedder.switch.down = False
    assert (await ended(catalogue, first.operation_id)).state is State.SUCCEEDED
