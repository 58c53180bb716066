"""Reference images, batches and how far the index agrees with them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from services.catalog.resources import Batch, IndexRecord, Offer, Product, Progress, ReferenceImage, Style
from shiwu.chassis.errors import NotFoundError
from shiwu.vision.local_features import describe, pack

VECTOR = np.eye(1, 8, dtype="<f4").tobytes()
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def image(key="i", product="p", **facts):
    given = {"uri": "a.jpg", "sha256": "0" * 64, "width": 3, "height": 2, "model": "m@1", "vector": VECTOR}
    return ReferenceImage(key, product, **(given | facts))


@pytest.fixture
async def shop(store):
    """A store with a product and two indexed pictures."""
    await store.write(Batch((Style("s", "", "shoes"),), (Product("p", "t", "shoes", style_id="s"),)))
    await store.write(Batch(images=(image("i"), image("j"))))
    assert await store.mark_indexed(await store.index_records(["i", "j"]), NOON) == frozenset()
    return store


async def test_a_new_image_is_pending_until_it_is_marked(store):
    await store.create_product(Product("p", "t", "shoes"))
    await store.write(Batch(images=(image(),)))
    stored = await store.get_image("i")
    assert replace(stored, revision=0, create_time=None) == replace(image(), vector=b"")
    assert await store.pending_images(after="", limit=9) == ["i"]
    [record] = await store.index_records(["i", "gone"])
    assert record == IndexRecord("i", "p", "", "shoes", "m@1", VECTOR, stored.revision)
    assert await store.mark_indexed([record], NOON) == frozenset()
    assert (await store.get_image("i")).index_time == NOON
    assert await store.pending_images(after="", limit=9) == []


async def test_an_image_needs_its_product(store):
    with pytest.raises(NotFoundError, match="reference image: product_id 'p' does not exist"):
        await store.write(Batch(images=(image(),)))


async def test_local_features_are_kept_for_the_picture_that_they_are_of(shop):
    await shop.write(Batch(images=(image("j", local_features=b"of j"),)))
    assert await shop.find_local_features(["i", "j", "gone"]) == {"j": b"of j"}
    before = await shop.get_image("i")
    await shop.set_local_features({})
    await shop.set_local_features({"i": ("0" * 64, b"of i"), "j": ("1" * 64, b"of another"), "gone": ("0" * 64, b"")})
    assert await shop.find_local_features(["i", "j"]) == {"i": b"of i", "j": b"of j"}
    assert await shop.get_image("i") == before
    await shop.write(Batch(images=(image("i", sha256="1" * 64),)))
    assert await shop.find_local_features(["i"]) == {}


async def test_images_whose_features_are_missing_or_anothers_are_to_be_described(shop):
    made = pack(describe(np.zeros((9, 9, 3), np.uint8)))
    await shop.write(Batch(images=(image("k", local_features=made), image("l", local_features=b"\x01 of old"))))
    assert [each.image_id for each in await shop.images_to_describe(after="", limit=9)] == ["i", "j", "l"]
    assert [each.image_id for each in await shop.images_to_describe(after="i", limit=1)] == ["j"]
    await shop.set_local_features(dict.fromkeys(("i", "j", "l"), ("0" * 64, made)))
    assert await shop.images_to_describe(after="", limit=9) == []


async def test_unchanged_images_stay_indexed_and_changed_ones_do_not(shop):
    before = await shop.get_image("i")
    await shop.write(Batch(images=(image("i"), image("j", sha256="1" * 64))))
    assert await shop.get_image("i") == before
    changed = await shop.get_image("j")
    assert (changed.index_time, changed.sha256) == (None, "1" * 64)
    assert await shop.pending_images(after="", limit=9) == ["j"]


@pytest.mark.parametrize("facts", [{"vector": VECTOR[::-1]}, {"model": "m@2"}, {"product_id": "q"}])
async def test_whatever_the_index_should_hold_makes_an_image_pending_when_it_changes(shop, facts):
    await shop.create_product(Product("q", "t", "shoes"))
    await shop.write(Batch(images=(replace(image("i"), **facts),)))
    assert await shop.pending_images(after="", limit=9) == ["i"]


async def test_a_mark_from_before_a_change_does_not_count(shop):
    await shop.write(Batch(images=(image("i", model="m@2"), image("j", model="m@2"))))
    records = await shop.index_records(["i", "j"])
    await shop.write(Batch(images=(image("i", model="m@3"),)))
    assert await shop.mark_indexed(records, NOON) == {"i"}
    assert await shop.pending_images(after="", limit=9) == ["i"]


async def test_of_two_marks_of_one_revision_the_slower_one_is_told(shop):
    await shop.write(Batch(images=(image("i", model="m@2"),)))
    records = await shop.index_records(["i"])
    assert await shop.mark_indexed(records, NOON) == frozenset()
    assert await shop.mark_indexed(records, NOON) == {"i"}


async def test_a_mark_of_a_deleted_image_does_not_count(shop):
    records = await shop.index_records(["i"])
    assert await shop.delete_image(await shop.get_image("i"))
    assert await shop.mark_indexed(records, NOON) == {"i"}


@pytest.mark.parametrize("changes", [{"category": "bags"}, {"style_id": ""}])
@pytest.mark.parametrize("by_import", [False, True])
async def test_a_product_that_moves_makes_its_images_pending(shop, changes, by_import):
    if by_import:
        await shop.write(Batch(products=(replace(await shop.get_product("p"), **changes),)))
    else:
        await shop.update_product("p", changes)
    assert await shop.pending_images(after="", limit=9) == ["i", "j"]
    assert await shop.pending_images(after="i", limit=9, product_id="p") == ["j"]
    assert await shop.pending_images(after="", limit=9, product_id="other") == []
    [record] = await shop.index_records(["i"])
    product = await shop.get_product("p")
    assert (record.category, record.style_id) == (product.category, product.style_id)


async def test_a_product_that_stays_leaves_its_images_alone(shop):
    await shop.update_product("p", {"title": "new", "category": "shoes", "style_id": "s"})
    await shop.write(Batch(products=(replace(await shop.get_product("p"), title="newer"),)))
    assert await shop.pending_images(after="", limit=9) == []


async def test_deleting_refuses_when_pictures_have_changed_since_they_were_read(shop):
    images = await shop.suspend_images(product_id="p")
    assert [each.image_id for each in images] == ["i", "j"]
    assert all(each.index_time is None for each in images)
    assert images == await shop.list_images(after="", limit=9, product_id="p")
    await shop.mark_indexed(await shop.index_records(["i"]), NOON)
    assert await shop.delete_product("p", images) is False
    assert await shop.delete_image(images[0]) is False
    await shop.write(Batch(images=(image("k"),)))
    images = await shop.suspend_images(product_id="p")
    assert await shop.delete_product("p", images[:2]) is False
    await shop.create_offer(Offer("o", "p", "Shop", 1, "EUR"))
    assert await shop.delete_product("p", images) is True
    for gone in (shop.get_product("p"), shop.get_image("i"), shop.get_offer("o"), shop.delete_product("p", [])):
        with pytest.raises(NotFoundError):
            await gone


async def test_one_image_is_deleted_as_it_was_read(shop):
    [suspended] = await shop.suspend_images(image_id="i")
    assert await shop.delete_image(suspended) is True
    with pytest.raises(NotFoundError, match="reference image 'i' does not exist"):
        await shop.delete_image(suspended)
    assert await shop.suspend_images(image_id="i") == []
    assert list(await shop.find_images(["i", "j"])) == ["j"]


async def test_deletions_are_remembered_until_they_are_erased(shop):
    [suspended] = await shop.suspend_images(image_id="i")
    assert await shop.delete_image(replace(suspended, revision=suspended.revision - 1)) is False
    assert await shop.deleted_images(after="", limit=9) == []
    assert await shop.delete_image(suspended) is True
    assert await shop.deleted_images(after="", limit=9) == ["i"]
    await shop.write(Batch(images=(image("i"),)))
    assert await shop.delete_product("p", await shop.suspend_images(product_id="p")) is True
    assert await shop.deleted_images(after="", limit=1) == ["i"]
    assert await shop.deleted_images(after="i", limit=9) == ["j"]
    assert await shop.erase_deletions(before=NOON) == 0
    assert await shop.erase_deletions(before=datetime.now(UTC)) == 2
    assert await shop.deleted_images(after="", limit=9) == []


async def test_an_image_cannot_slip_into_a_product_that_is_being_deleted(open_store, shop):
    other = open_store()
    for attempt in range(10):
        product = Product(f"q{attempt}", "t", "shoes")
        await shop.create_product(product)
        deleted, added = await asyncio.gather(
            shop.delete_product(product.product_id, []),
            other.write(Batch(images=(image(f"k{attempt}", product.product_id),))),
            return_exceptions=True,
        )
        present = await shop.find_images([f"k{attempt}"])
        if deleted is True:
            assert isinstance(added, NotFoundError)
            assert present == {}
        else:
            assert deleted is False
            assert added == 0
            assert list(present) == [f"k{attempt}"]


async def test_a_batch_counts_what_it_adds_or_changes_and_keeps_the_rest(store):
    products = tuple(Product(f"p{n}", "t", "shoes") for n in range(5))
    assert await store.write(Batch(products=products)) == 5
    before = await store.get_product("p4")
    assert await store.write(Batch(products=products)) == 0
    assert await store.get_product("p4") == before
    assert await store.write(Batch(products=(*products[:4], replace(products[4], title="new")))) == 1
    after = await store.get_product("p4")
    assert (after.title, after.create_time) == ("new", before.create_time)
    assert after.update_time > before.update_time


async def test_of_two_rows_with_one_key_the_later_one_counts(store):
    products = (Product("p", "first", "shoes"), Product("p", "second", "shoes"))
    assert await store.write(Batch(products=products)) == 1
    assert (await store.get_product("p")).title == "second"


async def test_a_batch_is_written_whole_or_not_at_all(store):
    batch = Batch(
        styles=(Style("s", "", "shoes"),),
        products=(Product("p", "t", "shoes", style_id="s"),),
        offers=(Offer("o", "p", "M", 1, "EUR"), Offer("o2", "nobody", "M", 1, "EUR")),
    )
    with pytest.raises(NotFoundError, match="offer: product_id 'nobody' does not exist"):
        await store.write(batch)
    assert await store.list_styles(after="", limit=9) == []
    assert await store.list_products(after="", limit=9) == []


async def test_a_batch_for_a_product_of_no_known_style_is_refused(store):
    with pytest.raises(NotFoundError, match="product: style_id 's' does not exist"):
        await store.write(Batch(products=(Product("p", "t", "shoes", style_id="s"),)))


async def test_batches_of_two_writers_over_the_same_rows_both_succeed(open_store):
    stores = [open_store(), open_store()]
    products = [Product(f"p{n:03}", "t", "shoes") for n in range(200)]
    batches = [Batch(products=tuple(order)) for order in (products, products[::-1])]
    for _ in range(5):
        written = await asyncio.gather(*(store.write(batch) for store, batch in zip(stores, batches, strict=True)))
        assert sum(written) in (0, 200)


async def test_a_large_batch_is_written(store):
    products = tuple(Product(f"p{n:04}", "t", "shoes") for n in range(1000))
    images = tuple(image(f"i{n:04}", f"p{n:04}") for n in range(1000))
    assert await store.write(Batch(products=products, images=images)) == 1000
    records = await store.index_records([each.image_id for each in images])
    assert await store.mark_indexed(records, NOON) == frozenset()
    assert await store.write(Batch(), None) == 0


async def test_progress_needs_an_import(store):
    from shiwu.chassis.errors import PreconditionError

    with pytest.raises(PreconditionError):
        await store.write(Batch(products=(Product("p", "t", "shoes"),)), Progress("none", "me"))
    with pytest.raises(NotFoundError):
        await store.get_product("p")
