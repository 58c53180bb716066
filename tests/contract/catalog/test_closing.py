"""Offers that are closed, and the states of pictures' files."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.catalog.resources import Batch, ImageState, Offer, Operation, Product, Progress, ReferenceImage
from shiwu.chassis.errors import PreconditionError

MINE = Progress("op", "me")
OFFERS = tuple(Offer(f"o{n}", "p", "M", Decimal(n), "EUR", available=n != 3) for n in range(6))


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


@pytest.fixture
async def stocked(store):
    await store.write(
        Batch(products=(Product("p", "t", "shoes"),), offers=(*OFFERS, Offer("x", "p", "N", Decimal(1), "EUR")))
    )
    await store.create_operation(Operation("op", "feed.csv", "csv", complete=True))
    await store.claim_operation("me", 60)
    return store


async def test_closed_offers_are_not_available_and_no_longer_open(stocked):
    assert await stocked.open_offers("M", after="", limit=99) == [f"o{n}" for n in range(6)]
    assert await stocked.open_offers("M", after="o1", limit=2) == ["o2", "o3"]
    assert await stocked.close_offers(["o1", "o3", "nobody"], MINE, changed_before=soon()) == 2
    assert await stocked.close_offers(["o1"], MINE, changed_before=soon()) == 0
    assert await stocked.open_offers("M", after="", limit=99) == ["o0", "o2", "o4", "o5"]
    closed = await stocked.get_offer("o1")
    assert not closed.available
    assert closed.close_time == closed.update_time
    assert (await stocked.get_operation("op")).offers_closed == 2
    [described], _ = await stocked.describe(["p"], max_articles=0)
    assert {each.offer_id for each in described.offers if each.close_time} == {"o1", "o3"}


async def test_writing_a_closed_offer_opens_it_and_the_import_counts_it(stocked):
    await stocked.close_offers(["o1", "o3"], MINE, changed_before=soon())
    await stocked.write(Batch(offers=OFFERS[:3]), MINE)
    await stocked.write(Batch(offers=OFFERS[:3]), MINE)
    assert replace(await stocked.get_offer("o1"), update_time=None) == OFFERS[1]
    assert (await stocked.get_operation("op")).offers_reopened == 1
    assert await stocked.open_offers("M", after="", limit=99) == ["o0", "o1", "o2", "o4", "o5"]


async def test_what_was_changed_since_is_not_closed(stocked):
    before = datetime.now(UTC)
    await stocked.update_offer("o2", {"url": "https://m.example"})
    assert await stocked.close_offers(["o1", "o2"], MINE, changed_before=before) == 1
    assert (await stocked.get_offer("o2")).available


async def test_only_the_owner_of_the_import_closes(stocked):
    with pytest.raises(PreconditionError, match="'op' is not held by 'other' any more"):
        await stocked.close_offers(["o1"], Progress("op", "other"), changed_before=soon())
    assert (await stocked.get_offer("o1")).available


async def test_an_offer_made_available_is_open(stocked):
    await stocked.close_offers(["o1", "o2"], MINE, changed_before=soon())
    assert (await stocked.update_offer("o1", {"available": True})).close_time is None
    assert (await stocked.update_offer("o2", {"url": "https://m.example"})).close_time is not None


async def test_progress_adds_up(stocked):
    for _ in range(2):
        await stocked.write(Batch(), Progress("op", "me", images_unchanged=3))
    await stocked.write(Batch(), Progress("op", "me", closing_refused="because"))
    await stocked.write(Batch(), MINE)
    operation = await stocked.get_operation("op")
    assert (operation.images_unchanged, operation.closing_refused, operation.complete) == (6, "because", True)


async def test_states_hold_for_the_file_that_they_are_of(stocked):
    images = tuple(ReferenceImage(f"i{n}", "p", "u", f"sha{n}", 1, 1, "m@1", vector=b"1234") for n in range(3))
    states = tuple(ImageState(f"i{n}", f"sha{n}", f"e{n}", "") for n in range(4))  # the last has no picture
    await stocked.write(Batch(images=images, states=states))
    ids = [state.image_id for state in states]
    assert await stocked.find_image_states(ids) == {state.image_id: state for state in states[:3]}
    newer = ImageState("i1", "sha1", "other", "date")
    await stocked.write(Batch(states=(newer, ImageState("i2", "another file", "e", ""))))
    assert await stocked.find_image_states(["i1", "i2"]) == {"i1": newer, "i2": states[2]}
    await stocked.write(Batch(images=(replace(images[1], sha256="changed"),)))  # as a process of the release before
    assert list(await stocked.find_image_states(ids)) == ["i0", "i2"]
    assert await stocked.delete_image(await stocked.get_image("i0"))
    assert list(await stocked.find_image_states(ids)) == ["i2"]
