"""Complete feeds: offers that vanish are closed, come back, and survive feeds that cannot be trusted."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.catalog.closing import Closing, names_of
from services.catalog.feed_survey import fingerprint
from services.catalog.feeds import Feed, FeedRow
from services.catalog.resources import Batch, Offer, Operation, Product, Progress, State
from shiwu.chassis.errors import InvalidInputError
from tests.unit.catalog_import.assembly import Catalogue
from tests.unit.catalog_import.conftest import Shop
from tests.unit.catalog_import.importing import ended, imported, snapshot

HEADER = "product_id,title,category,merchant,price"


def rows(*numbers: int, merchant: str = "M") -> list[str]:
    return [f"p{n},Product {n},shoes,{merchant},{n + 1} USD" for n in numbers]


async def complete(catalogue: Catalogue, shop: Shop, *lines: str, **options) -> Operation:
    return await imported(catalogue, shop.feed(*lines, header=HEADER), **{"complete": True} | options)


async def available(catalogue: Catalogue, merchant: str = "M") -> list[str]:
    """Products that the merchant offers; of the other offers, whether they are closed as they should be."""
    offers = [each for each in await catalogue.store.list_offers(after="", limit=1000) if each.merchant == merchant]
    assert all((each.close_time is None) == each.available for each in offers)
    return sorted(each.product_id for each in offers if each.available)


async def test_vanished_offers_are_closed_and_come_back(catalogue: Catalogue, shop: Shop):
    first = await complete(catalogue, shop, *rows(*range(6)), *rows(0, 1, merchant="Other"))
    assert (first.state, first.offers_closed, first.offers_reopened) == (State.SUCCEEDED, 0, 0)
    second = await complete(catalogue, shop, *rows(0, 2, 3, 5))
    assert (second.state, second.offers_closed, second.offers_reopened, second.closing_refused) == (
        State.SUCCEEDED, 2, 0, "",
    )  # fmt: skip
    assert await available(catalogue) == ["p0", "p2", "p3", "p5"]
    assert await available(catalogue, "Other") == ["p0", "p1"]
    assert len(await catalogue.store.list_offers(after="", limit=99)) == 8
    closed = await snapshot(catalogue)
    again = await complete(catalogue, shop, *rows(0, 2, 3, 5))
    assert again.offers_closed == 0
    assert await snapshot(catalogue) == closed
    back = await complete(catalogue, shop, *rows(0, 1, 2, 3, 5))
    assert (back.offers_closed, back.offers_reopened) == (0, 1)
    assert await available(catalogue) == ["p0", "p1", "p2", "p3", "p5"]


async def test_a_feed_that_is_not_complete_closes_nothing(catalogue: Catalogue, shop: Shop):
    await complete(catalogue, shop, *rows(*range(4)))
    assert (await complete(catalogue, shop, *rows(1, 2, 3), complete=False)).offers_closed == 0
    assert len(await available(catalogue)) == 4


async def test_a_feed_that_lacks_more_than_half_closes_only_by_force(catalogue: Catalogue, shop: Shop):
    await complete(catalogue, shop, *rows(*range(8)), *rows(*range(4), merchant="Other"))
    shrunk = [*rows(0, 1, 2), *rows(0, 1, merchant="Other")]
    refused = await complete(catalogue, shop, *shrunk)
    assert (refused.state, refused.offers_closed) == (State.SUCCEEDED, 2)  # half of Other's, which is not more
    assert refused.closing_refused == (
        "not closed: the feed lacks 5 of the 8 open offers of 'M'; if that is right, import the feed with force"
    )
    assert len(await available(catalogue)) == 8
    assert await available(catalogue, "Other") == ["p0", "p1"]
    forced = await complete(catalogue, shop, *shrunk, force=True)
    assert (forced.offers_closed, forced.closing_refused) == (5, "")
    assert await available(catalogue) == ["p0", "p1", "p2"]


async def test_a_bad_row_still_names_its_offer(catalogue: Catalogue, shop: Shop):
    await complete(catalogue, shop, *rows(*range(4)))
    bad = await complete(catalogue, shop, *rows(0, 1), "p2,,shoes,M,3 USD", "p3,Product,shoes,M,cheap")
    assert (bad.rows_failed, bad.offers_closed) == (2, 0)
    assert len(await available(catalogue)) == 4


async def test_a_row_without_a_price_names_no_offer(catalogue: Catalogue, shop: Shop):
    await complete(catalogue, shop, *rows(*range(4)))
    operation = await imported(
        catalogue,
        shop.feed(*rows(0, 1, 2), "p3,Product 3,shoes,,", header=HEADER),
        complete=True,
        default_merchant="M",
    )
    assert (operation.rows_failed, operation.offers_closed) == (0, 1)


async def test_rows_that_cannot_be_read_keep_everything_open(catalogue: Catalogue, shop: Shop):
    await complete(catalogue, shop, *rows(*range(4)))
    torn = [*rows(0, 1, 2), "p3,Product"]
    operation = await complete(catalogue, shop, *torn)
    assert (operation.rows_failed, operation.offers_closed) == (1, 0)
    assert operation.closing_refused.startswith("not closed: 1 rows cannot be read, so nobody knows which offers")
    assert (await complete(catalogue, shop, *torn, force=True)).offers_closed == 1


async def test_failed_and_cancelled_imports_close_nothing(catalogue: Catalogue, shop: Shop):
    await complete(catalogue, shop, *rows(*range(4)))
    started = await catalogue.imports.start(feed_uri=shop.feed(*rows(0, 1, 2), header=HEADER), complete=True)
    await catalogue.imports.cancel(started.operation_id)
    failed = await catalogue.imports.start(
        feed_uri=shop.feed(*rows(0, 1, 2), header=HEADER, name="b.csv"), complete=True
    )
    (shop.folder / "b.csv").unlink()
    catalogue.imports.resume_all()
    assert (await ended(catalogue, started.operation_id)).state is State.CANCELLED
    assert (await ended(catalogue, failed.operation_id)).state is State.FAILED
    assert len(await available(catalogue)) == 4


async def test_a_feed_replaced_under_the_import_closes_nothing(
    catalogue: Catalogue, shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    await complete(catalogue, shop, *rows(*range(4)))
    verify = catalogue.ingest.verify

    async def verify_and_replace(*args):
        shop.feed(*rows(0, 1, 2), header=HEADER)
        return await verify(*args)

    monkeypatch.setattr(catalogue.ingest, "verify", verify_and_replace)
    with_picture = f"p3,Product 3,shoes,M,4 USD,{shop.picture('3.png', 3)}"
    feed = shop.feed(*(f"{row}," for row in rows(0, 1, 2)), with_picture, header=HEADER + ",images")
    operation = await imported(catalogue, feed, complete=True)
    assert operation.state is State.FAILED
    assert "the feed has changed since the import began, so nothing was closed" in operation.error
    assert len(await available(catalogue)) == 4


async def test_an_offer_changed_since_the_import_was_asked_for_stays(catalogue: Catalogue, shop: Shop):
    await complete(catalogue, shop, *rows(*range(4)))
    started = await catalogue.imports.start(feed_uri=shop.feed(*rows(0, 1), header=HEADER), complete=True)
    [offer] = await catalogue.store.list_offers(after="", limit=9, product_id="p3")
    await catalogue.store.update_offer(offer.offer_id, {"url": "https://m.example/3"})
    catalogue.imports.resume_all()
    operation = await ended(catalogue, started.operation_id)
    assert (operation.state, operation.offers_closed) == (State.SUCCEEDED, 1)
    assert await available(catalogue) == ["p0", "p1", "p3"]


async def test_an_offer_made_available_by_hand_is_open_again(catalogue: Catalogue, shop: Shop):
    await complete(catalogue, shop, *rows(*range(4)))
    await complete(catalogue, shop, *rows(0, 1, 2))
    [offer] = await catalogue.store.list_offers(after="", limit=9, product_id="p3")
    assert offer.close_time is not None
    changed = await catalogue.store.update_offer(offer.offer_id, {"available": True})
    assert changed.close_time is None
    assert len(await available(catalogue)) == 4


async def test_force_is_about_complete_feeds(catalogue: Catalogue, shop: Shop):
    with pytest.raises(InvalidInputError, match="is set, but not complete") as caught:
        await catalogue.imports.start(feed_uri=shop.feed(*rows(1), header=HEADER), force=True)
    assert caught.value.field == "force"


async def test_more_offers_than_a_page(catalogue: Catalogue, tmp_path: Path):
    numbers = range(2500)
    kept = set(random.Random(1).sample(numbers, 1600))
    store = catalogue.store
    offers = tuple(Offer(f"o{n}", "p", "M", Decimal(n), "USD", available=n % 3 > 0) for n in numbers)
    await store.write(Batch(products=(Product("p", "Product", "shoes"),), offers=offers))
    operation = await store.create_operation(Operation("op", "feed.csv", "csv"))
    await store.claim_operation("me", 60.0)
    path = tmp_path / "feed.csv"
    path.write_text("\n".join([HEADER + ",offer_id", *(f"p,Product,shoes,M,1 USD,o{n}" for n in kept)]))
    closing = Closing(store, names_of(path, Feed("csv"), fingerprint(path)))
    assert await closing.suspicious() == {}
    for _ in range(2):  # repeating it changes nothing
        await closing.close({}, Progress("op", "me"), changed_before=operation.create_time)
        assert (await store.get_operation("op")).offers_closed == 900
    still: list[str] = []
    while page := await store.open_offers("M", after=still[-1] if still else "", limit=1000):
        still += page
    assert set(still) == {f"o{n}" for n in kept}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from(["M", "N", ""]),
            st.sampled_from(["", "1 USD"]),
            st.sampled_from(["", "o1", "o2"]),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_what_a_feed_names_is_what_its_rows_offer(tmp_path_factory: pytest.TempPathFactory, cells):
    path: Path = tmp_path_factory.mktemp("named") / "f.csv"
    lines = [f"{product},T,toys,{merchant},{price},{offer}" for product, merchant, price, offer in cells]
    path.write_text("\n".join((f"{HEADER},offer_id", *lines)) + "\n")
    feed = Feed("csv", "Default")
    with path.open("rb") as file:
        offers = [row.offer for row in feed.rows(file, datetime.now(UTC)) if isinstance(row, FeedRow) and row.offer]
    named = names_of(path, feed, fingerprint(path))
    assert named.lacks([offer.offer_id for offer in offers]) == []
    assert set(named.merchants) == {offer.merchant for offer in offers}
    assert named.lacks(["nobody's"]) == ["nobody's"]
