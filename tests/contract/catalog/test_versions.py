"""Vectors by other versions of a model."""

from __future__ import annotations

import asyncio

import pytest

from services.catalog.resources import Batch

from .test_images import VECTOR, image
from .test_images import shop as shop  # noqa: PLC0414 (a fixture)

OTHER = VECTOR[::-1]
SHA = "0" * 64


async def models(shop, *image_ids):
    return sorted((record.image_id, record.model) for record in await shop.index_records(image_ids))


async def test_records_are_of_every_version_the_images_own_first(shop):
    await shop.add_vectors("m@2", {"i": (SHA, OTHER)})
    own, other = await shop.index_records(["i"])
    assert (own.model, own.vector, other.model, other.vector) == ("m@1", VECTOR, "m@2", OTHER)
    assert (own.revision, own.category) == (other.revision, other.category)


async def test_adding_a_vector_makes_nothing_pending_and_a_second_one_changes_nothing(shop):
    before = await shop.get_image("i")
    await shop.add_vectors("m@2", {"i": (SHA, OTHER)})
    await shop.add_vectors("m@2", {"i": (SHA, VECTOR)})
    assert await shop.get_image("i") == before
    assert (await shop.index_records(["i"]))[1].vector == OTHER


async def test_vectors_of_another_picture_or_none_are_left_out(shop):
    await shop.add_vectors("m@2", {"i": ("f" * 64, OTHER), "gone": (SHA, OTHER)})
    assert await models(shop, "i", "gone") == [("i", "m@1")]


async def test_a_picture_that_is_replaced_loses_them_and_brings_its_own(shop):
    await shop.add_vectors("m@2", {"i": (SHA, OTHER), "j": (SHA, OTHER)})
    await shop.write(Batch(images=(image("i", sha256="1" * 64), image("j", sha256="1" * 64, others=(("m@3", OTHER),)))))
    assert await models(shop, "i", "j") == [("i", "m@1"), ("j", "m@1"), ("j", "m@3")]


async def test_what_lacks_a_version_and_what_has_it(shop):
    await shop.write(Batch(images=(image("k", model="other@1"), image("l", model="m@2"))))
    await shop.add_vectors("m@2", {"i": (SHA, OTHER)})
    assert [each.image_id for each in await shop.images_without("m@2", after="", limit=9)] == ["j"]
    assert await shop.images_with("m@2", after="", limit=9) == ["i"]
    assert await shop.images_without("m@2", after="j", limit=9) == []


async def test_promotes_and_back(shop):
    await shop.add_vectors("m@2", {"i": (SHA, OTHER)})
    for _ in range(2):
        await shop.promote("m@2", ["i", "j"])
        own, other = await shop.index_records(["i"])
        assert (own.model, own.vector, other.model, other.vector) == ("m@2", OTHER, "m@1", VECTOR)
    assert (await shop.get_image("j")).model == "m@1"
    await shop.remove_vectors("m@1", ["i"])
    assert await models(shop, "i") == [("i", "m@2")]


@pytest.mark.parametrize("key", ["image", "product"])
async def test_what_is_deleted_takes_them_along(shop, key):
    await shop.add_vectors("m@2", {"i": (SHA, OTHER)})
    if key == "image":
        assert await shop.delete_image(await shop.get_image("i"))
    else:
        assert await shop.delete_product("p", [await shop.get_image("i"), await shop.get_image("j")])
    assert await shop.images_with("m@2", after="", limit=9) == []


async def test_replacing_and_adding_at_the_same_time_never_mixes_pictures(open_store, shop):
    """A vector of the picture that was must not stay beside the picture that is."""
    one, two = open_store(), open_store()
    for round_ in range(12):
        before, after = f"{round_:064d}", f"{round_ + 1:064d}"
        await shop.write(Batch(images=(image("i", sha256=before),)))
        await asyncio.gather(
            one.add_vectors("m@2", {"i": (before, OTHER)}),
            two.write(Batch(images=(image("i", sha256=after),))),
        )
        assert await models(shop, "i") == [("i", "m@1")]
